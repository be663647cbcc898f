"""What the venue says about an order and about a market: the evidence that moves claims."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from functions.core.claim import NOBODY, PAPER_ORDER, Claim, Trader
from protocol.fill import Fill
from protocol.units import cost_e6
from venue.wire.orders import OrderRecord


class OrderLookup(msgspec.Struct, frozen=True, kw_only=True):
    """One complete lookup of an order: both questions were answered, at nearly the same time.

    `order is None` and no trades is "not found", which proves nothing by itself: reads lag, and to
    another trader than the order's the venue shows nothing.
    """

    seen_by: Trader
    """In whose name was asked, NOBODY without credentials."""
    order: OrderRecord | None
    trades: tuple[Fill, ...]
    asked_at_ms: int | None = None
    """When was asked, at the latest, by the venue's own clock. None where the venue has not said
    it: what such a lookup does not show is not counted."""


def sees(trader: Trader, claim: Claim) -> bool:
    """Whether what `trader` does not see of the claim's order is evidence that it is not there.

    Of a claim that does not say whose it is (it is from before traders were stored, or an older
    version has rewritten it) nobody knows who would see it. Of a paper order, everybody knows that
    no venue has it.
    """
    if claim.order_id.startswith(PAPER_ORDER):
        return True
    return trader != NOBODY and claim.trader == trader


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What a market's tokens pay, final."""

    payouts_e6: dict[str, int]
    """token id -> USD a share in 1e-6: 1,000,000 for the winner, 500,000 each for a split, for a
    void whatever the venue's final prices say."""
    source: str
    """Whose word it is: `clob` or `gamma`."""


class Undecided(msgspec.Struct, frozen=True, kw_only=True):
    """The venue answered, and what a market's tokens pay is not final, or not proven."""

    reason: str
    """What the CLOB and Gamma say, in a few words."""


def plausible(claim: Claim, lookup: OrderLookup) -> bool:
    """Whether the order's money can have bought what was looked up: sizes are decimal shares, and
    were they ever written in millionths, they would cost more than the order even at the lowest
    price there is."""
    matched_e6 = 0 if lookup.order is None else lookup.order.size_matched_e6
    return cost_e6(1, matched_e6) <= claim.spend_e6 and plausible_trades(claim, lookup.trades)


def plausible_trades(claim: Claim, trades: Iterable[Fill]) -> bool:
    """Whether the order's money can have bought each of these trades, whoever has told them."""
    # Twice: a trade's price may be rounded to the tick. And nothing is bought for nothing.
    return all(
        cost_e6(max(fill.price_e4, 1), fill.size_e6) <= 2 * claim.spend_e6 for fill in trades
    )
