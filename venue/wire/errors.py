"""Errors of the readers in this room. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

TEXT_LENGTH_MAX: Final = 300

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, or JSON of another shape."""


class WireError(ValueError):
    """An answer of the venue's that cannot be read; the text is one line and names the field."""


def undecodable(what: str, error: Exception) -> WireError:
    """The error for bytes that msgspec refused.

    A `msgspec.ValidationError` names the field; other texts only say where the JSON broke.
    """
    text = str(error) if isinstance(error, msgspec.ValidationError) else "not JSON"
    return WireError(f"{what}: {text}"[:TEXT_LENGTH_MAX])
