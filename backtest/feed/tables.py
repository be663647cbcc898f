"""Others' recordings: a folder with a table of books and one of markets, Parquet or CSV.

books    market_id, ts (epoch ms), side (UP or DOWN), bid_px, bid_sz, ask_px, ask_sz (lists)
markets  market_id, slug, start_ts, end_ts (epoch ms), payout_up, payout_down (none: not known);
         if there: outcome_up, outcome_down (else Up and Down), fee_rate (else 0.07, exponent 1)

The layout is that of resolvedkit 0.1.0. Rows are read twice: their markets and times first, which
shows how they are ordered, then all of it, a batch at a time. Rows in order of time are read once
through; where each market's rows stand together, in order of time, markets are read beside each
other. Anything else would have to be in memory as a whole, and is refused.

A moment is what a market's rows of one millisecond make of its two books; it begins with both. What
the tables do not tell is as in the bundled recordings: the tick, which becomes finer with the first
price that needs it, the minimum size, and that the books are the venue's (`Proof.CHECKSUM`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from backtest.feed.events import Exclusion, FeedError, FeedEvent, LeftOut, MarketPaid
from backtest.feed.merged import Source, merged
from backtest.feed.table_csv import CsvBooks
from backtest.feed.table_files import ParquetBooks
from backtest.feed.table_layout import Layout, Span, layout_of
from backtest.feed.table_markets import MARKET_COLUMNS, OPTIONAL_COLUMNS, TableMarkets
from backtest.feed.table_rows import BOOK_COLUMNS, BookFile, TableRow, UnreadableRow, books_of
from protocol.book import Book, Proof
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot

KINDS: Final = ("parquet", "csv")
COLUMNS: Final = tuple(dict.fromkeys(BOOK_COLUMNS + MARKET_COLUMNS + OPTIONAL_COLUMNS))
"""What a mapping of columns may name."""


def tables_in(folder: Path) -> tuple[Path, Path] | None:
    """Its tables of books and of markets; None where it has neither. Raises FeedError where one of
    them is missing, or there are two."""
    found: list[tuple[Path, Path]] = []
    for kind in KINDS:
        books, markets = folder / f"books.{kind}", folder / f"markets.{kind}"
        for there, other in ((books, markets), (markets, books)):
            if there.is_file() and not other.is_file():
                raise FeedError(f"{folder}: there is {there.name}, but no {other.name}")
        if books.is_file():
            found.append((books, markets))
    if len(found) > 1:
        names = " and ".join(books.name for books, _ in found)
        raise FeedError(f"{folder}: there are {names}: one of them is wanted")
    return found[0] if found else None


class TablesFeed:
    """A folder of tables. `columns`: our name of a column to the file's, for those that differ.

    Raises FeedError, here and when it is iterated over.
    """

    def __init__(self, folder: Path, columns: Mapping[str, str] | None = None) -> None:
        tables = tables_in(folder)
        if tables is None:
            raise FeedError(f"{folder}: there is no books.parquet or books.csv in it")
        columns = columns or {}
        for ours in columns:
            if ours not in COLUMNS:
                raise FeedError(
                    f"no column is called {ours!r} here: there are {', '.join(COLUMNS)}"
                )
        books, markets = tables
        names = {ours: columns.get(ours, ours) for ours in BOOK_COLUMNS}
        kind = ParquetBooks if books.suffix == ".parquet" else CsvBooks
        self._books: BookFile = kind(books, names)
        self._markets = TableMarkets(markets, columns)
        self._markets_name = markets.name
        self._sorted_by = f"{names['market_id']} and {names['ts']}, or by {names['ts']} alone"
        self._left_out: dict[tuple[str, str], Exclusion] = {}
        count = len(self._markets.of)
        self.name = f"{books} ({count} {'market' if count == 1 else 'markets'})"

    @property
    def exclusions(self) -> list[Exclusion]:
        """What has been left out of what was read so far."""
        damaged = [
            Exclusion(
                why=LeftOut.DAMAGED,
                where=self._books.name,
                count=count,
                text=f"rows that cannot be read, from row {row} on: {why}",
            )
            for row, (count, why) in sorted(self._books.damages.items())
        ]
        return [*self._markets.exclusions, *damaged, *self._left_out.values()]

    def __iter__(self) -> Iterator[FeedEvent]:
        """Books, and what a market paid: at its end, or with its last book if that is later."""
        self._left_out = {}
        layout = layout_of(self._books, self._sorted_by)
        if layout.by_time:
            span = Span("", layout.start, layout.rows, layout.first_ms)
            moments = Source(first_at_ms=span.first_ms, events=partial(self._moments, span, layout))
            # Behind the moments, which begin earlier: of one millisecond, books come first.
            return merged([moments, *self._payouts(layout)])
        return merged(
            Source(first_at_ms=span.first_ms, events=partial(self._market, span, layout))
            for span in layout.spans
        )

    def _payouts(self, layout: Layout) -> Iterator[Source]:
        for market_id in layout.last_ms:
            paid = self._paid(market_id, layout)
            yield from (
                Source(first_at_ms=each.at_ms, events=partial(iter, [each])) for each in paid
            )

    def _market(self, span: Span, layout: Layout) -> Iterator[FeedEvent]:
        yield from self._moments(span, layout)
        yield from self._paid(span.market_id, layout)

    def _paid(self, market_id: str, layout: Layout) -> list[MarketPaid]:
        found = self._markets.of.get(market_id)
        if found is None or found.resolution is None:
            return []
        return [
            MarketPaid(
                condition_id=market_id,
                slug=found.market.slug,
                at_ms=max(found.market.end_ms, layout.last_ms[market_id]),
                resolution=found.resolution,
            )
        ]

    def _moments(self, span: Span, layout: Layout) -> Iterator[BookSnapshot]:
        """Of the rows of a span, of one market or of many."""
        opened: dict[str, _TwoBooks] = {}
        changed: dict[str, _TwoBooks] = {}
        now_ms = -1
        for row in self._rows(span):
            if row.at_ms != now_ms:
                yield from self._closed(opened, changed, layout)
                now_ms = row.at_ms
            books = opened.get(row.market_id)
            if books is None:
                found = self._markets.of.get(row.market_id)
                if found is None:
                    self._note_stranger(row)
                    continue
                books = opened[row.market_id] = _TwoBooks(found.market)
            if row.side in books.changed:  # again in the same millisecond: two moments
                yield from books.moment()
            books.change(row)
            changed[row.market_id] = books
        yield from self._closed(opened, changed, layout)
        for books in opened.values():
            self._check_both(books)

    def _rows(self, span: Span) -> Iterator[TableRow]:
        for raw in self._books.rows(span.place, span.rows):
            for row in books_of(raw):
                if isinstance(row, UnreadableRow):
                    text = f"rows that are no book; the first is row {row.row}: {row.why}"
                    self._leave_out(self._books.name, "no book", text)
                else:
                    yield row

    def _closed(
        self, opened: dict[str, _TwoBooks], changed: dict[str, _TwoBooks], layout: Layout
    ) -> Iterator[BookSnapshot]:
        """The moments of a millisecond that is over; a market's books go with its last one."""
        for market_id, books in changed.items():
            yield from books.moment()
            if books.at_ms >= layout.last_ms[market_id]:
                del opened[market_id]
                self._check_both(books)
        changed.clear()

    def _check_both(self, books: _TwoBooks) -> None:
        if books.up is None or books.down is None:
            side = "DOWN" if books.up is None else "UP"
            text = f"rows of a market that has books of {side} alone"
            self._leave_out(books.market.slug, "one token", text, books.rows)

    def _note_stranger(self, row: TableRow) -> None:
        if row.market_id not in self._markets.left_out:
            text = (
                f"rows of markets that {self._markets_name} does not have; "
                f"the first is row {row.row}: {row.market_id}"
            )
            self._leave_out(self._books.name, "stranger", text)

    def _leave_out(self, where: str, kind: str, text: str, count: int = 1) -> None:
        before = self._left_out.get((where, kind))
        self._left_out[where, kind] = Exclusion(
            why=LeftOut.UNREADABLE,
            where=where,
            count=count + (before.count if before else 0),
            text=before.text if before else text,
        )


class _TwoBooks:
    """A market's books as its rows have left them."""

    def __init__(self, market: MarketInfo) -> None:
        self.market = market
        self.up: Book | None = None
        self.down: Book | None = None
        self.at_ms = 0
        self.changed: set[str] = set()
        """Sides, since the last moment."""
        self.rows = 0
        self._up_token, self._down_token = (each.token_id for each in market.outcomes)
        self._sequence = 0

    def change(self, row: TableRow) -> None:
        """Take one row."""
        is_up = row.side == "UP"
        book = Book(
            token_id=self._up_token if is_up else self._down_token,
            bids=row.bids,
            asks=row.asks,
            timestamp_ms=row.at_ms,
        )
        if is_up:
            self.up = book
        else:
            self.down = book
        if row.tick_e4 < self.market.tick_size_e4:
            self.market = msgspec.structs.replace(self.market, tick_size_e4=row.tick_e4)
        self.at_ms = row.at_ms
        self.changed.add(row.side)
        self.rows += 1

    def moment(self) -> Iterator[BookSnapshot]:
        """What the rows since the last one have made; nothing before both books are there."""
        self.changed.clear()
        if self.up is None or self.down is None:
            return
        self._sequence += 1
        yield BookSnapshot(
            market=self.market,
            books=(self.up, self.down),
            proof=Proof.CHECKSUM,
            venue_timestamp_ms=self.at_ms,
            received_at_ns=self.at_ms * 1_000_000,
            published_at_ns=self.at_ms * 1_000_000,
            epoch=1,
            sequence=self._sequence,
        )
