"""Bytes of the venue's user channel, and of `GET /data/trades`, to events.

A frame is the text `PONG`, one JSON object or an array of them, as on the market channel; a trade
of the look-up has the same fields, without `event_type`.

1. Events stand alone: a malformed one becomes a `Rejection` and takes no other with it.
2. Sets that the venue may extend are open: an unknown event type, order event or field is no error.
   An unknown *trade status* is one, because nobody could say whether that trade still counts.
3. Only trades in which we are the taker and buy become a `Fill`; the others are `Skipped`: this
   system places nothing else, and a `Fill` has no side.
4. The text of a rejection never quotes what is not JSON: it might be the echo of our credentials.

Shapes: the venue's user channel page and its asyncapi description; the variants that they do not
mention (`matchtime`, `token_id`, prefixed statuses, ISO times) are those that the official client
takes (polymarket-client 0.14.0, models/clob).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import msgspec

from protocol.fill import Fill, TradeStatus
from protocol.units import PRICE_SCALE, parse_price_e4, parse_size_e6
from venue.wire.market_channel import PONG, Pong, UnknownEvent

# Ids end up in subjects and headers, so their characters are checked: nothing that separates there.
_Id: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
_STATUS_PREFIX: Final = "TRADE_STATUS_"
# Matched, and not yet sent to the chain: a stage before the others, seen in look-ups only.
_NOT_BROADCAST: Final = "MATCHED_NOT_BROADCASTED"
# Seconds and milliseconds are told apart as the official client does it: 10^11 s is the year 5138.
_MS_FROM: Final = 10**11
_MS_MAX: Final = 10**15
# The venue's own mark of the last page.
_LAST_CURSOR: Final = "LTE="


class UserFault(StrEnum):
    """Why an event was rejected; the closed set behind a metric's label."""

    NOT_JSON = "not_json"
    MALFORMED = "malformed"
    INVALID_NUMBER = "invalid_number"
    UNKNOWN_STATUS = "unknown_status"


class SkipReason(StrEnum):
    """Why a sound trade is none of ours to tell."""

    MAKER = "maker"
    SELL = "sell"


class OrderChange(StrEnum):
    """What an order event reports; OTHER is whatever the venue has added since."""

    PLACEMENT = "PLACEMENT"
    UPDATE = "UPDATE"
    CANCELLATION = "CANCELLATION"
    OTHER = "OTHER"


class OrderEvent(msgspec.Struct, frozen=True):
    """Something happened to an order; trades tell what it means."""

    change: OrderChange


class Skipped(msgspec.Struct, frozen=True):
    """A trade that is no fill of ours."""

    reason: SkipReason


class Rejection(msgspec.Struct, frozen=True):
    """An event that cannot be used; the text names the field."""

    fault: UserFault
    text: str


UserEvent: TypeAlias = Fill | OrderEvent | Skipped | UnknownEvent | Pong | Rejection


class TradesPage(msgspec.Struct, frozen=True):
    """One page of a look-up."""

    events: list[UserEvent]
    next_cursor: str | None
    """None on the last page."""


class PageError(ValueError):
    """An answer that is no page of trades; the text says why."""


class _Header(msgspec.Struct):
    event_type: str = ""


class _Order(msgspec.Struct):
    type: str


class _Trade(msgspec.Struct):
    id: _Id
    taker_order_id: _Id
    market: _Id
    status: str
    price: str
    size: str
    asset_id: _Id | None = None
    token_id: _Id | None = None
    side: str = "BUY"
    trader_side: str = "TAKER"
    """The documented example lacks it. A maker's trade that does not say so does no harm: its
    taker's order id is no claim's."""
    match_time: str | int | None = None
    matchtime: str | int | None = None
    last_update: str | int | None = None
    timestamp: str | int | None = None


class _Page(msgspec.Struct):
    data: list[msgspec.Raw] | None
    next_cursor: str | None = None


_PONG_FRAME: Final[list[UserEvent]] = [Pong()]
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_order: Final = msgspec.json.Decoder(_Order).decode
_decode_trade: Final = msgspec.json.Decoder(_Trade).decode
_decode_page: Final = msgspec.json.Decoder(_Page).decode


def decode_user_frame(payload: bytes) -> list[UserEvent]:
    """One frame to its events, in wire order. Raises nothing, whatever the bytes are."""
    if payload == PONG:
        return _PONG_FRAME
    if payload.lstrip()[:1] != b"[":
        return [_event(payload)]
    try:
        raws = _split(payload)
    except _UNDECODABLE:
        return [_not_json(payload)]
    return [_event(raw) for raw in raws]


def decode_trades_page(body: bytes) -> TradesPage:
    """An answer of `GET /data/trades`. Raises PageError when it is not a page at all."""
    try:
        page = _decode_page(body)
    except _UNDECODABLE as error:
        raise PageError(f"not a page of trades: {error}") from error
    cursor = page.next_cursor
    return TradesPage(
        [_trade(raw) for raw in page.data or ()],
        None if cursor in (None, "", _LAST_CURSOR) else cursor,
    )


def _event(raw: bytes | msgspec.Raw) -> UserEvent:
    try:
        event_type = _decode_header(raw).event_type
        if event_type == "trade":
            return _trade(raw)
        if event_type == "order":
            change = _decode_order(raw).type.upper()
            known = change in OrderChange.__members__
            return OrderEvent(OrderChange(change) if known else OrderChange.OTHER)
    except msgspec.ValidationError as error:
        return Rejection(UserFault.MALFORMED, str(error))
    except _UNDECODABLE:
        return _not_json(raw)
    return UnknownEvent(event_type)


def _trade(raw: bytes | msgspec.Raw) -> Fill | Skipped | Rejection:
    try:
        trade = _decode_trade(raw)
    except msgspec.ValidationError as error:
        return Rejection(UserFault.MALFORMED, f"trade: {error}")
    except _UNDECODABLE:
        return _not_json(raw)
    if trade.trader_side.upper() == "MAKER":
        return Skipped(SkipReason.MAKER)
    if trade.side.upper() == "SELL":
        return Skipped(SkipReason.SELL)
    status = _status(trade.status)
    if status is None:
        return Rejection(
            UserFault.UNKNOWN_STATUS, f"trade {trade.id}: status {trade.status[:40]!r}"
        )
    return _fill(trade, status)


def _status(text: str) -> TradeStatus | None:
    word = text.upper().removeprefix(_STATUS_PREFIX)
    if word == _NOT_BROADCAST:
        return TradeStatus.MATCHED
    return TradeStatus(word) if word in TradeStatus.__members__ else None


def _fill(trade: _Trade, status: TradeStatus) -> Fill | Rejection:
    token_id = trade.asset_id or trade.token_id
    if token_id is None:
        return Rejection(UserFault.MALFORMED, f"trade {trade.id}: no asset_id")
    try:
        return Fill(
            trade_id=trade.id,
            order_id=trade.taker_order_id,
            condition_id=trade.market,
            token_id=token_id,
            status=status,
            price_e4=_price_e4(trade.price),
            size_e6=parse_size_e6(trade.size),
            matched_at_ms=_matched_at_ms(trade),
        )
    except ValueError as error:
        return Rejection(UserFault.INVALID_NUMBER, f"trade {trade.id}: {error}")


def _price_e4(text: str) -> int:
    """Rounded up when it is finer than a tick can be: a trade with several makers may carry their
    average, and a buyer's cost must not be stated below what was paid."""
    whole, point, fraction = text.partition(".")
    finer = fraction[4:].rstrip("0")
    price_e4 = parse_price_e4(f"{whole}{point}{fraction[:4]}")
    if not finer:
        return price_e4
    if not (finer.isdigit() and finer.isascii()) or price_e4 >= PRICE_SCALE:
        raise ValueError(f"not a price: {text[:40]!r}")
    return price_e4 + 1


def _matched_at_ms(trade: _Trade) -> int:
    """The match time, else the nearest thing to it. Raises ValueError when there is none."""
    for stamp in (trade.match_time, trade.matchtime, trade.last_update, trade.timestamp):
        if stamp not in (None, ""):
            return _epoch_ms(str(stamp))
    raise ValueError("no match_time")


def _epoch_ms(text: str) -> int:
    if text.isdigit() and text.isascii() and len(text) <= len(str(_MS_MAX)):
        number = int(text)
        epoch_ms = number if number >= _MS_FROM else number * 1000
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"not a time: {text[:40]!r}") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        epoch_ms = int(moment.timestamp() * 1000)
    if not 0 <= epoch_ms < _MS_MAX:
        raise ValueError(f"not a time: {text[:40]!r}")
    return epoch_ms


def _not_json(payload: bytes | msgspec.Raw) -> Rejection:
    return Rejection(UserFault.NOT_JSON, f"not JSON: {len(bytes(payload))} bytes")
