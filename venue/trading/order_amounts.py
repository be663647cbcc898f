"""What a market BUY gives and asks for, in base units, as the official client rounds it. Pure.

1. Of the money only whole cents are spent.
2. The shares are cut, never rounded up, to the decimals that the venue takes on the market's tick:
   more shares for the same money would be a price a hair below the limit, and an ask that rests
   exactly there could not be bought.
3. Fewer shares are a price a hair above the limit. It stays below the next price of the finest tick
   there is: no dearer ask is bought, even if the market's tick becomes finer meanwhile.

The client computes with Decimal, and rounds in three steps. Here one division is all: a share costs
at most 9,999 units, so the steps never differ from it. Tests hold the two against each other.
"""

from __future__ import annotations

from typing import Final

from protocol.units import AMOUNT_E6_MAX, PRICE_SCALE

CENT_E6: Final = 10_000
TICKS_E4: Final = {
    1_000: 1_000,
    100: 100,
    50: 10,
    25: 1,
    10: 10,
    1: 1,
}
"""Ticks of the venue, in 1e-4 USD, each with the smallest part of a share that is bought there, in
1e-6 shares: 3, 4, 5, 6, 5, 6 decimals."""


class OrderAmountError(ValueError):
    """No such order can be made; the text says why."""


def buy_amounts(spend_e6: int, max_price_e4: int, tick_e4: int) -> tuple[int, int]:
    """Maker amount (1e-6 USD given) and taker amount (1e-6 shares asked for).

    Raises OrderAmountError where the official client refuses, too.
    """
    part_e6 = TICKS_E4.get(tick_e4)
    if part_e6 is None:
        raise OrderAmountError(f"no tick size of the venue: {tick_e4}e-4")
    if not tick_e4 <= max_price_e4 <= PRICE_SCALE - tick_e4:
        raise OrderAmountError(f"a price of {max_price_e4}e-4 is not within tick size {tick_e4}e-4")
    if max_price_e4 % tick_e4:
        raise OrderAmountError(f"a price of {max_price_e4}e-4 is not on tick size {tick_e4}e-4")
    if spend_e6 > AMOUNT_E6_MAX:
        raise OrderAmountError(f"more than is money: {spend_e6}e-6 USD")
    maker_e6 = spend_e6 // CENT_E6 * CENT_E6
    taker_e6 = maker_e6 * PRICE_SCALE // (max_price_e4 * part_e6) * part_e6
    if maker_e6 <= 0 or taker_e6 <= 0:
        raise OrderAmountError(f"{spend_e6}e-6 USD round to nothing")
    if maker_e6 * PRICE_SCALE >= taker_e6 * (max_price_e4 + 1):
        raise OrderAmountError(
            f"{spend_e6}e-6 USD at {max_price_e4}e-4 cannot be rounded without a dearer price"
        )
    return maker_e6, taker_e6
