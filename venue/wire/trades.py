"""A trade, of the user channel and of `GET /data/trades`: one reader for both. Pure.

The user channel's event has the fields of the listed trade, and `event_type` besides. Rulings:

1. An unknown status is a provisional MATCHED: the trade is on record, and nothing says that it is
   final or void. As MATCHED it can never outrank FAILED or CONFIRMED. `unknown_status` keeps the
   venue's word, for whoever counts. An empty or missing status is malformed.
2. The time of the match is the first of `match_time`, `matchtime`, `last_update` and `timestamp`
   that can be read; none of them is malformed.
3. `trader_side` is MAKER or else TAKER, `side` is SELL or else BUY, whatever stands there: the
   taker's order id alone decides whose trade it is, and its order was a BUY or a SELL before.
4. The token is `asset_id`, else `token_id` (`venue.wire.scalars`). Ids are of characters that
   separate nothing in subjects and headers. Order ids are in lower case, of 64 hex digits: one
   that is not may be any order's, also ours.
5. An empty price or size, or a size of 0, is malformed: a trade of nothing is none.
6. A malformed trade of a page becomes a `Rejection` and takes no other with it. It keeps the order
   id where that is legible, so that the claim it may belong to knows.
7. The text of a rejection never quotes what is not JSON: it might be the echo of our credentials.

Shapes: the venue's user channel page and its asyncapi description; the variants that they do not
mention (`matchtime`, `token_id`, prefixed statuses, ISO times) are those that the official client
takes (polymarket-client 0.14.0, models/clob).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import msgspec

from protocol.fill import Fill, TradeStatus
from protocol.side import Side
from venue.wire import scalars
from venue.wire.doubt import refuse_doubled, refuse_doubtful
from venue.wire.errors import UNDECODABLE, decoded, undecodable
from venue.wire.numbers import MISSING, average_price_e4, bought_size_e6, first_time_ms

_Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
_ORDER_DIGITS: Final = re.compile(r"[0-9a-f]{64}")
_STATUS_PREFIX: Final = "TRADE_STATUS_"
_NOT_BROADCAST: Final = "MATCHED_NOT_BROADCASTED"
"""Matched, and not yet sent to the chain: a stage before the others, seen in lookups only."""
_LAST_CURSOR: Final = "LTE="
"""The venue's own mark of the last page."""


class UserFault(StrEnum):
    """Why a trade or an event was rejected; the closed set behind a metric's label."""

    NOT_JSON = "not_json"
    MALFORMED = "malformed"
    INVALID_NUMBER = "invalid_number"


class Rejection(msgspec.Struct, frozen=True):
    """An event or a trade that cannot be used; the text names the field."""

    fault: UserFault
    text: str
    taker_order_id: str | None = None
    """Whose trade it is, in lower case; None when that is illegible, so that it may be any's."""


class VenueTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of the account."""

    fill: Fill
    as_maker: bool = False
    """Our order was resting: `fill.order_id` is somebody else's."""
    unknown_status: str | None = None
    """The venue's word, without its prefix, for a status not known here: read as MATCHED."""


class TradesPage(msgspec.Struct, frozen=True):
    """One page of `GET /data/trades`, in the venue's order."""

    trades: list[VenueTrade | Rejection]
    next_cursor: str | None
    """None on the last page."""


class _Owner(msgspec.Struct):
    taker_order_id: str


class _Trade(msgspec.Struct):
    id: _Id
    taker_order_id: str
    market: _Id
    status: Annotated[str, msgspec.Meta(min_length=1)]
    price: msgspec.Raw
    size: msgspec.Raw
    asset_id: msgspec.Raw = MISSING
    token_id: msgspec.Raw = MISSING
    side: object = None
    trader_side: object = None
    match_time: msgspec.Raw = MISSING
    matchtime: msgspec.Raw = MISSING
    last_update: msgspec.Raw = MISSING
    timestamp: msgspec.Raw = MISSING


class _Page(msgspec.Struct):
    data: list[msgspec.Raw] | None
    next_cursor: str | None = None


_decode_owner: Final = msgspec.json.Decoder(_Owner).decode
_decode_trade: Final = msgspec.json.Decoder(_Trade).decode
_decode_page: Final = msgspec.json.Decoder(_Page).decode


def read_trade(raw: bytes | msgspec.Raw) -> VenueTrade | Rejection:
    """One trade. Raises nothing, whatever the bytes are."""
    try:
        trade = _decode_trade(raw)
        refuse_doubled(raw)
    except msgspec.ValidationError as error:
        return Rejection(UserFault.MALFORMED, f"trade: {error}", _owner(raw))
    except UNDECODABLE:
        return not_json(raw)
    order_id = _order_id(trade.taker_order_id)
    if order_id is None:
        return Rejection(UserFault.MALFORMED, f"trade {trade.id}: no taker_order_id")
    return _read(trade, order_id)


def _read(trade: _Trade, order_id: str) -> VenueTrade | Rejection:
    word = trade.status.upper().removeprefix(_STATUS_PREFIX)
    status = _known_status(word)
    try:
        token_id = scalars.token_id(trade.asset_id if _says(trade.asset_id) else trade.token_id)
    except ValueError as error:
        return Rejection(UserFault.MALFORMED, f"trade {trade.id}: asset_id: {error}", order_id)
    try:
        matched_at_ms = first_time_ms(
            trade.match_time, trade.matchtime, trade.last_update, trade.timestamp
        )
        if matched_at_ms is None:
            return Rejection(UserFault.MALFORMED, f"trade {trade.id}: no match_time", order_id)
        fill = Fill(
            trade_id=trade.id,
            order_id=order_id,
            condition_id=trade.market,
            token_id=token_id,
            status=status or TradeStatus.MATCHED,
            price_e4=average_price_e4(trade.price),
            size_e6=bought_size_e6(trade.size),
            matched_at_ms=matched_at_ms,
            side=Side.SELL if _word(trade.side) == Side.SELL else Side.BUY,
        )
    except ValueError as error:
        return Rejection(UserFault.INVALID_NUMBER, f"trade {trade.id}: {error}", order_id)
    return VenueTrade(
        fill=fill,
        as_maker=_word(trade.trader_side) == "MAKER",
        unknown_status=word[:40] if status is None else None,
    )


def read_trades_page(body: bytes) -> TradesPage:
    """An answer of `GET /data/trades`. Raises WireError when it is not a page at all."""
    try:
        page = decoded(_decode_page, body)
        refuse_doubtful(body, inside=False)
    except UNDECODABLE as error:
        raise undecodable("not a page of trades", error) from error
    cursor = page.next_cursor
    return TradesPage(
        [read_trade(raw) for raw in page.data or ()],
        None if cursor in (None, "", _LAST_CURSOR) else cursor,
    )


def not_json(payload: bytes | msgspec.Raw) -> Rejection:
    """The rejection of bytes that are no JSON."""
    return Rejection(UserFault.NOT_JSON, f"not JSON: {len(bytes(payload))} bytes")


def _owner(raw: bytes | msgspec.Raw) -> str | None:
    try:
        refuse_doubled(raw)  # whose it is may be what stands there twice
        return _order_id(_decode_owner(raw).taker_order_id)
    except UNDECODABLE:
        return None


def _word(value: object) -> str:
    return value.upper() if isinstance(value, str) else ""


def _order_id(written: str) -> str | None:
    """None for what is no order's: it may be any order's, in a spelling that nobody knows."""
    digits = written.strip().lower().removeprefix("0x")
    return f"0x{digits}" if _ORDER_DIGITS.fullmatch(digits) else None


def _says(raw: msgspec.Raw) -> bool:
    return bytes(raw).strip(b'" \t\r\n') not in (b"", b"null")


def _known_status(word: str) -> TradeStatus | None:
    if word == _NOT_BROADCAST:
        return TradeStatus.MATCHED
    return TradeStatus(word) if word in TradeStatus.__members__ else None
