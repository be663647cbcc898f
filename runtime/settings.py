"""Configuration from the environment: validated at start, one line per mistake, exit code 2."""

from __future__ import annotations

import sys
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

EXIT_BAD_CONFIGURATION = 2

Settings = TypeVar("Settings", bound=BaseSettings)


def load_settings(kind: type[Settings]) -> Settings:
    """Read `kind` from the environment; print one line naming each bad variable and exit 2.

    The offending value is never printed: it may be a key in the wrong variable.
    """
    try:
        return kind()
    except ValidationError as error:
        refuse_to_start(
            "; ".join(
                f"{'.'.join(str(part) for part in item['loc']).upper() or 'configuration'}: "
                f"{item['msg'].removeprefix('Value error, ')}"
                for item in error.errors(include_input=False, include_url=False)
            )
        )


def refuse_to_start(reason: str) -> NoReturn:
    """One line to the person who started us, exit code 2, no traceback."""
    sys.stderr.write(f"cannot start: {reason}\n")
    raise SystemExit(EXIT_BAD_CONFIGURATION)
