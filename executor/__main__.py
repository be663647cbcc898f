"""`executor` and `python -m executor`: `executor.command_line`, which takes a second to import, or
`executor.lab_line` for the commands that need no account.

A SIGINT or SIGTERM ends a command at once, with 130 or 143 and without a word, while it imports as
well as later: what it has begun is a write that holds or does not, as after a crash. Only `record`
takes the signals over (`runtime.process`).
"""

from __future__ import annotations

import os
import signal
import sys

from runtime.library_variables import ignore_library_variables


def main() -> None:
    """Entry point of `executor` and of `python -m executor`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in the background of a script
            signal.signal(number, _end)
    ignore_library_variables()
    from executor import lab_line  # noqa: PLC0415 - see above
    from executor.local_defaults import use_local_system  # noqa: PLC0415 - see above
    from executor.running import run  # noqa: PLC0415 - see above

    use_local_system(sys.argv[1:])
    if lab_line.is_asked(sys.argv[1:]):
        run(lab_line.app)
        return
    from executor.command_line import app  # noqa: PLC0415 - see above

    run(app)


def _end(number: int, _: object) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
