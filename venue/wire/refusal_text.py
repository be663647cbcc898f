"""What an HTTP answer of the venue's to an order says: text, codes, how long to wait, and whether
anything in it speaks of success. Pure.

The venue's form is `{"error": "..."}`. Others were seen or are likely: a `code` alone, `errorMsg`,
`message`, an object under `error`, plain text. Only what stands under such a name is quoted: an
answer may echo the request, and with it the API key. A page of HTML says nothing.

An answer is read in full or proves nothing (`in_full`): what was left out might take back what was
read. Not read are JSON that is broken, cut, followed by more, or has a name twice in one object
(only one of the two would be seen); what is nested, or long, beyond any answer to an order; other
text that is longer than a remark; and what is no text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from venue.wire.doubt import once, plain_name
from venue.wire.errors import BYTE_ORDER_MARK, TEXT_LENGTH_MAX, UNDECODABLE

RETRY_AFTER_MS_MAX: Final = 24 * 3_600_000
_BYTES_MAX: Final = 64 << 10
"""An answer to an order has less than one kilobyte, but for the ids of its trades."""
_DEPTH_MAX: Final = 16
_PARTS_MAX: Final = 1_000
_REMARK_BYTES_MAX: Final = 4 * TEXT_LENGTH_MAX
_TEXT_NAMES: Final = frozenset(
    {"error", "errors", "errormsg", "errormessage", "message", "msg", "detail"}
)
_CODE_NAMES: Final = frozenset({"code", "errorcode"})
_RETRY_NAMES: Final = frozenset({"retryafterseconds", "retryafter"})
_BOUGHT: Final = re.compile(r"match|fill|execut|^making|^taking|trades?(id|$)|transaction")
"""Names under which the venue says what an order has bought (not those of an echoed order)."""
_NO_SUCCESS: Final = frozenset({"", "error", "fail", "failed", "failure", "rejected", "invalid"})
"""What a status may be that does not speak of success; so are the modes of the exchange."""
_UNREADABLE: Final = (*UNDECODABLE, ValueError)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says."""

    text: str
    """One line of at most TEXT_LENGTH_MAX characters, in the venue's words where it has any."""
    whole: str = ""
    """All of it, for whoever draws conclusions: the end may take back the beginning."""
    beside: str = ""
    """Everything else that is text, names too. It may be an echo of the request, so it proves
    nothing and is not shown; but it may take a proof back."""
    codes: tuple[str, ...] = ()
    order_ids: tuple[str, ...] = ()
    """What it calls the id of an order."""
    in_own_form: bool = False
    """Whether it is JSON with a text under `error`, as the venue writes it: filters and gateways
    write JSON, too, with `message` or `detail`."""
    in_full: bool = True
    success: bool = False
    """Whether anything in it says that an order was taken, or bought something."""
    retry_after_ms: int = 0
    """0 when it does not say."""


class _Leaf(msgspec.Struct, frozen=True):
    path: tuple[str, ...]
    """The names that it stands under, in lower case, without `_` and `-`."""
    value: object

    @property
    def name(self) -> str:
        """The innermost name that means something for an error: below `error` everything is an
        error's text, unless it has another name of those above."""
        known = (each for each in reversed(self.path) if each in _KNOWN)
        return next(known, "")


_KNOWN: Final = _TEXT_NAMES | _CODE_NAMES | _RETRY_NAMES


def read_refusal(body: bytes, content_type: str, retry_after: str) -> Said:
    """`retry_after` is the header, in seconds; a date there is not read. Raises nothing."""
    asked_ms = _milliseconds(retry_after)
    try:
        told = _json(body)
        leaves, in_full = _leaves(told)
    except _UNREADABLE:
        return _no_json(body, content_type, asked_ms)
    success = any(_speaks_of_success(each) for each in leaves)
    if is_page(body, content_type):
        return Said(
            text="a page of HTML", success=success, in_full=in_full, retry_after_ms=asked_ms
        )
    fields = leaves if isinstance(told, dict) else ()
    texts = [each.value for each in fields if each.name in _TEXT_NAMES]
    codes = [each.value for each in fields if each.name in _CODE_NAMES]
    said = [each for each in texts if isinstance(each, str)]
    named = [each for each in codes if isinstance(each, str)]
    waits = [_milliseconds(each.value) for each in fields if each.name in _RETRY_NAMES]
    error = told.get("error") if isinstance(told, dict) else None
    return Said(
        text=one_line("; ".join(each for each in said or named if each)) or "no text",
        whole="; ".join(said or named),
        beside=" ".join(
            each for leaf in leaves for each in (*leaf.path, leaf.value) if isinstance(each, str)
        ),
        codes=tuple(named),
        order_ids=tuple(each.value for each in leaves if _is_order_id(each)),  # type: ignore[misc]  # str
        in_own_form=isinstance(error, str) and bool(error.strip()),
        in_full=in_full,
        success=success,
        retry_after_ms=asked_ms or max(waits, default=0),
    )


def read_in_full(body: bytes) -> bool:
    """`Said.in_full` alone, which is all that is asked of most successes."""
    try:
        return _parts_in(_json(body), _DEPTH_MAX) <= _PARTS_MAX
    except _UNREADABLE:
        return _no_json(body, "", 0).in_full


def _parts_in(value: object, depth: int) -> int:
    """How many leaves; too many where it goes deeper than is read."""
    if not isinstance(value, dict | list):
        return 1
    if not depth:
        return _PARTS_MAX + 1
    inner = value.values() if isinstance(value, dict) else value
    return sum([_parts_in(each, depth - 1) for each in inner])


def _no_json(body: bytes, content_type: str, asked_ms: int) -> Said:
    if is_page(body, content_type):
        return Said(text="a page of HTML", retry_after_ms=asked_ms)
    text = body[:_REMARK_BYTES_MAX].decode("utf-8", "replace")
    begun = text.lstrip()[:1] in ("{", "[", '"', "\ufeff")
    in_full = len(body) <= _REMARK_BYTES_MAX and not begun and "\ufffd" not in text
    shown = one_line(text) if "text/plain" in content_type.lower() else ""
    return Said(
        text=shown or "no text",
        whole=text if shown else "",
        beside=text if in_full else "",
        in_full=in_full and "\0" not in text,
        retry_after_ms=asked_ms,
    )


def _json(body: bytes) -> object:
    """Raises _UNREADABLE. Not with msgspec, which keeps the last of two values of one name."""
    if len(body) > _BYTES_MAX:
        raise ValueError("too long")
    return _decode(body.removeprefix(BYTE_ORDER_MARK).decode())


def _refused(constant: str) -> object:
    raise ValueError(constant)  # NaN and the infinities are no JSON


_decode: Final = json.JSONDecoder(object_pairs_hook=once, parse_constant=_refused).decode


def _leaves(told: object) -> tuple[list[_Leaf], bool]:
    """What stands in the answer, and whether that is all."""
    leaves: list[_Leaf] = []
    for leaf in _walk(told, ()):
        if leaf is None or len(leaves) == _PARTS_MAX:
            return leaves, False
        leaves.append(leaf)
    return leaves, True


def _walk(value: object, path: tuple[str, ...], depth: int = _DEPTH_MAX) -> Iterator[_Leaf | None]:
    """None where it goes deeper than is read."""
    if not isinstance(value, dict | list):
        yield _Leaf(path, value)
    elif not depth:
        yield None
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, (*path, plain_name(key)), depth - 1)
    else:
        for inner in value:
            yield from _walk(inner, path, depth - 1)


def _speaks_of_success(leaf: _Leaf) -> bool:
    path, value = leaf.path, leaf.value
    if "success" in path:
        return bool(value)
    if path and path[-1].endswith(("status", "state")) and isinstance(value, str):
        word = plain(value)
        return not (word in _NO_SUCCESS or word.isdigit() or mode_word(word) in MODES)
    return any(map(_BOUGHT.search, path)) and _is_something(value)


def _is_something(value: object) -> bool:
    return bool(value.strip("0. ") if isinstance(value, str) else value)


def _is_order_id(leaf: _Leaf) -> bool:
    name = leaf.path[-1] if leaf.path else ""
    return isinstance(leaf.value, str) and ("order" in name or name == "id")


MODES: Final = frozenset({"post_only", "cancel_only", "restarting", "trading_disabled"})
"""No order reaches the engine. The venue names them without a text, too. `_mode` is left out."""


def mode_word(code: str) -> str:
    """As in MODES."""
    return plain(code).replace("-", "_").replace(" ", "_").removesuffix("_mode")


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
