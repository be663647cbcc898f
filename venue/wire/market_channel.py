"""Bytes of the venue's market channel to typed events.

A frame is the text `PONG`, one JSON object or an array of them; `event_type` says what an object
is. Types that are not known here are events too (`UnknownEvent`): the venue adds some without
notice, and the feeder counts them. Unknown fields are ignored.

1. Each event of a frame is judged alone, and so is each entry of a `price_change`. What is
   malformed becomes an event of its own, `Malformed`; its siblings are decoded all the same, in
   wire order.
2. A malformed event may have been a change that nobody can make up for, so it says whose books can
   no longer be trusted. The malformed entries of a `price_change` come before its other entries: no
   book is shown that one of them may have changed.
3. A `book` has all of its levels or none: one malformed level makes all of it malformed.
4. Prices and sizes stay the venue's own strings here, in wire order: the venue's checksum is over
   those, and the books turn them into integers. An empty or null size is 0. An empty best price is
   an empty side, a null one is not given. A price or size that is a JSON number is malformed: the
   text that the venue has hashed cannot be known, so no book could be proven with it.

Shapes: the venue's market channel page, and its asyncapi description.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from protocol.bounds import EpochMs
from venue.wire.errors import UNDECODABLE, undecodable

PONG: Final = b"PONG"
MALFORMED_MAX: Final = 16
"""A frame with more malformed parts is not judged part by part: each costs time, and each that
names no market puts all books in doubt again."""

Hash: TypeAlias = Annotated[str, msgspec.Meta(max_length=128)]
"""A SHA-1 in hex has 40 characters. Hundreds a market are remembered, so none may be a megabyte."""


class FrameFault(StrEnum):
    """Why a frame, or a part of one, was rejected; the closed set behind a metric's label."""

    NOT_JSON = "not_json"
    MALFORMED = "malformed"
    INVALID_NUMBER = "invalid_number"


class WireLevel(msgspec.Struct, frozen=True, gc=False):
    """One level as sent: decimal strings."""

    price: str
    size: str | None


class _Event(msgspec.Struct, frozen=True, gc=False, tag_field="event_type"):
    market: str
    timestamp: EpochMs
    """The venue sends it as a string, the decoder accepts both."""


class BookEvent(_Event, frozen=True, gc=False, tag="book"):
    """The whole book of one token. Levels are worst first on the wire; do not rely on it.

    The channel sends it, and `GET /book` answers with it. What is None was not sent.
    """

    asset_id: str
    bids: list[WireLevel] | None
    asks: list[WireLevel] | None
    hash: Hash | None = None
    tick_size: str | float | None = None
    min_order_size: str | float | None = None
    neg_risk: bool | None = None
    last_trade_price: str | None = None


class PriceChange(msgspec.Struct, frozen=True, gc=False):
    """One level's new aggregate size; 0, also as "" or null, removes the level.

    `best_bid`/`best_ask` is the top of the token's book after the change, None when not sent.
    """

    asset_id: str
    price: str
    size: str | None
    side: Literal["BUY", "SELL"]
    best_bid: str | None = None
    best_ask: str | None = None
    hash: Hash | None = None


class PriceChangeEvent(_Event, frozen=True, gc=False, tag="price_change"):
    """Changes of one market, usually of both tokens at once."""

    price_changes: tuple[PriceChange, ...]


class LastTradeEvent(_Event, frozen=True, gc=False, tag="last_trade_price"):
    """A trade. It changes no book (its `price_change` does), but the venue hashes its price."""

    asset_id: str
    price: str | None
    """"" and None when the venue does not say."""


class TickSizeChangeEvent(_Event, frozen=True, gc=False, tag="tick_size_change"):
    """The token's price grid changes: levels seen so far belong to the old one."""

    asset_id: str
    new_tick_size: str


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type that is not known here."""

    event_type: str


class Pong(msgspec.Struct, frozen=True):
    """The answer to our text `PING`."""


class Malformed(msgspec.Struct, frozen=True):
    """A frame, or a part of one, that cannot be used, and whose books it may have changed."""

    fault: FrameFault
    reason: str
    """Names the field."""
    market: str | None
    """A condition id; None when it may be any market, "" when it is none."""
    token_id: str | None = None
    """None when it may be any token of the market."""


KnownEvent: TypeAlias = BookEvent | PriceChangeEvent | LastTradeEvent | TickSizeChangeEvent
Event: TypeAlias = KnownEvent | UnknownEvent | Pong | Malformed


class _Header(msgspec.Struct):
    # A notice of the venue's without one is none of the book events: unknown, but no doubt.
    event_type: str = ""


class _Market(msgspec.Struct):
    market: str
    event_type: object = None


class _Token(msgspec.Struct):
    asset_id: str


class _RawPriceChangeEvent(_Event, frozen=True, gc=False, tag="price_change"):
    price_changes: list[msgspec.Raw]


_PONG_FRAME: Final = (Pong(),)
_KNOWN_TYPES: Final = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (BookEvent, PriceChangeEvent, LastTradeEvent, TickSizeChangeEvent)
)
# Not strict: only that turns the venue's "1757908892351" into an integer on the way. It changes
# nothing for fields declared as strings.
_decode_any: Final = msgspec.json.Decoder(KnownEvent | list[KnownEvent], strict=False).decode
# What nearly every frame ends with. Decoded as one of several kinds, it is first read to its end.
_CHANGES_ENDS: Final = (b',"event_type":"price_change"}', b', "event_type":"price_change"}')
_decode_changes: Final = msgspec.json.Decoder(PriceChangeEvent, strict=False).decode
_decode_one: Final = msgspec.json.Decoder(KnownEvent, strict=False).decode
# A tag that is missing is no error where only one kind of struct can come.
_decode_book: Final = msgspec.json.Decoder(BookEvent, strict=False).decode
_decode_raw_changes: Final = msgspec.json.Decoder(_RawPriceChangeEvent, strict=False).decode
_decode_change: Final = msgspec.json.Decoder(PriceChange).decode
_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_market: Final = msgspec.json.Decoder(_Market).decode
_decode_token: Final = msgspec.json.Decoder(_Token).decode
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def decode_frame(payload: bytes) -> Sequence[Event]:
    """One frame to its events, in wire order; `[]` is a frame without events. Never raises."""
    if payload == PONG:
        return _PONG_FRAME
    if payload.endswith(_CHANGES_ENDS):
        try:
            return (_decode_changes(payload),)
        except UNDECODABLE:
            return _decode_each(payload)
    try:
        events = _decode_any(payload)
    except UNDECODABLE:
        return _decode_each(payload)
    return events if isinstance(events, list) else (events,)


def decode_book(payload: bytes) -> BookEvent:
    """The answer of `GET /book`, which is a `book` without `event_type`.

    Raises WireError naming the field that is malformed.
    """
    try:
        return _decode_book(payload)
    except UNDECODABLE as error:
        raise undecodable("book", error) from error


def _decode_each(payload: bytes) -> list[Event]:
    """The same for a frame with an event that is unknown or malformed: each is judged alone."""
    if payload.lstrip()[:1] != b"[":
        return _decode_alone(payload, "")
    try:
        parts = _split(payload)
    except UNDECODABLE as error:
        return [_malformed(payload, "", error)]
    events: list[Event] = []
    malformed = 0
    for index, part in enumerate(parts):
        found = _decode_alone(bytes(part), f"event {index}: ")
        malformed += sum(isinstance(event, Malformed) for event in found)
        if malformed > MALFORMED_MAX:
            reason = f"more than {MALFORMED_MAX} malformed parts"
            return [Malformed(FrameFault.MALFORMED, reason, None)]
        events += found
    return events


def _decode_alone(payload: bytes, where: str) -> list[Event]:
    try:
        event_type = _decode_header(payload).event_type
        if event_type not in _KNOWN_TYPES:
            return [UnknownEvent(event_type)]
        return [_decode_one(payload)]
    except UNDECODABLE as error:
        return _salvaged(payload, where) or [_malformed(payload, where, error)]


def _salvaged(payload: bytes, where: str) -> list[Event]:
    """The malformed entries of a `price_change`, then the others; nothing of any other event."""
    try:
        event = _decode_raw_changes(payload)
    except UNDECODABLE:
        return []
    malformed: list[Event] = []
    changes: list[PriceChange] = []
    for index, entry in enumerate(event.price_changes):
        try:
            changes.append(_decode_change(entry))
        except UNDECODABLE as error:
            reason = f"{where}price_changes[{index}]: {error}"
            whose = event.market, _token_of(entry)
            malformed.append(Malformed(_fault_of(error), reason, *whose))
            if len(malformed) > MALFORMED_MAX:
                return []  # no use in judging the rest
    rest = [PriceChangeEvent(event.market, event.timestamp, tuple(changes))] if changes else []
    return [*malformed, *rest]


def _malformed(payload: bytes, where: str, error: Exception) -> Malformed:
    fault = _fault_of(error)
    if fault is FrameFault.MALFORMED:
        reason = f"{where}{error}"
    else:
        reason = f"{where}not JSON: {error}: {payload[:80]!r}"
        if payload.lstrip()[:1] not in (b"{", b"["):
            # Plain text, such as the venue's answer to an operation it does not like, was no event.
            return Malformed(fault, reason, "")
    try:
        market = _decode_market(payload)
    except UNDECODABLE:
        return Malformed(fault, reason, None)
    # Of the events with a token only this one changes no more than the token's book.
    token_id = _token_of(payload) if market.event_type == "book" else None
    return Malformed(fault, reason, market.market, token_id)


def _token_of(payload: bytes | msgspec.Raw) -> str | None:
    try:
        return _decode_token(payload).asset_id
    except UNDECODABLE:
        return None


def _fault_of(error: Exception) -> FrameFault:
    known = isinstance(error, msgspec.ValidationError)
    return FrameFault.MALFORMED if known else FrameFault.NOT_JSON
