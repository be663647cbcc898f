"""What an HTTP answer of the venue's that is no success says: text, codes, how long to wait. Pure.

The venue's form is `{"error": "..."}`. Others were seen or are likely: a `code` alone, `errorMsg`,
`message`, an object under `error`, plain text. Only what stands under such a name is quoted: an
answer may echo the request, and with it the API key. A page of HTML says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from venue.wire.errors import TEXT_LENGTH_MAX, UNDECODABLE, decoded

RETRY_AFTER_MS_MAX: Final = 24 * 3_600_000
_DEPTH_MAX: Final = 4
_PARTS_MAX: Final = 16
_TEXT_NAMES: Final = frozenset({"error", "errormsg", "errormessage", "message", "msg", "detail"})
_CODE_NAMES: Final = frozenset({"code", "errorcode"})
_RETRY_NAMES: Final = frozenset({"retryafterseconds", "retryafter"})
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says."""

    text: str
    """One line of at most TEXT_LENGTH_MAX characters, in the venue's words where it has any."""
    whole: str = ""
    """All of it, for whoever draws conclusions: the end may take back the beginning."""
    codes: tuple[str, ...] = ()
    in_own_form: bool = False
    """Whether it is JSON with a text under `error`, as the venue writes it: filters and gateways
    write JSON, too, with `message` or `detail`."""
    retry_after_ms: int = 0
    """0 when it does not say."""


def read_refusal(body: bytes, content_type: str, retry_after: str) -> Said:
    """`retry_after` is the header, in seconds; a date there is not read. Raises nothing."""
    asked_ms = _milliseconds(retry_after)
    if is_page(body, content_type):
        return Said(text="a page of HTML", retry_after_ms=asked_ms)
    try:
        fields = list(_fields(decoded(_decode, body), "", _DEPTH_MAX))
    except UNDECODABLE:
        plain_text = "text/plain" in content_type.lower()
        text = body[: 4 * TEXT_LENGTH_MAX].decode("utf-8", "replace") if plain_text else ""
        return Said(text=one_line(text) or "no text", retry_after_ms=asked_ms)
    texts = [value for name, value in fields if name in _TEXT_NAMES and isinstance(value, str)]
    codes = [value for name, value in fields if name in _CODE_NAMES and isinstance(value, str)]
    waits = [_milliseconds(value) for name, value in fields if name in _RETRY_NAMES]
    said = texts[:_PARTS_MAX] or codes[:_PARTS_MAX]
    return Said(
        text=one_line("; ".join(each for each in said if each)) or "no text",
        whole="; ".join(texts or codes),
        codes=tuple(codes[:_PARTS_MAX]),
        in_own_form=_is_own_form(body),
        retry_after_ms=asked_ms or max(waits, default=0),
    )


def _is_own_form(body: bytes) -> bool:
    error = decoded(_decode, body).get("error")
    return isinstance(error, str) and bool(error.strip())


def is_page(body: bytes, content_type: str) -> bool:
    """Whether this is HTML, or XML: what web servers and proxies answer with, and no API does."""
    kind = content_type.lower()
    return "html" in kind or "xml" in kind or body.lstrip()[:1] == b"<"


def plain(text: object) -> str:
    """In lower case, with single spaces and straight apostrophes; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    return " ".join(text.lower().replace("\u2019", "'").split())


def one_line(text: str) -> str:
    """Nothing in it that a log or a table could not take."""
    spaced = " ".join(text.split())[:TEXT_LENGTH_MAX]
    return "".join(each if each.isprintable() else "\ufffd" for each in spaced)


def _fields(value: object, name: str, depth: int) -> Iterator[tuple[str, object]]:
    """Leaves with the name that they stand under: below `error` everything is an error's text,
    unless it has another name of those above."""
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            own = key.lower().replace("_", "").replace("-", "")
            known = own in _TEXT_NAMES or own in _CODE_NAMES or own in _RETRY_NAMES
            yield from _fields(inner, own if known else name, depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value[:_PARTS_MAX]:
            yield from _fields(inner, name, depth - 1)
    elif not isinstance(value, dict | list):
        yield name, value


def _milliseconds(seconds: object) -> int:
    """0 for what is no number of seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | str):
        return 0
    try:
        asked_ms = float(seconds) * 1000
    except (ValueError, OverflowError):
        return 0
    known = asked_ms > 0 and math.isfinite(asked_ms)
    return int(min(asked_ms, RETRY_AFTER_MS_MAX)) if known else 0
