"""Errors of the readers in this room, and what can be done about bytes that are no JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

TEXT_LENGTH_MAX: Final = 300

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, or JSON of another shape."""

_T = TypeVar("_T")
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# Each match begins at a backslash that escapes something, so that an escaped backslash before a `u`
# is no escape of a character.
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class WireError(ValueError):
    """An answer of the venue's that cannot be read; the text is one line and names the field."""


def decoded(decode: Callable[[bytes], _T], payload: bytes) -> _T:
    """`decode(payload)`; where that is no JSON, once more without a byte order mark and halves of
    characters.

    A text that was cut in the middle of a character ends with half of one (`\\ud83d`), and msgspec
    refuses the whole answer for it, also in a field that nobody reads. Raises UNDECODABLE.
    """
    try:
        return decode(payload)
    except msgspec.ValidationError:
        raise
    except UNDECODABLE:
        mended = without_half_characters(payload.removeprefix(BYTE_ORDER_MARK))
        if mended == payload:
            raise
        return decode(mended)


def without_half_characters(payload: bytes) -> bytes:
    """The JSON with U+FFFD in place of each escaped half of a character."""
    if b"\\ud" not in payload and b"\\uD" not in payload:
        return payload
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found[1] else found[0], payload)


def undecodable(what: str, error: Exception) -> WireError:
    """The error for bytes that msgspec refused.

    A `msgspec.ValidationError` names the field; other texts only say where the JSON broke.
    """
    text = str(error) if isinstance(error, msgspec.ValidationError) else "not JSON"
    return WireError(f"{what}: {text}"[:TEXT_LENGTH_MAX])
