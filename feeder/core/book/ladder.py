"""The sides of a book: their levels in wire order, and the JSON that the venue hashes.

1. Levels are kept by price; the wire order of what came means nothing.
2. A level keeps the texts it came with: the checksum is over those. The parsers bound their length
   (a price 14 characters, a size 28), and there are 9,999 prices, so a side's memory is bounded.
3. Ladders and sides never change: what a change makes of them is another one. So any number of
   books may hold the same ones, whatever becomes of each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

from protocol.book import PUBLISHED_LEVELS_MAX, Level
from protocol.units import PRICE_SCALE, parse_price_e4, parse_size_e6
from venue.wire.market_channel import BookEvent, WireLevel

# There are 10,001 prices, each with a few spellings ("0.5", "0.50", ".5"): nearly every price text
# is one that was seen before (0.12 us instead of 0.6 us).
_PRICE_TEXTS_MAX: Final = 32_768
price_of: Final = lru_cache(maxsize=_PRICE_TEXTS_MAX)(parse_price_e4)
"""Price text to 1e-4 USD. Raises ValueError naming the text."""

# What a freshly listed market shows before anybody trades: 0.01 bid, 0.99 asked.
_PLACEHOLDER_BID_E4: Final = 100
_PLACEHOLDER_ASK_E4: Final = PRICE_SCALE - _PLACEHOLDER_BID_E4

ParsedLevel: TypeAlias = tuple[int, int, str]
"""(price in 1e-4 USD, size in 1e-6 shares, the level as JSON)."""


@lru_cache(maxsize=_PRICE_TEXTS_MAX)
def _level_price_e4(text: str) -> int:
    price_e4 = parse_price_e4(text)
    if not 0 < price_e4 < PRICE_SCALE:
        raise ValueError(f"outside (0, 1): {text!r}")
    return price_e4


def parse_level(price: str, size: str | None) -> ParsedLevel:
    """One level from its texts; an empty or missing size is 0. Raises ValueError naming an invalid
    one."""
    # No escaping: only digits and a dot get through the parsers.
    return (
        _level_price_e4(price),
        parse_size_e6(size) if size else 0,
        f'{{"price":"{price}","size":"{size or ""}"}}',
    )


def parse_levels(wire: Iterable[WireLevel], field: str) -> list[ParsedLevel]:
    """A snapshot's side in the order received, zero sizes included.

    Raises ValueError naming the field of an invalid level, or of a price that comes twice.
    """
    found: list[ParsedLevel] = []
    seen: set[int] = set()
    for index, level in enumerate(wire):
        try:
            each = parse_level(level.price, level.size)
        except ValueError as error:
            raise ValueError(f"{field}[{index}]: {error}") from error
        if each[0] in seen:
            raise ValueError(f"{field}[{index}]: price {level.price!r} twice")
        seen.add(each[0])
        found.append(each)
    return found


def json_of(levels: Iterable[ParsedLevel]) -> str:
    """Levels as JSON, in their order: an array without its brackets."""
    return ",".join([text for _, _, text in levels])


class Ladder(msgspec.Struct, eq=False, gc=False):
    """Levels of one side, worst first, as on the wire: bids ascend, asks descend. Never changed."""

    # Keys ascend on either side (an ask's is its price negated), so the best is always last.
    # Three lists in step instead of one: a join and a slice of each is a single call.
    _sign: int
    _keys: list[int]
    _levels: list[Level]
    _texts: list[str]
    best_e4: int | None
    """The best price, None for an empty side."""
    _json: str | None = None

    @classmethod
    def of(cls, levels: Iterable[ParsedLevel] = (), *, ascending: bool) -> Ladder:
        """`levels` in any order; those of size 0 are left out."""
        sign = 1 if ascending else -1
        kept = sorted([(price * sign, price, size, text) for price, size, text in levels if size])
        return cls(
            sign,
            [key for key, _, _, _ in kept],
            [(price, size) for _, price, size, _ in kept],
            [text for _, _, _, text in kept],
            kept[-1][1] if kept else None,
        )

    def with_level(self, level: ParsedLevel) -> Ladder:
        """The same with a level's new aggregate; size 0 removes it."""
        price_e4, size_e6, text = level
        self._json = None  # it is the other one's that is asked for next
        sign = self._sign
        key = price_e4 * sign
        # Copies of a hundred pointers: little beside the hash of the book.
        keys, levels, texts = self._keys, self._levels.copy(), self._texts.copy()
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            if size_e6:
                levels[at] = (price_e4, size_e6)
                texts[at] = text
            else:
                keys = keys.copy()
                del keys[at], levels[at], texts[at]
        elif size_e6:
            keys = keys.copy()
            keys.insert(at, key)
            levels.insert(at, (price_e4, size_e6))
            texts.insert(at, text)
        return Ladder(sign, keys, levels, texts, keys[-1] * sign if keys else None)

    def json(self) -> str:
        """The side as the venue hashes it, without the brackets around it."""
        if self._json is None:
            self._json = ",".join(self._texts)
        return self._json

    def is_of(self, levels: Iterable[ParsedLevel]) -> bool:
        """Whether these are its levels, in any order and spelling."""
        kept = sorted([(price, size) for price, size, _ in levels if size])
        return kept == sorted(self._levels)

    def published(self) -> tuple[Level, ...]:
        """The best levels, best first."""
        return tuple(self._levels[: -PUBLISHED_LEVELS_MAX - 1 : -1])


class Sides(msgspec.Struct, eq=False, gc=False):
    """Both sides of a token's book. Never changed, but for what has been shown of them."""

    bids: Ladder
    asks: Ladder
    version: tuple[int, str] | None = None
    """(timestamp, hash) of the version whose hash theirs has been found to be."""
    words: int = 0
    """`BookChecksum.words` when it was found."""

    def with_level(self, side: Literal["BUY", "SELL"], level: ParsedLevel) -> Sides:
        """The same with a level's new aggregate on one side."""
        if side == "BUY":
            return Sides(self.bids.with_level(level), self.asks)
        return Sides(self.bids, self.asks.with_level(level))

    @property
    def is_placeholder(self) -> bool:
        """Whether nothing is bid above 0.01 nor asked below 0.99."""
        bid_e4, ask_e4 = self.bids.best_e4, self.asks.best_e4
        return (bid_e4 is None or bid_e4 <= _PLACEHOLDER_BID_E4) and (
            ask_e4 is None or ask_e4 >= _PLACEHOLDER_ASK_E4
        )

    def same_levels(self, event: BookEvent) -> bool:
        """Whether a snapshot has the very levels of this book; a malformed one has not."""
        try:
            bids = parse_levels(event.bids or (), "bids")
            asks = parse_levels(event.asks or (), "asks")
        except ValueError:
            return False
        return self.bids.is_of(bids) and self.asks.is_of(asks)

    def same_as(self, other: Sides) -> bool:
        """Whether these are known to be the levels of the other, of the same token, in the same
        spelling: they are the very object, or have the hash of one version."""
        return self is other or (self.version is not None and self.version == other.version)
