"""What a strategy is: one snapshot in, `Trade` or `Hold(reason)` out. Pure.

A strategy is only asked about a book that has passed the gate (`functions.core.gate`): it decides
on prices and sizes, and knows nothing of proof, age or time to close. Each strategy has a file of
its own and is listed in `functions.core.strategy_registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from protocol.side import Side
from protocol.snapshot import BookSnapshot


class HoldReason(StrEnum):
    """Why nothing is bought on this book; the closed set, in the order of the checks."""

    # The fence (`functions.core.fencing`).
    SUPERSEDED = "superseded"
    # The gate (`functions.core.gate`).
    DARK = "dark"
    UNPROVEN = "unproven"
    STALE_BOOK = "stale_book"
    NOT_ACCEPTING = "not_accepting"
    NOT_STARTED = "not_started"
    TOO_CLOSE_TO_END = "too_close_to_end"
    # The strategy.
    UNKNOWN_OUTCOMES = "unknown_outcomes"
    ONE_SIDED = "one_sided"
    CROSSED = "crossed"
    OUTSIDE_PRICE_ZONE = "outside_price_zone"
    SPREAD_TOO_WIDE = "spread_too_wide"
    NO_IMBALANCE = "no_imbalance"
    THIN_ASKS = "thin_asks"
    BELOW_MINIMUM = "below_minimum"


class OrderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How large an order is and how far its limit price may be from the signal's."""

    spend_e6: int = 1_100_000
    """In 1e-6 USD."""
    spend_min_e6: int = 1_000_000
    """The venue refuses a marketable BUY below 1 USD."""
    slippage_max_bps: int = 500
    """How far above the price the signal saw an order may still buy, in 1/100 of a percent."""
    enforce_min_order_size: bool = False
    """Whether the market's minimum size, meant for resting orders, also binds ours."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """Buy `outcome` for `spend_e6`, at most at `max_price_e4`."""

    side: Side = Side.BUY
    """Nothing sells yet: the executor refuses another side."""
    outcome: str
    token_id: str
    imbalance: float
    signal_price_e4: int
    """Best ask of the bought token when the signal was seen."""
    max_price_e4: int
    spend_e6: int


class Hold(msgspec.Struct, frozen=True):
    """Buy nothing on this book."""

    reason: HoldReason


Strategy: TypeAlias = Callable[[BookSnapshot, OrderConfig, int], Trade | Hold]
"""(snapshot, order, now in epoch milliseconds) -> decision."""

_HOLDS: Final = {reason: Hold(reason) for reason in HoldReason}  # one object a reason: no garbage


def hold(reason: HoldReason) -> Hold:
    """The one `Hold` of a reason."""
    return _HOLDS[reason]
