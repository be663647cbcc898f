"""What a worker remembers of a market for its strategies: the last books that came to it. Pure.

A strategy has no state of its own. What it needs of the past it reads here, so what was decided can
be decided again from the same books. The memory is one worker's: with several workers each sees a
part of the books, and a book that a newer one displaced is seen by nobody.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Final, TypeAlias

import msgspec

from protocol.book import Book, Level
from protocol.market import MarketInfo

RECENT_MAX: Final = 128
"""The newest books, every one: several seconds of a busy market, two minutes of a quiet one."""
OLDER_MAX: Final = 128
OLDER_APART_MS: Final = 1_000
"""Of what is older, one a second: so two minutes are remembered of the busiest market, too."""
ROWS_MAX: Final = RECENT_MAX + OLDER_MAX
LEVELS_KEPT: Final = 5
"""Of each side: as many as the measures of order flow in the literature look at."""
Version: TypeAlias = tuple[int, int]
"""(epoch, sequence): which book of a market."""
_EPOCH: Final = attrgetter("epoch")


class BookRow(msgspec.Struct, frozen=True):
    """What is kept of one book of the Up outcome; Down's mirrors it. Levels are best first."""

    at_ms: int
    """When the feeder received it, epoch milliseconds."""
    epoch: int
    sequence: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @classmethod
    def of(cls, up: Book, at_ms: int, epoch: int, sequence: int) -> BookRow:
        """What is kept of `up`."""
        return cls(at_ms, epoch, sequence, up.bids[:LEVELS_KEPT], up.asks[:LEVELS_KEPT])

    @property
    def version(self) -> Version:
        """Which book it is."""
        return self.epoch, self.sequence

    @property
    def mid_e4(self) -> float | None:
        """Middle of the top of book in 1e-4 USD, None if one-sided."""
        if not self.bids or not self.asks:
            return None
        return (self.bids[0][0] + self.asks[0][0]) / 2


class MarketMemory:
    """The last books of one market, and the first one of its window.

    `note` is the worker's; a strategy only reads `rows`, `last` and `start`.
    """

    __slots__ = ("_older", "_recent", "_rows", "_start")

    def __init__(self) -> None:
        self._recent: deque[BookRow] = deque()
        self._older: deque[BookRow] = deque(maxlen=OLDER_MAX)
        self._start: BookRow | None = None
        self._rows: tuple[BookRow, ...] | None = ()

    @classmethod
    def of(cls, rows: Iterable[BookRow], start: BookRow | None) -> MarketMemory:
        """The memory that had these `rows`, oldest first, and this `start`: it shows the same, and
        goes on in the same way. Raises ValueError for rows that no memory has."""
        memory, kept = cls(), tuple(rows)
        if len(kept) > ROWS_MAX:
            raise ValueError(f"{len(kept)} rows: a memory has {ROWS_MAX} at most")
        if any(one.version >= other.version for one, other in pairwise(kept)):
            raise ValueError("rows out of order")
        memory._recent.extend(kept[-RECENT_MAX:])
        memory._older.extend(kept[:-RECENT_MAX])
        memory._start, memory._rows = start, kept
        return memory

    def note(self, market: MarketInfo, up: Book, at_ms: int, epoch: int, sequence: int) -> None:
        """Keep one book; one that is not newer than the last is left out."""
        self.keep(market, BookRow.of(up, at_ms, epoch, sequence))

    def keep(self, market: MarketInfo, row: BookRow) -> None:
        """The same, of what is to be kept of the book."""
        recent = self._recent
        if recent:
            last = recent[-1]
            if row.epoch < last.epoch or (
                row.epoch == last.epoch and row.sequence <= last.sequence
            ):
                return
        if self._start is None and row.at_ms >= market.start_ms:
            self._start = row
        recent.append(row)
        self._rows = None
        if len(recent) > RECENT_MAX:
            row, older = recent.popleft(), self._older
            # A clock that was set back must not keep the rest of the window out.
            if not older or not 0 <= row.at_ms - older[-1].at_ms < OLDER_APART_MS:
                older.append(row)

    @property
    def rows(self) -> tuple[BookRow, ...]:
        """The last books, oldest first, the one that is decided on last: the newest `RECENT_MAX`
        all of them, before them one a second, at most `OLDER_MAX`."""
        if self._rows is None:
            self._rows = (*self._older, *self._recent)
        return self._rows

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
    named = rows if start is None else (*rows, start)
    seen = []
    for epoch, some in groupby(named, key=_EPOCH):  # nearly always one: it is written once
        seen.append(f"{epoch}:" + f";{epoch}:".join([str(row.sequence) for row in some]) + ";")
    return hashlib.blake2b("".join(seen).encode(), digest_size=8).hexdigest()
