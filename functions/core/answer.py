"""What the venue's answer to one POST means: accepted, *proven* rejected, or unknown.

Only proof of non-acceptance is a rejection (invariant 4). Whatever is not recognised is unknown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec


class RejectReason(StrEnum):
    """Why the venue did not accept an order; the closed set."""

    NO_MATCH = "no_match"
    FOK_NOT_FILLED = "fok_not_filled"
    NOT_ENOUGH_BALANCE = "not_enough_balance"
    BELOW_MINIMUM = "below_minimum"
    BAD_TICK = "bad_tick"
    BAD_AMOUNTS = "bad_amounts"
    BAD_SIGNATURE = "bad_signature"
    INVALID_ORDER = "invalid_order"
    MARKET_NOT_READY = "market_not_ready"
    MARKET_CLOSED = "market_closed"
    ENGINE_RESTARTING = "engine_restarting"
    TRADING_DISABLED = "trading_disabled"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    GEOBLOCKED = "geoblocked"
    NOT_SENT = "not_sent"
    """The connection was never made: no byte of the order left this machine."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The venue has the order. `delayed` is accepted with no fill *yet*."""

    status: str
    """`matched`, `partly_matched`, `delayed` or `live`."""
    spend_e6: int
    size_e6: int
    fee_e6: int
    trade_ids: tuple[str, ...] = ()


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The venue proved that it did not take the order; `text` keeps its own words."""

    reason: RejectReason
    text: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """No proof either way. The exposure stays reserved until the venue's evidence resolves it."""

    text: str
    alarm: bool = False
    """True when the venue answered with an order id that is not the one we computed."""


Answer: TypeAlias = Accepted | Rejected | Unknown
