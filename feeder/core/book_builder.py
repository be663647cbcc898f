"""One token's book, built from `book` snapshots and `price_change` deltas.

1. A book can be used only while its `trouble` is None. Every doubt sets a trouble, and only a new
   `book` event clears it: a delta-built book that missed one delta is wrong for ever.
2. The wire order of levels means nothing: levels are kept by price.
3. Prices off the market's tick grid are accepted (levels placed on a finer grid stay), but a text
   that is not a number, a price outside (0, 1) or a price named twice in one snapshot is not.
4. A method that raises has changed nothing.

It refuses to repair: what to do about a trouble is the session table's business. The builder gets
the venue's own events, strings and wire order included, because its checksum is over those.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from enum import StrEnum
from functools import lru_cache
from typing import Final

from feeder.core.frames import BookEvent, PriceChange, WireLevel
from protocol.book import PUBLISHED_LEVELS_MAX, Book, Level
from protocol.units import PRICE_SCALE, parse_price_e4, parse_size_e6

# There are 10,001 prices, each with a few spellings ("0.5", "0.50", ".5"): nearly every price text
# is one that was seen before (0.12 us instead of 0.6 us).
_PRICE_TEXTS_MAX: Final = 32_768
_price_e4: Final = lru_cache(maxsize=_PRICE_TEXTS_MAX)(parse_price_e4)


@lru_cache(maxsize=_PRICE_TEXTS_MAX)
def _level_price_e4(text: str) -> int:
    """A price at which a level can stand. Raises ValueError naming the text."""
    price_e4 = parse_price_e4(text)
    if not 0 < price_e4 < PRICE_SCALE:
        raise ValueError(f"outside (0, 1): {text!r}")
    return price_e4


class Trouble(StrEnum):
    """Why a book cannot be used; the closed set behind a metric's label."""

    NO_SNAPSHOT = "no_snapshot"
    """Nothing received yet on this connection."""
    TOP_MISMATCH = "top_mismatch"
    """The venue says another best bid or ask than ours: a delta was missed."""
    CROSSED = "crossed"
    """Bids at or above asks."""
    TICK_SIZE_CHANGE = "tick_size_change"
    """A new price grid: the venue is about to send a fresh book."""
    BAD_FRAME = "bad_frame"
    """A frame was rejected that did or may have changed this book."""


class _Side:
    """Levels of one side: sizes by price, and the prices ascending."""

    __slots__ = ("levels", "prices")

    def __init__(self, levels: dict[int, Level]) -> None:
        self.levels = levels
        self.prices = sorted(levels)

    def put(self, price_e4: int, size_e6: int) -> None:
        if size_e6:
            if price_e4 not in self.levels:
                insort(self.prices, price_e4)
            self.levels[price_e4] = (price_e4, size_e6)
        elif self.levels.pop(price_e4, None) is not None:
            del self.prices[bisect_left(self.prices, price_e4)]


class TokenBook:
    """The book of one token and whether it can be used."""

    __slots__ = ("_asks", "_bids", "token_id", "trouble")

    def __init__(self, token_id: str) -> None:
        self.token_id = token_id
        self.trouble: Trouble | None = Trouble.NO_SNAPSHOT
        self._bids = _Side({})
        self._asks = _Side({})

    def replace(self, event: BookEvent) -> None:
        """Take a whole book; this is what clears a trouble. A crossed one is a trouble itself.

        Raises ValueError naming the field of an invalid level; the book is as before then.
        """
        bids, asks = _levels(event.bids, "bids"), _levels(event.asks, "asks")
        self._bids, self._asks = _Side(bids), _Side(asks)
        self.trouble = None
        self._refuse_crossed()

    def change(self, change: PriceChange) -> None:
        """Apply one delta to a book without trouble.

        Raises ValueError naming an invalid price or size; the book is as before then.
        """
        side = self._bids if change.side == "BUY" else self._asks
        side.put(_level_price_e4(change.price), parse_size_e6(change.size))

    def check(self, last: PriceChange) -> None:
        """Compare the top of book with what the venue says of it in the frame's last delta.

        Sets a trouble on a difference and on a crossed book. Raises ValueError naming the field
        when the venue's word is not a price.
        """
        bids, asks = self._bids.prices, self._asks.prices
        if bids and asks and last.best_bid and last.best_ask:  # nearly always, so without detours
            try:
                if (
                    _price_e4(last.best_bid) == bids[-1] < asks[0]
                    and _price_e4(last.best_ask) == asks[0]
                ):
                    return
            except ValueError:
                pass
        if not (
            _agrees(last.best_bid, bids[-1] if bids else None, "best_bid")
            and _agrees(last.best_ask, asks[0] if asks else None, "best_ask")
        ):
            self.distrust(Trouble.TOP_MISMATCH)
        else:
            self._refuse_crossed()

    def distrust(self, trouble: Trouble) -> None:
        """Unusable until a new snapshot; what is known of the book is dropped."""
        self.trouble = trouble
        self._bids, self._asks = _Side({}), _Side({})

    def published(self) -> Book:
        """What may be published of a book without trouble: the best levels of each side."""
        bids, asks = self._bids, self._asks
        best_bids = bids.prices[: -PUBLISHED_LEVELS_MAX - 1 : -1]
        best_asks = asks.prices[:PUBLISHED_LEVELS_MAX]
        return Book(
            token_id=self.token_id,
            bids=tuple(map(bids.levels.__getitem__, best_bids)),
            asks=tuple(map(asks.levels.__getitem__, best_asks)),
        )

    def _refuse_crossed(self) -> None:
        bids, asks = self._bids.prices, self._asks.prices
        if bids and asks and bids[-1] >= asks[0]:
            self.distrust(Trouble.CROSSED)


def _agrees(theirs: str | None, ours_e4: int | None, field: str) -> bool:
    """Whether the venue's best price is ours. For an empty side it sends "", "0" or "1"."""
    if theirs is None:
        return True
    try:
        theirs_e4 = _price_e4(theirs) if theirs else 0
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    return theirs_e4 == ours_e4 if ours_e4 is not None else theirs_e4 in (0, PRICE_SCALE)


def _levels(wire: list[WireLevel] | None, field: str) -> dict[int, Level]:
    levels: dict[int, Level] = {}
    for index, level in enumerate(wire or ()):
        try:
            price_e4, size_e6 = _level_price_e4(level.price), parse_size_e6(level.size)
        except ValueError as error:
            raise ValueError(f"{field}[{index}]: {error}") from error
        if price_e4 in levels:
            raise ValueError(f"{field}[{index}]: price {level.price!r} twice")
        levels[price_e4] = (price_e4, size_e6)
    return {price_e4: level for price_e4, level in levels.items() if level[1]}
