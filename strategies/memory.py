"""What a worker remembers of a market for its strategies: the last books that came to it. Pure.

A strategy has no state of its own. What it needs of the past it reads here, so what was decided can
be decided again from the same books. The memory is one worker's: with several workers each sees a
part of the books, and a book that a newer one displaced is seen by nobody.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from protocol.book import Book, Level
from protocol.market import MarketInfo

ROWS_MAX: Final = 256
"""About half a minute of a busy market, a few minutes of a quiet one."""
LEVELS_KEPT: Final = 5
"""Of each side: as many as the measures of order flow in the literature look at."""


class BookRow(msgspec.Struct, frozen=True):
    """What is kept of one book of the Up outcome; Down's mirrors it. Levels are best first."""

    at_ms: int
    """When the feeder received it, epoch milliseconds."""
    epoch: int
    sequence: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def mid_e4(self) -> float | None:
        """Middle of the top of book in 1e-4 USD, None if one-sided."""
        if not self.bids or not self.asks:
            return None
        return (self.bids[0][0] + self.asks[0][0]) / 2


class MarketMemory:
    """The last `ROWS_MAX` books of one market, and the first one of its window.

    `note` is the worker's; a strategy only reads `rows`, `last` and `start`.
    """

    __slots__ = ("_rows", "_start", "_window")

    def __init__(self) -> None:
        self._rows: list[BookRow] = []
        self._start: BookRow | None = None
        self._window: tuple[BookRow, ...] | None = ()

    def note(self, market: MarketInfo, up: Book, at_ms: int, epoch: int, sequence: int) -> None:
        """Keep one book; one that is not newer than the last is left out."""
        rows = self._rows
        if rows and (epoch, sequence) <= (rows[-1].epoch, rows[-1].sequence):
            return
        row = BookRow(at_ms, epoch, sequence, up.bids[:LEVELS_KEPT], up.asks[:LEVELS_KEPT])
        if self._start is None and at_ms >= market.start_ms:
            self._start = row
        rows.append(row)
        if len(rows) >= 2 * ROWS_MAX:  # seldom, so that most books cost an append
            del rows[:-ROWS_MAX]
        self._window = None

    @property
    def rows(self) -> tuple[BookRow, ...]:
        """The last books, oldest first, the one that is decided on last; at most `ROWS_MAX`."""
        if self._window is None:
            self._window = tuple(self._rows[-ROWS_MAX:])
        return self._window

    def last(self, count: int) -> tuple[BookRow, ...]:
        """The last `count` books at most, oldest first."""
        return self.rows[-count:] if count > 0 else ()

    @property
    def start(self) -> BookRow | None:
        """The first book at or after the market's start that this worker has seen: the reference
        that the market is measured against. Its time says how late that was."""
        return self._start


def digest_of(rows: tuple[BookRow, ...], start: BookRow | None) -> str:
    """16 hex digits that name exactly these books: equal for a replay that saw the same."""
    seen = hashlib.blake2b(digest_size=8)
    for row in (*rows, *((start,) if start is not None else ())):
        seen.update(b"%d:%d;" % (row.epoch, row.sequence))
    return seen.hexdigest()
