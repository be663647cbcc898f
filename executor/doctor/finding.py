"""What one check found, and what a person does about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    """Trading works, or was not meant to; look at it."""
    FAIL = "FAIL"
    """Nothing is, or should be, traded like this."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the report."""

    level: Level
    what: str
    text: str
    do: str = ""
    """What to do about it; empty when it is OK."""


def ok(what: str, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, what, text)


def warn(what: str, text: str, do: str) -> Finding:
    """Worth a look."""
    return Finding(Level.WARN, what, text, do)


def fail(what: str, text: str, do: str) -> Finding:
    """Must be mended."""
    return Finding(Level.FAIL, what, text, do)
