"""Fill-and-kill and fill-or-kill BUYs against a ladder of asks. Pure, exact integers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from protocol.book import Level
from protocol.fee import FeeSchedule
from protocol.units import cost_e6
from sandbox.simulator.rules import fee_e6


class VenueFill(msgspec.Struct, frozen=True, kw_only=True):
    """Shares bought at one price level."""

    price_e4: int
    size_e6: int
    spend_e6: int
    fee_e6: int


def buy(
    asks: Iterable[Level], limit_e4: int, spend_e6: int, fee: FeeSchedule
) -> tuple[list[VenueFill], bool]:
    """Spend up to `spend_e6` on asks (best first) up to the limit; fee comes on top.

    Returns the fills and whether the whole amount was spent. A better price buys more shares than
    the order asked for, as it does at the real venue: a market BUY is an amount of USD.
    """
    fills: list[VenueFill] = []
    left_e6 = spend_e6
    for price_e4, size_e6 in asks:
        if price_e4 > limit_e4:
            return fills, False
        size = min(size_e6, left_e6 * 10_000 // price_e4)  # at least 1: prices are below 1 USD
        # When the money ends first, shares are floored and the rounding stays with the maker.
        spent = cost_e6(price_e4, size) if size == size_e6 else left_e6
        fills.append(
            VenueFill(
                price_e4=price_e4,
                size_e6=size,
                spend_e6=spent,
                fee_e6=fee_e6(fee, price_e4, size),
            )
        )
        left_e6 -= spent
        if left_e6 == 0:
            return fills, True
    return fills, False
