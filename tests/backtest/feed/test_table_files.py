"""Tables that are damaged, or of types and values that nobody expects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from backtest.feed.events import FeedError, LeftOut, MarketPaid
from backtest.feed.tables import TablesFeed
from protocol.snapshot import BookSnapshot
from tests.support.book_tables import Levels, Row, table_book, table_market, write_tables

KINDS = ("parquet", "csv")
BIDS: Levels = [(0.48, 10.0)]
ASKS: Levels = [(0.5, 3.0)]
NAN = float("nan")


def both(at_ms: int, market_id: str = "m1") -> list[Row]:
    return [table_book(at_ms, side, BIDS, ASKS, market_id) for side in ("UP", "DOWN")]


def moments(feed: TablesFeed) -> list[BookSnapshot]:
    return [event for event in feed if isinstance(event, BookSnapshot)]


def refused(folder: Path) -> str:
    with pytest.raises(FeedError) as error:
        [*TablesFeed(folder)]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_damaged_page_costs_its_rows_and_the_others_are_used(tmp_path: Path) -> None:
    rows = [row for number in range(400) for row in both(number * 100)]
    write_tables(tmp_path, "parquet", rows, [table_market()], group_rows=200)
    whole = moments(TablesFeed(tmp_path))
    metadata = parquet.ParquetFile(tmp_path / "books.parquet").metadata
    for damaged, left in ((1, (0, 2, 3)), (0, (1, 2, 3))):
        content = bytearray((tmp_path / "books.parquet").read_bytes())
        chunk = metadata.row_group(damaged).column(1)
        at = chunk.dictionary_page_offset or chunk.data_page_offset
        content[at : at + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
        folder = tmp_path / f"damaged {damaged}"
        folder.mkdir()
        (folder / "books.parquet").write_bytes(content)
        (folder / "markets.parquet").write_bytes((tmp_path / "markets.parquet").read_bytes())
        feed = TablesFeed(folder)
        for _ in range(2):  # read again, nothing is counted twice
            books = [book.books for book in moments(feed)]
            assert books == [whole[each].books for each in range(400) if each // 100 in left]
        (lost,) = feed.exclusions
        assert (lost.why, lost.where, lost.count) == (LeftOut.DAMAGED, "books.parquet", 200)
        assert f"from row {200 * damaged + 1} on: books.parquet: cannot read it" in lost.text


def test_where_no_page_can_be_read_that_is_said(tmp_path: Path) -> None:
    write_tables(tmp_path, "parquet", both(1), [table_market()])
    content = bytearray((tmp_path / "books.parquet").read_bytes())
    metadata = parquet.ParquetFile(tmp_path / "books.parquet").metadata
    end = max(
        chunk.data_page_offset + 10
        for chunk in map(metadata.row_group(0).column, range(metadata.num_columns))
    )
    content[4:end] = bytes(end - 4)
    (tmp_path / "books.parquet").write_bytes(content)
    assert refused(tmp_path).startswith("books.parquet: cannot read it: ")


def test_values_that_are_none_cost_their_row_not_the_file(tmp_path: Path) -> None:
    rows = [row for second in range(4) for row in both(second * 100)]
    times: list[Any] = [float(row["ts"]) for row in rows]
    times[3] = NAN
    write_tables(tmp_path, "parquet", rows, [table_market()])
    table = parquet.read_table(tmp_path / "books.parquet")
    ids = pyarrow.array([b"m1"] * 5 + [b"\xff"] + [b"m1"] * 2)
    table = table.set_column(table.schema.get_field_index("ts"), "ts", pyarrow.array(times))
    table = table.set_column(table.schema.get_field_index("market_id"), "market_id", ids)
    parquet.write_table(table, tmp_path / "books.parquet")
    feed = TablesFeed(tmp_path)
    assert len(moments(feed)) == 4
    assert [(each.why, each.count) for each in feed.exclusions] == [(LeftOut.UNREADABLE, 2)]


def test_lines_that_are_no_csv_cost_themselves(tmp_path: Path) -> None:
    rows = [row for second in range(4) for row in both(second * 100)]
    write_tables(tmp_path, "csv", rows, [table_market()])
    lines = (tmp_path / "books.csv").read_bytes().splitlines(keepends=True)
    stray = [b"m1,1\r2,UP\r\n", b"m1," + b"x" * 200_000 + b"\r\n", b"\0,\r\n"]
    (tmp_path / "books.csv").write_bytes(b"".join([*lines[:3], *stray, *lines[3:]]))
    feed = TablesFeed(tmp_path)
    assert len(moments(feed)) == 4
    assert [(each.why, each.count) for each in feed.exclusions] == [(LeftOut.UNREADABLE, 3)]
    (tmp_path / "books.csv").write_text("market_id,ts\n", encoding="utf-16")
    assert "not CSV in UTF-8" in refused(tmp_path) or "no column" in refused(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_payouts_are_one_dollar_together(tmp_path: Path, kind: str) -> None:
    markets = [
        table_market(market_id=f"m{number}", slug=f"s-{number}", payout_up=up, payout_down=down)
        for number, (up, down) in enumerate(
            [(1.0, 1.0), (0.0, 0.0), (1 / 3, 2 / 3), (0.505, 0.495)]
        )
    ]
    rows = [row for number in range(4) for row in both(5, f"m{number}")]
    write_tables(tmp_path, kind, rows, markets)
    feed = TablesFeed(tmp_path)
    assert [each.slug for each in feed if isinstance(each, MarketPaid)] == ["s-2", "s-3"]
    (left_out,) = feed.exclusions
    assert (left_out.why, left_out.count) == (LeftOut.UNREADABLE, 2)
    assert "pays 1 and 1 USD: together it has to be 1" in left_out.text


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, "parquet", both(1), [table_market()])
    table = parquet.read_table(tmp_path / "books.parquet")
    parquet.write_table(table.append_column("ts", table["ts"]), tmp_path / "books.parquet")
    assert refused(tmp_path) == "books.parquet: column ts is there 2 times"


@pytest.mark.parametrize(
    "times",
    [
        pyarrow.array([2**63 - 1], pyarrow.timestamp("ns")),
        pyarrow.array([10**15], pyarrow.timestamp("ms", tz="Mars/Olympus")),
        pyarrow.array([-1]),
    ],
)
def test_a_market_of_times_that_no_calendar_has_is_counted(tmp_path: Path, times: Any) -> None:
    write_tables(tmp_path, "parquet", both(1), [table_market()])
    table = parquet.read_table(tmp_path / "markets.parquet")
    table = table.set_column(table.schema.get_field_index("start_ts"), "start_ts", times)
    parquet.write_table(table, tmp_path / "markets.parquet")
    feed = TablesFeed(tmp_path)
    assert [*feed] == []
    assert [(each.where, each.count) for each in feed.exclusions] == [("markets.parquet", 1)]


def test_a_path_that_is_no_utf_8_is_one_line(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    write_tables(folder, "csv", both(1), [table_market()])
    assert len(moments(TablesFeed(folder))) == 1
    for name in ("books", "markets"):
        (folder / f"{name}.csv").rename(folder / f"{name}.parquet")
    assert "Parquet cannot be read from a path that is no UTF-8" in refused(folder)
