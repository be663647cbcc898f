"""Token ids and truths as the venue writes them: one reading for every answer. Pure.

1. A token id is text, or the whole number that it is: longer than any float can hold, so a fraction
   or an exponent means that digits are lost. Blanks around it say nothing. It is of characters that
   separate nothing in subjects and headers.
2. A truth is true or false, 1 or 0, or one of these as text, in any case. `""`, null and a missing
   field say nothing (None); what that means is for the reader of the field.

Both raise ValueError with a text that quotes at most 40 characters of the venue's.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from venue.wire.errors import UNDECODABLE

_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
_decode_text: Final = msgspec.json.Decoder(str).decode


def token_id(raw: msgspec.Raw) -> str:
    """`""` and null are malformed."""
    written = bytes(raw).strip()
    is_text = written[:1] == b'"'
    text = _text(written)
    if text in ("", "null"):
        raise ValueError("a token without an id")
    if _TOKEN_ID.fullmatch(text) is None or not (is_text or text.isdigit()):
        raise ValueError(f"not a token id: {ascii(text)[:40]}")
    return text


def truth(raw: msgspec.Raw) -> bool | None:
    """None where nothing is said."""
    text = _text(bytes(raw).strip()).lower()
    if text in ("", "null"):
        return None
    if text not in _TRUTHS:
        raise ValueError(f"neither true nor false: {ascii(text)[:40]}")
    return _TRUTHS[text]


def _text(written: bytes) -> str:
    try:
        return (_decode_text(written) if written[:1] == b'"' else written.decode()).strip()
    except UNDECODABLE:
        raise ValueError("unreadable text") from None
