"""Facts about one market: what it pays, when it ends, how it may be traded."""

from __future__ import annotations

from typing import Final

import msgspec

from protocol.bounds import AmountE6, EpochMs, Name, PriceE4
from protocol.fee import FeeSchedule, is_rate
from protocol.units import PRICE_SCALE

UP: Final = "Up"
DOWN: Final = "Down"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome and the token that pays 1 USD if it wins."""

    name: Name
    token_id: Name


class MarketInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one series, as the venue lists it."""

    condition_id: Name
    slug: Name
    series: Name
    outcomes: tuple[Outcome, Outcome]
    start_ms: EpochMs
    end_ms: EpochMs
    tick_size_e4: PriceE4
    min_order_size_e6: AmountE6
    fee: FeeSchedule
    neg_risk: bool
    accepting: bool

    def token_of(self, outcome_name: str) -> str:
        """Token id of an outcome by *name*: positions in the venue's lists mean nothing.

        Raises KeyError naming the outcome when the market has no such outcome.
        """
        first, second = self.outcomes
        if first.name == outcome_name:
            return first.token_id
        if second.name == outcome_name:
            return second.token_id
        raise KeyError(f"market {self.slug} has no outcome {outcome_name!r}")


def check_market(market: MarketInfo) -> None:
    """Raises ValueError, which begins with the field, for what the types let through."""
    if not is_rate(market.fee.rate):
        raise ValueError("fee.rate: not a share")
    if not 0 < market.tick_size_e4 < PRICE_SCALE:
        raise ValueError("tick_size_e4: not in (0, 1)")


def floor_to_tick_e4(price_e4: int, tick_size_e4: int) -> int:
    """The highest price on the tick grid at or below `price_e4`, at most 1 - tick."""
    return min(price_e4 // tick_size_e4 * tick_size_e4, PRICE_SCALE - tick_size_e4)
