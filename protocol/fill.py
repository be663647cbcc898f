"""`Fill`: one trade of one of our orders, as the venue reports it, on `fill.<condition id>`.

A trade goes MATCHED -> MINED -> CONFIRMED, or over RETRYING to FAILED. Two questions matter: does
it still count (it did not fail), and can that still change.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from protocol.bounds import AmountE6, EpochMs, Name, PriceE4
from protocol.side import Side
from protocol.snapshot import UNDECODABLE, ProtocolError
from protocol.text import encoded


class TradeStatus(StrEnum):
    """Where a trade stands, as the venue calls it."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    RETRYING = "RETRYING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One trade at one status. The same trade comes several times, in any order."""

    trade_id: Name
    order_id: Name
    """The taker order's id: ours, when we are the taker."""
    condition_id: Name
    token_id: Name
    status: TradeStatus
    price_e4: PriceE4
    size_e6: AmountE6
    matched_at_ms: EpochMs
    side: Side = Side.BUY
    """Of the order. Feeders that were older than this field published purchases only."""


def message_id(fill: Fill) -> str:
    """What the stream deduplicates by: the same trade at the same status is one message."""
    return f"{fill.trade_id}:{fill.status}"


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Fill)


def encode_fill(fill: Fill) -> bytes:
    """One JSON object, UTF-8."""
    return encoded(_encoder.encode, fill)


def decode_fill(payload: bytes) -> Fill:
    """Inverse of `encode_fill`. Raises ProtocolError naming the missing or malformed field."""
    try:
        return _decoder.decode(payload)
    except UNDECODABLE as error:
        raise ProtocolError(f"fill: {error}") from error
