"""One token's book as the venue keeps it.

Not modelled: individual orders and queue positions (a level is one aggregate), hidden liquidity,
and the effect of our orders on other people's. What an order of ours took from a level stays taken
until that level next changes, so that two orders cannot eat the same shares; the *displayed* size
does not shrink, because the recording knows nothing of our orders.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Literal, TypeAlias

from protocol.book import Level
from sandbox.simulator.text import PRICE_TEXT, size_text
from sandbox.simulator.versions import Past, VersionLog

Side: TypeAlias = Literal["BUY", "SELL"]
"""The venue's words: BUY is a bid, SELL an ask."""


class BookSide:
    """One side of a book: prices ascending, and its JSON kept ready level by level."""

    __slots__ = ("_ascending", "_json", "_levels_json", "prices_e4", "sizes_e6")

    def __init__(self, *, ascending: bool) -> None:
        """Wire order is worst first: ascending for bids, descending for asks."""
        self.prices_e4: list[int] = []
        self.sizes_e6: dict[int, int] = {}
        self._ascending = ascending
        self._levels_json: dict[int, str] = {}
        self._json = ""

    def put(self, price_e4: int, size_e6: int) -> None:
        """Make `size_e6` the level's new aggregate; 0 removes the level."""
        if not 0 < price_e4 < 10_000 or size_e6 < 0:
            raise ValueError(f"not a level: price {price_e4}e-4, size {size_e6}e-6")
        self._json = ""
        known = price_e4 in self.sizes_e6
        if size_e6 == 0:
            if known:
                del self.prices_e4[bisect_left(self.prices_e4, price_e4)]
                del self.sizes_e6[price_e4], self._levels_json[price_e4]
            return
        if not known:
            insort(self.prices_e4, price_e4)
        self.sizes_e6[price_e4] = size_e6
        self._levels_json[price_e4] = (
            f'{{"price":"{PRICE_TEXT[price_e4]}","size":"{size_text(size_e6)}"}}'
        )

    def json(self) -> str:
        """The side as a JSON array in wire order."""
        if not self._json:
            prices = self.prices_e4 if self._ascending else reversed(self.prices_e4)
            texts = self._levels_json
            self._json = "[" + ",".join([texts[price] for price in prices]) + "]"
        return self._json


class VenueBook:
    """Bids and asks of one token, and what our own orders have taken from the asks."""

    __slots__ = (
        "_asks",
        "_bids",
        "_taken_e6",
        "past",
        "timestamp_ms",
        "token_id",
        "versions",
    )

    def __init__(self, token_id: str, keep_versions: int = 0) -> None:
        self.token_id = token_id
        self.past = Past()
        self.versions = VersionLog(keep_versions) if keep_versions else None
        self.timestamp_ms = 0
        self._bids = BookSide(ascending=True)
        self._asks = BookSide(ascending=False)
        self._taken_e6: dict[int, int] = {}

    def put(self, side: Side, price_e4: int, size_e6: int) -> None:
        """Set one level's new aggregate size. Raises ValueError for an impossible level."""
        if side == "BUY":
            self._bids.put(price_e4, size_e6)
        else:
            self._asks.put(price_e4, size_e6)
            self._taken_e6.pop(price_e4, None)

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Replace the whole book; an ask level of unchanged size keeps what was taken from it."""
        before, taken = self._asks.sizes_e6, self._taken_e6
        self._bids, self._asks = BookSide(ascending=True), BookSide(ascending=False)
        for price_e4, size_e6 in bids:
            self._bids.put(price_e4, size_e6)
        for price_e4, size_e6 in asks:
            self._asks.put(price_e4, size_e6)
        self._taken_e6 = {
            price: eaten
            for price, eaten in taken.items()
            if self._asks.sizes_e6.get(price) == before.get(price)
        }

    def take(self, price_e4: int, size_e6: int) -> None:
        """Note that an order of ours bought `size_e6` at this ask."""
        self._taken_e6[price_e4] = self._taken_e6.get(price_e4, 0) + size_e6

    def bids(self) -> tuple[Level, ...]:
        """Levels best first."""
        sizes = self._bids.sizes_e6
        return tuple((price, sizes[price]) for price in reversed(self._bids.prices_e4))

    def asks(self) -> tuple[Level, ...]:
        """Levels best first."""
        sizes = self._asks.sizes_e6
        return tuple((price, sizes[price]) for price in self._asks.prices_e4)

    def buyable(self) -> list[Level]:
        """Asks best first, less what our orders have taken; empty levels are left out."""
        taken = self._taken_e6
        left = [(price, size - taken.get(price, 0)) for price, size in self.asks()]
        return [level for level in left if level[1] > 0]

    def best_bid_text(self) -> str:
        """As in a `price_change`: "0" when there is no bid."""
        return PRICE_TEXT[self._bids.prices_e4[-1]] if self._bids.prices_e4 else "0"

    def best_ask_text(self) -> str:
        """As in a `price_change`: "1" when there is no ask."""
        return PRICE_TEXT[self._asks.prices_e4[0]] if self._asks.prices_e4 else "1"

    def bids_json(self) -> str:
        """JSON array in wire order."""
        return self._bids.json()

    def asks_json(self) -> str:
        """JSON array in wire order."""
        return self._asks.json()
