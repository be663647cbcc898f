"""How the rows of a table of books are ordered: what is known before any book of it is read."""

from __future__ import annotations

from typing import NamedTuple

from backtest.feed.events import FeedError, is_time
from backtest.feed.table_rows import BookFile, Place


class Span(NamedTuple):
    """Rows that are read together, in order of time."""

    market_id: str
    """Whose they are; "" where they are of all markets."""
    place: Place
    rows: int
    first_ms: int


class Layout(NamedTuple):
    """Of a whole table."""

    by_time: bool
    """Whether all rows are in order of time; where not, each market's stand together."""
    start: Place
    rows: int
    first_ms: int
    last_ms: dict[str, int]
    """Market to the time of its last row."""
    spans: list[Span]
    """One a market, where they stand together."""


def layout_of(books: BookFile, sorted_by: str) -> Layout:
    """Reads each row's market and time. Raises FeedError where rows are ordered in neither way, or
    where no row has both; `sorted_by` names the columns that would order them."""
    by_time = by_market = True
    last_ms: dict[str, int] = {}
    starts: list[tuple[str, Place, int]] = []
    start, newest_ms, current, row = Place(1, 0), -1, "", 0
    for row, offset, market_id, at_ms in books.row_keys():
        if row == 1:
            start = Place(row, offset)
        if not market_id or at_ms is None or not is_time(at_ms):
            continue  # counted when it is read
        by_time = by_time and at_ms >= newest_ms
        newest_ms = at_ms
        if market_id != current:
            current = market_id
            by_market = by_market and market_id not in last_ms
            if by_market:
                # What cannot be read before the first market is read with it.
                starts.append((market_id, Place(row, offset) if starts else start, at_ms))
        else:
            by_market = by_market and at_ms >= last_ms[market_id]
        last_ms[market_id] = at_ms
        if not by_time and not by_market:
            raise FeedError(
                f"{books.name}: rows are in order neither of time nor of market (row {row}): "
                f"sort them by {sorted_by}"
            )
    if not starts:
        raise FeedError(
            f"{books.name}: no row has a market and a time in epoch milliseconds ({row} rows)"
        )
    return Layout(by_time, start, row, starts[0][2], last_ms, _spans(starts, row))


def _spans(starts: list[tuple[str, Place, int]], rows: int) -> list[Span]:
    ends = [place.row for _, place, _ in starts[1:]] + [rows + 1]
    return [
        Span(market_id, place, end - place.row, first_ms)
        for (market_id, place, first_ms), end in zip(starts, ends, strict=True)
    ]
