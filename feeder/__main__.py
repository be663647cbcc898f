"""`python -m feeder`: configured by the environment, see `feeder.settings`."""

from __future__ import annotations

import sys

from feeder.service import serve
from feeder.settings import FeederSettings
from runtime.log import configure_logging
from runtime.process import run_service
from runtime.settings import load_settings


def main() -> int:
    """Returns the exit code."""
    settings = load_settings(FeederSettings)
    configure_logging(service="feeder")
    return run_service(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
