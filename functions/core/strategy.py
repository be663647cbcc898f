"""What a strategy is: one snapshot in, `Trade` or `Hold(reason)` out. Pure.

A strategy is only asked about a book that has passed the gate (`functions.core.gate`): it decides
on prices and sizes, and knows nothing of proof, age or time to close. Each strategy has a file of
its own and is listed in `functions.core.strategy_registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from functions.core.hold import Hold
from protocol.side import Side
from protocol.snapshot import BookSnapshot


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


Strategy: TypeAlias = Callable[[BookSnapshot, OrderConfig, int], Trade | Hold]
"""(snapshot, order, now in epoch milliseconds) -> decision."""
