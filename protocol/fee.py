"""What the venue takes from a taker: the schedule of a market, and the fee of one fill."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

import msgspec

from protocol.bounds import RATE_PATTERN, FeeExponent
from protocol.units import PRICE_SCALE


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """Taker fee: shares x rate x (p(1-p))^exponent, in USD, on top of the amount spent."""

    rate: Decimal
    exponent: FeeExponent


_is_written_as_a_rate: Final = re.compile(RATE_PATTERN).fullmatch


def is_rate(rate: Decimal) -> bool:
    """Whether it is a share, in [0, 1], that a claim can store."""
    return _is_written_as_a_rate(str(rate)) is not None and rate <= 1


NO_FEE: Final = FeeSchedule(rate=Decimal(0), exponent=1)


def taker_fee_e6(fee: FeeSchedule, price_e4: int, size_e6: int) -> int:
    """Fee of a taker fill in 1e-6 USD, rounded up (an estimate must not flatter).

    Source: the venue's fee page and `feeSchedule`; crypto markets: rate 0.07, exponent 1, so
    1.75 USD per 100 shares at 0.50.
    """
    price = Decimal(price_e4) / PRICE_SCALE
    fee_usd_e6 = size_e6 * fee.rate * (price * (1 - price)) ** fee.exponent
    return int(fee_usd_e6.to_integral_value(rounding=ROUND_CEILING))
