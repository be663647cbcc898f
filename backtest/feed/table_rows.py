"""Rows of others' books, a batch at a time: columns as numbers, then as levels of this project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backtest.feed.events import FeedError, is_time
from protocol.book import PUBLISHED_LEVELS_MAX, Level
from protocol.units import AMOUNT_E6_MAX, PRICE_SCALE

BATCH_ROWS: Final = 2_048
"""A row of 20 levels a side is some 6 kB as Python objects: 12 MB."""
LEVEL_COLUMNS: Final = ("bid_px", "bid_sz", "ask_px", "ask_sz")
BOOK_COLUMNS: Final = ("market_id", "ts", "side", *LEVEL_COLUMNS)
_OFF_GRID: Final = 0.01
"""Of 1e-4 USD. A price of single precision is off by less, one that is finer by ten times that."""

_Floats: TypeAlias = NDArray[np.float64]
_Ints: TypeAlias = NDArray[np.int64]
_Bools: TypeAlias = NDArray[np.bool_]


class Place(NamedTuple):
    """Where a row begins."""

    row: int
    """The first one is 1."""
    offset: int
    """What its file needs to find it."""


class Lists(NamedTuple):
    """A column of lists of numbers: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: _Floats
    offsets: _Ints
    readable: _Bools
    """A row; the others are empty here."""


class RawRows(NamedTuple):
    """A batch as its file has it; None where it has nothing that can be read."""

    first_row: int
    market_ids: list[str | None]
    times_ms: list[int | None]
    sides: list[str | None]
    levels: tuple[Lists, Lists, Lists, Lists]
    """In the order of LEVEL_COLUMNS."""


class TableRow(NamedTuple):
    """One token's book."""

    row: int
    market_id: str
    at_ms: int
    side: str
    """UP or DOWN."""
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    tick_e4: int
    """That its prices need: 100, 10 or 1."""


class UnreadableRow(NamedTuple):
    """A row that is no book."""

    row: int
    why: str


class BookFile(Protocol):
    """A file of books; see `table_files`."""

    @property
    def name(self) -> str:
        """Of the file."""
        ...

    @property
    def damages(self) -> dict[int, tuple[int, str]]:
        """What could not be read so far: first row to how many, and why."""
        ...

    def row_keys(self) -> Iterator[tuple[int, int, str | None, int | None]]:
        """Number and offset (`Place`), market and time of every row. Raises FeedError."""
        ...

    def rows(self, place: Place, count: int) -> Iterator[RawRows]:
        """So many rows from a place on. Raises FeedError."""
        ...


def missing_columns(name: str, wanted: Mapping[str, str], there: list[str]) -> None:
    """Raises FeedError with one line that names what is missing, and what there is; or what is
    there twice. `wanted`: our name of a column to the file's."""
    missing = [
        theirs if ours == theirs else f"{theirs} (for {ours})"
        for ours, theirs in wanted.items()
        if theirs not in there
    ]
    if missing:
        raise FeedError(
            f"{name}: no column {', '.join(missing)}; there are: {', '.join(there) or 'none'} "
            "(--columns OURS=THEIRS says which one it is)"
        )
    for theirs in wanted.values():
        if there.count(theirs) > 1:
            raise FeedError(f"{name}: column {theirs} is there {there.count(theirs)} times")


def epoch_ms_in(text: str) -> int | None:
    """Digits alone; None for what no time in milliseconds looks like."""
    return int(text) if text.isdigit() and text.isascii() and len(text) < 19 else None


def books_of(raw: RawRows) -> Iterator[TableRow | UnreadableRow]:
    """Each row in its order. Prices have to be on the 1e-4 grid, in (0, 1); sizes are rounded to
    1e-6 shares and have to be positive. Levels may be in any order, each price once; the best
    PUBLISHED_LEVELS_MAX of them are kept."""
    bids = _SideRows(raw.levels[0], raw.levels[1], sign=-1)
    asks = _SideRows(raw.levels[2], raw.levels[3], sign=1)
    keys = zip(raw.market_ids, raw.times_ms, raw.sides, strict=True)
    for index, (market_id, at_ms, side) in enumerate(keys):
        row = raw.first_row + index
        if not market_id:
            yield UnreadableRow(row, "it names no market")
        elif at_ms is None or not is_time(at_ms):
            yield UnreadableRow(row, f"its time is not in epoch milliseconds: {at_ms}")
        elif side not in {"UP", "DOWN"}:
            yield UnreadableRow(row, f"its side is neither UP nor DOWN: {side}")
        elif index in bids.unreadable:
            yield UnreadableRow(row, f"bids: {bids.unreadable[index]}")
        elif index in asks.unreadable:
            yield UnreadableRow(row, f"asks: {asks.unreadable[index]}")
        else:
            tick_e4 = min(bids.ticks_e4.get(index, 100), asks.ticks_e4.get(index, 100))
            yield TableRow(row, market_id, at_ms, side, bids[index], asks[index], tick_e4)


class _SideRows:
    """One side of the books of a batch, best level first."""

    def __init__(self, prices: Lists, sizes: Lists, *, sign: int) -> None:
        self.unreadable: dict[int, str] = {}
        """Row of the batch to what is wrong with it."""
        self.ticks_e4: dict[int, int] = {}
        """Of rows that need a finer tick than 100."""
        lengths = np.diff(prices.offsets)
        paired = prices.readable & sizes.readable & (lengths == np.diff(sizes.offsets))
        if not paired.all():
            for index in np.flatnonzero(~paired).tolist():
                self.unreadable[index] = "no two lists of numbers, of one length"
            prices, sizes = _only(prices, paired), _only(sizes, paired)
            lengths = np.diff(prices.offsets)
        self._offsets: list[int] = prices.offsets.tolist()
        row_of = np.repeat(np.arange(len(lengths)), lengths)
        prices_e4 = self._read_prices(prices.values, row_of)
        sizes_e6 = self._read_sizes(sizes.values, row_of)
        self._note_ticks(prices_e4, row_of)
        self._levels = [*zip(prices_e4.tolist(), sizes_e6.tolist(), strict=True)]
        worse = np.diff(sign * prices_e4) > 0
        same_row = np.diff(row_of) == 0
        self._unordered = set(row_of[1:][~worse & same_row].tolist())
        self._sign = sign
        for index in self._unordered - self.unreadable.keys():
            begin, end = self._offsets[index], self._offsets[index + 1]
            if len(dict(self._levels[begin:end])) < end - begin:
                self.unreadable[index] = "a price twice"

    def __getitem__(self, index: int) -> tuple[Level, ...]:
        begin, end = self._offsets[index], self._offsets[index + 1]
        if index in self._unordered:
            levels = sorted(self._levels[begin:end], key=lambda level: self._sign * level[0])
            return tuple(levels[:PUBLISHED_LEVELS_MAX])
        return tuple(self._levels[begin : min(end, begin + PUBLISHED_LEVELS_MAX)])

    def _read_prices(self, values: _Floats, row_of: _Ints) -> _Ints:
        with np.errstate(all="ignore"):
            scaled = values * PRICE_SCALE
            rounded = np.rint(scaled)
            good = (np.abs(scaled - rounded) <= _OFF_GRID) & (rounded > 0) & (rounded < PRICE_SCALE)
        self._note(good, values, row_of, "not a price in (0, 1) on the grid of 0.0001: {}")
        return np.where(good, rounded, 1).astype(np.int64)

    def _read_sizes(self, values: _Floats, row_of: _Ints) -> _Ints:
        with np.errstate(all="ignore"):
            rounded = np.rint(values * 1_000_000)
            good = (rounded >= 1) & (rounded <= AMOUNT_E6_MAX)
        self._note(good, values, row_of, "not a size in shares: {}")
        return np.where(good, rounded, 1).astype(np.int64)

    def _note(self, good: _Bools, values: _Floats, row_of: _Ints, text: str) -> None:
        for position in np.flatnonzero(~good).tolist():
            self.unreadable.setdefault(int(row_of[position]), text.format(values[position]))

    def _note_ticks(self, prices_e4: _Ints, row_of: _Ints) -> None:
        for tick_e4, coarser_e4 in ((10, 100), (1, 10)):
            finer = prices_e4 % coarser_e4 != 0
            if not finer.any():
                return
            self.ticks_e4.update(dict.fromkeys(row_of[finer].tolist(), tick_e4))


def _only(lists: Lists, kept: _Bools) -> Lists:
    """The others emptied."""
    lengths = np.diff(lists.offsets)
    offsets = np.concatenate(([0], np.cumsum(np.where(kept, lengths, 0))))
    return Lists(lists.values[np.repeat(kept, lengths)], offsets, kept)
