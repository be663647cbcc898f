"""Bytes of the venue's user channel to events. Pure.

A frame is the text `PONG`, one JSON object or an array of them, as on the market channel.

1. Events stand alone: a malformed one becomes a `Rejection` and takes no other with it.
2. Sets that the venue may extend are open: an unknown event type, order event or field is no error.
3. A trade is read by `venue.wire.trades`, as in a lookup; its rulings are there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from venue.wire.errors import UNDECODABLE, without_half_characters
from venue.wire.market_channel import PONG, Pong, UnknownEvent
from venue.wire.trades import Rejection, UserFault, VenueTrade, not_json, read_trade


class OrderChange(StrEnum):
    """What an order event reports; OTHER is whatever the venue has added since."""

    PLACEMENT = "PLACEMENT"
    UPDATE = "UPDATE"
    CANCELLATION = "CANCELLATION"
    OTHER = "OTHER"


class OrderEvent(msgspec.Struct, frozen=True):
    """Something happened to an order; trades say what was bought."""

    change: OrderChange


UserEvent: TypeAlias = VenueTrade | OrderEvent | UnknownEvent | Pong | Rejection


class _Header(msgspec.Struct):
    event_type: str = ""


class _Order(msgspec.Struct):
    type: str


_PONG_FRAME: Final[list[UserEvent]] = [Pong()]
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_order: Final = msgspec.json.Decoder(_Order).decode


def decode_user_frame(payload: bytes) -> list[UserEvent]:
    """One frame to its events, in wire order. Raises nothing, whatever the bytes are."""
    if payload == PONG:
        return _PONG_FRAME
    payload = without_half_characters(payload)
    if payload.lstrip()[:1] != b"[":
        return [_event(payload)]
    try:
        raws = _split(payload)
    except UNDECODABLE:
        return [not_json(payload)]
    return [_event(raw) for raw in raws]


def _event(raw: bytes | msgspec.Raw) -> UserEvent:
    try:
        event_type = _decode_header(raw).event_type
        if event_type == "trade":
            return read_trade(raw)
        if event_type == "order":
            change = _decode_order(raw).type.upper()
            known = change in OrderChange.__members__
            return OrderEvent(OrderChange(change) if known else OrderChange.OTHER)
    except msgspec.ValidationError as error:
        return Rejection(UserFault.MALFORMED, str(error))
    except UNDECODABLE:
        return not_json(raw)
    return UnknownEvent(event_type)
