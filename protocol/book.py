"""The order book of one token: what a strategy may look at."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from math import inf
from operator import itemgetter
from typing import Final, TypeAlias

import msgspec

from protocol.bounds import EpochMs, LevelPriceE4, LevelSizeE6, Name
from protocol.units import PRICE_SCALE, cost_e6

# A limit 5% above the highest price the strategy buys at (0.70) reaches 35 levels on the 0.001
# grid. Levels beyond that can neither be bought nor influence a decision, so they do not travel.
PUBLISHED_LEVELS_MAX: Final = 40

# Bids are only looked at, never bought: a feeder may be told to publish fewer of them, but never
# fewer than these, which memories keep and people are shown.
PUBLISHED_BIDS_MIN: Final = 10

Level: TypeAlias = tuple[LevelPriceE4, LevelSizeE6]
"""(price in 1e-4 USD, size in 1e-6 shares)."""
size_of: Final[Callable[[Level], int]] = itemgetter(1)
"""Of a level. Sizes are summed up for each book and strategy, and this is the quickest way."""


class Proof(StrEnum):
    """What shows that a book is the venue's; weakest first."""

    NONE = "none"
    """Nothing does: the book cannot be had at present (the market is dark), and none is sent."""
    TOP = "top"
    """Its best bid and ask are those that the venue named with the last change."""
    CHECKSUM = "checksum"
    """The venue's hash over the whole book is ours."""

    @property
    def rank(self) -> int:
        """A higher one proves more."""
        return _RANKS[self]


_RANKS: Final = {proof: rank for rank, proof in enumerate(Proof)}


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """One token's book. Levels are best first: bids descend, asks ascend.

    The venue's wire order is worst first; only the feeder's builder knows that. `timestamp_ms` and
    `hash` are the venue's own of this version of the book; 0 and "" where it named none.
    """

    token_id: Name
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    timestamp_ms: EpochMs = 0
    hash: Name = ""

    @property
    def best_bid_e4(self) -> int | None:
        """Highest bid in 1e-4 USD, None for an empty side."""
        return self.bids[0][0] if self.bids else None

    @property
    def best_ask_e4(self) -> int | None:
        """Lowest ask in 1e-4 USD, None for an empty side."""
        return self.asks[0][0] if self.asks else None

    @property
    def mid_e4(self) -> float | None:
        """Middle of the top of book in 1e-4 USD (a half is exact in a float), None if one-sided."""
        if not self.bids or not self.asks:
            return None
        return (self.bids[0][0] + self.asks[0][0]) / 2

    @property
    def spread_e4(self) -> int | None:
        """Best ask minus best bid in 1e-4 USD, None if one-sided; zero or less when crossed."""
        if not self.bids or not self.asks:
            return None
        return self.asks[0][0] - self.bids[0][0]

    def imbalance(self, levels: int) -> float | None:
        """(bid - ask) / (bid + ask) over the sizes of the best `levels` levels, in [-1, 1].

        None when both sides are empty.
        """
        bid = sum(map(size_of, self.bids[:levels]))
        ask = sum(map(size_of, self.asks[:levels]))
        total = bid + ask
        return (bid - ask) / total if total else None

    def ask_depth_usd_e6(self, up_to_price_e4: int, enough_e6: float = inf) -> int:
        """USD (1e-6) that buys every ask at or below `up_to_price_e4`, fees not included; where
        they are `enough_e6`, no further ask is counted."""
        total = 0
        for price_e4, size_e6 in self.asks:
            if price_e4 > up_to_price_e4 or total >= enough_e6:
                break
            total += cost_e6(price_e4, size_e6)
        return total


def check_order(book: Book) -> None:
    """Raise ValueError unless levels are strictly best first.

    A book may be crossed here: that is a fact for the strategy to refuse, not a malformed message.
    """
    previous_e4 = PRICE_SCALE
    for price_e4, _ in book.bids:
        if price_e4 >= previous_e4:
            raise ValueError(f"bids: price {price_e4}e-4 is out of order")
        previous_e4 = price_e4
    previous_e4 = 0
    for price_e4, _ in book.asks:
        if price_e4 <= previous_e4:
            raise ValueError(f"asks: price {price_e4}e-4 is out of order")
        previous_e4 = price_e4
