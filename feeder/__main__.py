"""`python -m feeder [market|user]`: configured by the environment, see `feeder.settings`."""

from __future__ import annotations

if __name__ == "__main__":
    import runtime.starting  # noqa: F401 - first: it takes signals while the rest is imported

import sys

from feeder.books import service as book_service
from feeder.fills import service as fill_service
from feeder.settings import FeederSettings, UserFeederSettings
from runtime.log import configure_logging
from runtime.process import run_service
from runtime.proxies import ignore_proxies
from runtime.settings import load_settings, refuse_to_start


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    role = " ".join(arguments) if arguments else "market"
    if role not in ("market", "user"):  # not shown: it may be a key that came to the wrong place
        refuse_to_start("the feeder takes one argument, its role: market (the default) or user")
    if role == "user":
        configure_logging(service="user-feeder")
        ignore_proxies()
        user_settings = load_settings(UserFeederSettings)
        return run_service(fill_service.serve(user_settings))
    configure_logging(service="feeder")
    ignore_proxies()
    settings = load_settings(FeederSettings)
    return run_service(book_service.serve(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
