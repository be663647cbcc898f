"""Bytes of the venue's market channel to typed events.

A frame is the text `PONG`, one JSON object or an array of them; `event_type` says what an object
is. Types that are not known here are events too (`UnknownEvent`): the venue adds some without
notice, and the shell counts them. Unknown fields are ignored.

1. A frame is decoded whole or not at all: one malformed event rejects its frame with `FrameError`.
2. A rejected frame may have been a change that nobody can make up for, so the error carries whose
   books can no longer be trusted.
3. Prices and sizes stay the venue's own strings here, in wire order: the venue's checksum is over
   those, and the builder turns them into integers.

Shapes: the venue's market channel page, and its asyncapi description.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

PONG: Final = b"PONG"

TimestampMs: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=10**15)]
"""Epoch milliseconds; the venue sends them as a string, the decoder accepts both."""

Hash: TypeAlias = Annotated[str, msgspec.Meta(max_length=128)]
"""A SHA-1 in hex has 40 characters. Hundreds a market are remembered, so none may be a megabyte."""


class FrameFault(StrEnum):
    """Why a frame was rejected; the closed set behind a metric's label."""

    NOT_JSON = "not_json"
    MALFORMED = "malformed"
    INVALID_NUMBER = "invalid_number"


class FrameError(ValueError):
    """A frame that cannot be used; the text names the field.

    `markets` are the condition ids whose books can no longer be trusted, None when that cannot be
    told, so that it may be any.
    """

    def __init__(self, text: str, fault: FrameFault, markets: frozenset[str] | None) -> None:
        super().__init__(text)
        self.fault = fault
        self.markets = markets


class WireLevel(msgspec.Struct, frozen=True, gc=False):
    """One level as sent: decimal strings."""

    price: str
    size: str


class _Event(msgspec.Struct, frozen=True, gc=False, tag_field="event_type"):
    market: str
    timestamp: TimestampMs


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
    """One level's new aggregate size; 0 removes the level.

    `best_bid`/`best_ask` is the top of the token's book after the change, None when not sent.
    """

    asset_id: str
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    best_bid: str | None = None
    best_ask: str | None = None
    hash: Hash | None = None


class PriceChangeEvent(_Event, frozen=True, gc=False, tag="price_change"):
    """Changes of one market, usually of both tokens at once."""

    price_changes: list[PriceChange]


class LastTradeEvent(_Event, frozen=True, gc=False, tag="last_trade_price"):
    """A trade. It changes no book (its `price_change` does), but the venue hashes its price."""

    asset_id: str
    price: str


class TickSizeChangeEvent(_Event, frozen=True, gc=False, tag="tick_size_change"):
    """The token's price grid changes: levels seen so far belong to the old one."""

    asset_id: str
    new_tick_size: str


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type that is not known here."""

    event_type: str


class Pong(msgspec.Struct, frozen=True):
    """The answer to our text `PING`."""


KnownEvent: TypeAlias = BookEvent | PriceChangeEvent | LastTradeEvent | TickSizeChangeEvent
Event: TypeAlias = KnownEvent | UnknownEvent | Pong


class _Header(msgspec.Struct):
    # A notice of the venue's without one is none of the book events: unknown, but no doubt.
    event_type: str = ""


class _Whose(msgspec.Struct):
    market: str


_PONG_FRAME: Final = (Pong(),)
_KNOWN_TYPES: Final = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (BookEvent, PriceChangeEvent, LastTradeEvent, TickSizeChangeEvent)
)
# Not strict: only that turns the venue's "1757908892351" into an integer on the way. It changes
# nothing for fields declared as strings.
_decode_any: Final = msgspec.json.Decoder(KnownEvent | list[KnownEvent], strict=False).decode
_decode_one: Final = msgspec.json.Decoder(KnownEvent, strict=False).decode
# A tag that is missing is no error where only one kind of struct can come.
_decode_summary: Final = msgspec.json.Decoder(BookEvent, strict=False).decode
_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_whose: Final = msgspec.json.Decoder(_Whose | list[_Whose]).decode
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def decode_frame(payload: bytes) -> Sequence[Event]:
    """One frame to its events, in wire order; `[]` is a frame without events.

    Raises FrameError, the only error that any bytes can lead to.
    """
    if payload == PONG:
        return _PONG_FRAME
    try:
        events = _decode_any(payload)
    except msgspec.ValidationError:
        return _decode_slowly(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(payload, error) from error
    return events if isinstance(events, list) else (events,)


def decode_book(payload: bytes) -> BookEvent:
    """The answer of `GET /book`, which is a `book` without `event_type`. Raises FrameError."""
    try:
        return _decode_summary(payload)
    except msgspec.ValidationError as error:
        raise FrameError(f"book: {error}", FrameFault.MALFORMED, frozenset()) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(payload, error) from error


def _decode_slowly(payload: bytes) -> Sequence[Event]:
    """The same for a frame with an event that is unknown or malformed: find out which."""
    is_array = payload.lstrip()[:1] == b"["
    events: list[Event] = []
    try:
        for index, raw in enumerate(_split(payload) if is_array else [payload]):
            try:
                event_type = _decode_header(raw).event_type
                known = event_type in _KNOWN_TYPES
                events.append(_decode_one(raw) if known else UnknownEvent(event_type))
            except msgspec.ValidationError as error:
                where = f"event {index}: " if is_array else ""
                raise FrameError(
                    f"{where}{error}", FrameFault.MALFORMED, _whose(payload)
                ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(payload, error) from error
    return events


def _not_json(payload: bytes, error: Exception) -> FrameError:
    # Plain text, such as the venue's answer to an operation it does not like, was no event. What
    # starts like JSON may have been one, of any market.
    was_event = payload.lstrip()[:1] in (b"{", b"[")
    return FrameError(
        f"not JSON: {error}: {payload[:80]!r}",
        FrameFault.NOT_JSON,
        None if was_event else frozenset(),
    )


def _whose(payload: bytes) -> frozenset[str] | None:
    try:
        found = _decode_whose(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return frozenset(each.market for each in (found if isinstance(found, list) else [found]))
