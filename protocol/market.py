"""Facts about one market: what it pays, when it ends, how it may be traded."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Final

import msgspec

from protocol.units import PRICE_SCALE

UP: Final = "Up"
DOWN: Final = "Down"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome and the token that pays 1 USD if it wins."""

    name: str
    token_id: str


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """Taker fee: shares x rate x (p(1-p))^exponent, in USD, on top of the amount spent."""

    rate: Decimal
    exponent: int


NO_FEE: Final = FeeSchedule(rate=Decimal(0), exponent=1)


class MarketInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one series, as the venue lists it."""

    condition_id: str
    slug: str
    series: str
    outcomes: tuple[Outcome, Outcome]
    start_ms: int
    end_ms: int
    tick_size_e4: int
    min_order_size_e6: int
    fee: FeeSchedule
    neg_risk: bool
    accepting: bool

    def token_of(self, outcome_name: str) -> str:
        """Token id of an outcome by *name*: positions in the venue's lists mean nothing.

        Raises KeyError naming the outcome when the market has no such outcome.
        """
        for outcome in self.outcomes:
            if outcome.name == outcome_name:
                return outcome.token_id
        raise KeyError(f"market {self.slug} has no outcome {outcome_name!r}")


def floor_to_tick_e4(price_e4: int, tick_size_e4: int) -> int:
    """The highest price on the tick grid at or below `price_e4`, at most 1 - tick."""
    return min(price_e4 // tick_size_e4 * tick_size_e4, PRICE_SCALE - tick_size_e4)


def taker_fee_e6(fee: FeeSchedule, price_e4: int, size_e6: int) -> int:
    """Fee of a taker fill in 1e-6 USD, rounded up (an estimate must not flatter).

    Source: the venue's fee page and `feeSchedule`; crypto markets: rate 0.07, exponent 1, so
    1.75 USD per 100 shares at 0.50.
    """
    price = Decimal(price_e4) / PRICE_SCALE
    fee_usd_e6 = size_e6 * fee.rate * (price * (1 - price)) ** fee.exponent
    return int(fee_usd_e6.to_integral_value(rounding=ROUND_CEILING))
