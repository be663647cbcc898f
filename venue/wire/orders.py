"""`GET /data/order/{id}`: the venue's record of one order. Pure.

Only what is needed is read: the status is from an open set, with or without a prefix, and never
relied on to release anything. An empty or missing `size_matched` is 0 beside a status of an order
that was killed (so the venue writes it, with the reason in the status) or that waits. Beside any
other it is not known, and the record cannot be read: as 0 it would one day release what was bought.
Nor can one that names trades beside a size of nothing, which contradicts itself.

Sizes are decimal shares (the venue's API reference says so expressly; an older edition said 1e-6).
Should that ever change, `functions.core.evidence.plausible` notices.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from venue.wire.doubt import is_not_found, refuse_doubtful
from venue.wire.errors import UNDECODABLE, WireError, decoded, undecodable
from venue.wire.numbers import MISSING, size_e6, size_or_zero_e6

_STATUS_PREFIX: Final = "order_status_"
_WORD_LENGTH_MAX: Final = 200
MATCHED: Final = "matched"
_ORDER_ID: Final = re.compile(r"0x[0-9a-f]{64}")
_NOT_FOUND_LENGTH_MAX: Final = 200
"""The venue says it in a few words and an order id; a page that happens to hold them is longer."""


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's record of one of our orders."""

    order_id: str
    status: str
    """From an open set (`live`, `matched`, `unmatched`, `delayed`, `canceled`...),
    in lower case: never relied on to mean that nothing was bought."""
    size_matched_e6: int


class _Order(msgspec.Struct):
    id: str
    size_matched: msgspec.Raw = MISSING
    status: object = None
    associate_trades: object = None


_decode: Final = msgspec.json.Decoder(_Order | None).decode


def read_order(body: bytes, order_id: str) -> OrderRecord | None:
    """The record of `order_id`; None for `null`, the venue's answer about an order that it does
    not know. It was seen for filled orders, too (py-clob-client#217), so it means no more than a
    404: one look of several that found nothing.

    Raises WireError, also when the answer is about another order.
    """
    try:
        order = decoded(_decode, body)
        refuse_doubtful(body)
    except UNDECODABLE as error:
        raise undecodable("order", error) from error
    if order is None:
        return None
    if order.id.lower() != order_id.lower():
        raise WireError(f"order {order_id}: the answer is about {order.id[:80]!r}")
    status = _status_word(order.status)
    nothing = says_nothing_matched(status) and not order.associate_trades
    read_size_e6 = size_or_zero_e6 if nothing else size_e6
    try:
        matched_e6 = read_size_e6(order.size_matched)
    except ValueError as error:
        raise WireError(f"order {order_id}: size_matched: {error}") from error
    if order.associate_trades and matched_e6 == 0:
        raise WireError(f"order {order_id}: it names trades, and that nothing matched")
    return OrderRecord(order_id=order_id, status=status, size_matched_e6=matched_e6)


def is_killed(status: str) -> bool:
    """Whether an order of this status will not be filled any more. The status of a killed one goes
    on with the reason, so only what it begins with counts."""
    return status.startswith(("cancel", "kill", "unmatched"))


def says_nothing_matched(status: str) -> bool:
    """Whether an order of this status may have matched nothing: killed, or waiting."""
    return is_killed(status) or status in ("live", "delayed")


def says_not_found(status: int | None, text: str, order_id: str = "") -> bool:
    """Whether an answer is the venue's own text that there is no such order: not a web server's or
    a proxy's, that there is no such path or page ("Not Found", with or without the path)."""
    if status not in (400, 404) or len(text) > _NOT_FOUND_LENGTH_MAX:
        return False
    about = _ORDER_ID.findall(text.lower())
    if order_id and any(each != order_id.lower() for each in about):
        return False
    return is_not_found(text, "order")


def _status_word(status: object) -> str:
    """In lower case and without its prefix; nothing that a log or a table could not take."""
    if not isinstance(status, str):
        return ""
    word = status.strip()[:_WORD_LENGTH_MAX].lower().removeprefix(_STATUS_PREFIX)
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in word)
