"""`executor` with its Telegram elsewhere: `python -m tests.support.alert_process URL alert run`.

apprise and the commands' poller have no setting for Telegram's address, and need none but here.
"""

from __future__ import annotations

import sys
from functools import partial


def main() -> None:
    """The rest of the arguments are `executor`'s."""
    import apprise.plugins.telegram as plugin  # noqa: PLC0415 - as late as the command does

    from executor.alerts import service  # noqa: PLC0415
    from executor.alerts.telegram import TelegramCommands  # noqa: PLC0415
    from executor.command_line import app  # noqa: PLC0415
    from executor.running import run  # noqa: PLC0415

    url = sys.argv.pop(1)
    plugin.NotifyTelegram.notify_url = f"{url}/bot"
    service.TelegramCommands = partial(TelegramCommands, api=url)  # type: ignore[misc,assignment]
    run(app)


if __name__ == "__main__":
    main()
