"""Others' tables as a feed: what they become, in which orders, and what is no book."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from backtest.feed.events import FeedError, LeftOut, MarketPaid, event_at_ms
from backtest.feed.tables import TablesFeed
from protocol.fee import FeeSchedule
from protocol.snapshot import BookSnapshot, decode_snapshot, encode_snapshot
from tests.support.book_tables import START_MS, Levels, Row, table_book, table_market, write_tables

KINDS = ("parquet", "csv")
BIDS: Levels = [(0.48, 10.0), (0.47, 1.9300000000000002)]
ASKS: Levels = [(0.5, 3.0)]
NAN = float("nan")


def both(at_ms: int, market_id: str = "m1") -> list[Row]:
    return [table_book(at_ms, side, BIDS, ASKS, market_id) for side in ("UP", "DOWN")]


def seen(feed: TablesFeed) -> list[tuple[str, int]]:
    """(slug, and "paid" if it is that; time since START_MS)."""
    return [
        (f"{event.slug} paid", event.at_ms - START_MS)
        if isinstance(event, MarketPaid)
        else (event.market.slug, event_at_ms(event) - START_MS)
        for event in feed
    ]


def moments(feed: TablesFeed) -> list[BookSnapshot]:
    return [event for event in feed if isinstance(event, BookSnapshot)]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_become_moments(tmp_path: Path, kind: str) -> None:
    rows = [
        table_book(-9, "UP", BIDS, ASKS),  # before the other token's first book
        table_book(5, "UP", BIDS, ASKS),
        table_book(5, "DOWN", [(0.5, 3.0)], [(0.52, 10.0)]),
        table_book(7, "down", [(0.501, 3.0)], []),
    ]
    feed = TablesFeed(write_tables(tmp_path, kind, rows, [table_market()]))
    first, second, paid = feed
    assert isinstance(first, BookSnapshot) and isinstance(second, BookSnapshot)
    up, down = first.books
    assert up.bids == ((4_800, 10_000_000), (4_700, 1_930_000)) and up.asks == ((5_000, 3_000_000),)
    assert down.bids == ((5_000, 3_000_000),) and down.asks == ((5_200, 10_000_000),)
    assert second.books[0] is up, "carried"
    assert second.books[1].bids == ((5_010, 3_000_000),) and second.books[1].asks == ()
    assert (first.market.tick_size_e4, second.market.tick_size_e4) == (100, 10)
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.venue_timestamp_ms == START_MS + 5 and second.venue_timestamp_ms == START_MS + 7
    assert first.market.series == "btc-updown-15m"
    assert first.market.fee == FeeSchedule(rate=Decimal("0.07"), exponent=1)
    for snapshot in (first, second):  # as a worker would take it
        assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    assert isinstance(paid, MarketPaid) and paid.at_ms == START_MS + 900_000
    assert paid.resolution.payouts_e6 == {up.token_id: 0, down.token_id: 1_000_000}
    assert feed.exclusions == []
    assert feed.name == f"{tmp_path / f'books.{kind}'} (1 market)"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["by time", "by market", "by market, from the newest"])
def test_markets_that_overlap_come_in_order(tmp_path: Path, kind: str, order: str) -> None:
    rows = both(1) + both(899_000) + both(899_500, "m2") + both(900_100) + both(901_000, "m2")
    if order == "by time":
        rows.sort(key=lambda row: row["ts"])
    else:
        rows.sort(key=lambda row: (row["market_id"], row["ts"]))
    if order.endswith("newest"):
        rows.sort(key=lambda row: row["market_id"], reverse=True)
    markets = [table_market(2), table_market(1)]
    feed = TablesFeed(write_tables(tmp_path, kind, rows, markets, group_rows=3))
    one, two = (f"btc-updown-15m-{START_MS // 1_000 + 900 * number}" for number in (0, 1))
    expected = [
        (one, 1),
        (one, 899_000),
        (two, 899_500),
        (one, 900_100),
        (f"{one} paid", 900_100),  # not before its last book
        (two, 901_000),
        (f"{two} paid", 1_800_000),
    ]
    assert seen(feed) == expected
    assert seen(feed) == expected, "read again"
    assert feed.exclusions == []


@pytest.mark.parametrize("kind", KINDS)
def test_rows_in_neither_order_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    rows = both(1) + both(900_000, "m2") + both(2)
    feed = TablesFeed(write_tables(tmp_path, kind, rows, [table_market(1), table_market(2)]))
    with pytest.raises(FeedError) as refused:
        iter(feed)
    assert str(refused.value) == (
        f"books.{kind}: rows are in order neither of time nor of market (row 5): "
        "sort them by market_id and ts, or by ts alone"
    )


def test_a_market_of_one_token_is_counted_whatever_its_last_row_is(tmp_path: Path) -> None:
    rows = [table_book(1, "UP", BIDS, ASKS), table_book(2, "YES", BIDS, ASKS)]
    feed = TablesFeed(write_tables(tmp_path, "parquet", rows, [table_market()]))
    assert moments(feed) == []
    assert [e.text for e in feed.exclusions] == [
        "rows that are no book; the first is row 2: its side is neither UP nor DOWN: YES",
        "rows of a market that has books of UP alone",
    ]


def test_the_same_token_twice_in_a_millisecond_is_two_moments(tmp_path: Path) -> None:
    rows = [*both(1), table_book(1, "UP", [(0.3, 1.0)], []), *both(2)]
    feed = TablesFeed(write_tables(tmp_path, "parquet", rows, [table_market()]))
    assert [each.books[0].best_bid_e4 for each in moments(feed)] == [4_800, 3_000, 4_800]


BAD: list[tuple[Row, str]] = [
    ({"bid_px": [0.48, NAN]}, "bids: not a price in (0, 1) on the grid of 0.0001: nan"),
    ({"bid_px": [1.0, 0.5]}, "bids: not a price in (0, 1) on the grid of 0.0001: 1.0"),
    ({"bid_px": [0.48, 0.47001]}, "bids: not a price in (0, 1) on the grid of 0.0001: 0.47001"),
    ({"bid_px": [0.48, 0.48]}, "bids: a price twice"),
    ({"bid_px": [0.48]}, "bids: no two lists of numbers, of one length"),
    ({"ask_px": None}, "asks: no two lists of numbers, of one length"),
    ({"ask_sz": [-3.0]}, "asks: not a size in shares: -3.0"),
    ({"ask_sz": [0.0]}, "asks: not a size in shares: 0.0"),
    ({"ask_sz": [float("inf")]}, "asks: not a size in shares: inf"),
    ({"side": "YES"}, "its side is neither UP nor DOWN: YES"),
    ({"market_id": None}, "it names no market"),
    ({"ts": START_MS // 1_000}, f"its time is not in epoch milliseconds: {START_MS // 1_000}"),
]


@pytest.mark.parametrize(("changed", "text"), BAD, ids=[text for _, text in BAD])
def test_a_row_that_is_no_book_is_counted_and_the_others_used(
    tmp_path: Path, changed: Row, text: str
) -> None:
    bad = table_book(2, "UP", BIDS, ASKS) | changed
    rows = [*both(1), bad, bad, *both(3)]
    feed = TablesFeed(write_tables(tmp_path, "parquet", rows, [table_market()]))
    assert [event_at_ms(each) - START_MS for each in moments(feed)] == [1, 3]
    (left_out,) = feed.exclusions
    assert (left_out.why, left_out.where, left_out.count) == (
        LeftOut.UNREADABLE,
        "books.parquet",
        2,
    )
    assert left_out.text == f"rows that are no book; the first is row 3: {text}"


@pytest.mark.parametrize(
    "cell", ['"[0.5,NaN]"', '"[0.5"', "0.5", '"{}"', "", '"[""x""]"', "[" * 2_000]
)
def test_a_cell_that_is_no_list_is_counted(tmp_path: Path, cell: str) -> None:
    write_tables(tmp_path, "csv", both(1), [table_market()])
    with (tmp_path / "books.csv").open("a") as file:
        file.write(f'm1,{START_MS + 2},UP,{cell},"[3]","[]","[]"\n\nm1,{START_MS + 2}\n')
    feed = TablesFeed(tmp_path)
    assert len(moments(feed)) == 1
    assert [(e.count, e.text) for e in feed.exclusions] == [
        (
            2,
            "rows that are no book; the first is row 3: "
            "bids: no two lists of numbers, of one length",
        )
    ]


def test_levels_are_sorted_and_a_crossed_book_is_a_fact(tmp_path: Path) -> None:
    deep = [(cent / 1_000, 1.0) for cent in range(1, 60)]  # the worst first, more than travel
    rows = [
        table_book(1, "UP", deep, [(0.7, 1.0), (0.6, 2.0)]),
        table_book(1, "DOWN", [(0.5, 1.0)], [(0.4321, 1.0)]),
    ]
    (snapshot,) = moments(TablesFeed(write_tables(tmp_path, "parquet", rows, [table_market()])))
    up, down = snapshot.books
    assert [price for price, _ in up.bids] == [*range(590, 190, -10)]
    assert up.asks == ((6_000, 2_000_000), (7_000, 1_000_000))
    assert (down.best_bid_e4, down.best_ask_e4) == (5_000, 4_321)
    assert snapshot.market.tick_size_e4 == 1


@pytest.mark.parametrize("kind", KINDS)
def test_markets_that_are_not_used_are_counted(tmp_path: Path, kind: str) -> None:
    markets = [
        table_market(1, payout_up=None, payout_down=None, fee_rate=0.02),
        table_market(2, outcome_up="Yes", fee_rate=None),
        table_market(3, start_ts=START_MS // 1_000, fee_rate=None),
        table_market(4, payout_up=1.5, fee_rate=None),
        table_market(5, fee_rate=-1.0),
        table_market(1, fee_rate=None),
        table_market(6, payout_up=0.5, payout_down=0.5, fee_rate=None),
    ]
    rows = [row for number in range(1, 8) for row in both(number, f"m{number}")]
    rows += [table_book(9, "UP", BIDS, ASKS, "m8")]
    feed = TablesFeed(
        write_tables(tmp_path, kind, rows, [*markets, table_market(8, fee_rate=None)])
    )
    events = [*feed]
    assert [event_at_ms(event) - START_MS for event in events] == [1, 6, 5_400_000, 7_200_000]
    assert isinstance(events[0], BookSnapshot) and events[0].market.fee.rate == Decimal("0.02")
    assert isinstance(events[2], MarketPaid), "of the market that paid; the first one is unresolved"
    assert [*events[2].resolution.payouts_e6.values()] == [500_000, 500_000]
    stranger = f"rows of markets that markets.{kind} does not have; the first is row 13: m7"
    assert [(e.why, e.where, e.count) for e in feed.exclusions] == [
        (LeftOut.NOT_UP_DOWN, table_market(2)["slug"], 1),
        (LeftOut.UNREADABLE, f"markets.{kind}", 4),
        (LeftOut.UNREADABLE, f"books.{kind}", 2),
        (LeftOut.UNREADABLE, table_market(8)["slug"], 1),
    ]
    texts = [e.text for e in feed.exclusions]
    assert texts[1].startswith("markets; row 3: start_ts is not in epoch milliseconds: 1790586000")
    assert texts[2:] == [stranger, "rows of a market that has books of UP alone"]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_other_names_are_mapped(tmp_path: Path, kind: str) -> None:
    rows: list[Row] = [{"timestamp_ms": row.pop("ts"), **row} for row in both(1)]
    write_tables(tmp_path, kind, rows, [table_market()])
    with pytest.raises(FeedError) as refused:
        TablesFeed(tmp_path)
    there = "timestamp_ms, market_id, side, bid_px, bid_sz, ask_px, ask_sz"
    hint = " (--columns OURS=THEIRS says which one it is)"
    assert str(refused.value) == f"books.{kind}: no column ts; there are: {there}{hint}"
    assert len(moments(TablesFeed(tmp_path, {"ts": "timestamp_ms"}))) == 1
    with pytest.raises(FeedError, match=r"no column at \(for ts\); there are: timestamp_ms"):
        TablesFeed(tmp_path, {"ts": "at"})
    with pytest.raises(FeedError, match="no column is called 'time' here: there are market_id, ts"):
        TablesFeed(tmp_path, {"time": "timestamp_ms"})
    with pytest.raises(FeedError, match=rf"markets.{kind}: no column rate \(for fee_rate\)"):
        TablesFeed(tmp_path, {"ts": "timestamp_ms", "fee_rate": "rate"})


def test_times_may_be_timestamps_and_numbers_of_other_widths(tmp_path: Path) -> None:
    write_tables(tmp_path, "parquet", both(1), [table_market()])
    table = parquet.read_table(tmp_path / "books.parquet")
    for name, kind in (
        ("ts", pyarrow.timestamp("us", tz="UTC")),
        ("bid_px", pyarrow.list_(pyarrow.float32())),
        ("ask_px", pyarrow.large_list(pyarrow.float64())),
    ):
        index, column = table.schema.get_field_index(name), table.column(name)
        column = column.cast(pyarrow.timestamp("ms")) if name == "ts" else column
        table = table.set_column(index, name, column.cast(kind))
    parquet.write_table(table, tmp_path / "books.parquet")
    (snapshot,) = moments(TablesFeed(tmp_path))
    assert snapshot.received_at_ns == (START_MS + 1) * 1_000_000
    assert snapshot.books[0].best_bid_e4 == 4_800


def test_a_markets_times_may_be_timestamps_and_floats(tmp_path: Path) -> None:
    start = datetime.fromtimestamp(START_MS / 1_000, UTC)
    for number, start_ts in enumerate((start, start.replace(tzinfo=None), float(START_MS))):
        market = table_market(start_ts=start_ts)
        folder = write_tables(tmp_path / str(number), "parquet", both(1), [market])
        (snapshot,) = moments(TablesFeed(folder))
        assert snapshot.market.start_ms == START_MS


def refused(folder: Path) -> str:
    with pytest.raises(FeedError) as error:
        [*TablesFeed(folder)]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(tmp_path).endswith("there is no books.parquet or books.csv in it")
    write_tables(tmp_path, "csv", both(1), [table_market()])
    (tmp_path / "books.csv").write_bytes(b"")
    assert refused(tmp_path) == "books.csv: there is no header line in it: not CSV in UTF-8"
    (tmp_path / "books.csv").unlink()
    assert refused(tmp_path) == f"{tmp_path}: there is markets.csv, but no books.csv"
    write_tables(tmp_path, "csv", [table_book(-START_MS, "UP", BIDS, ASKS)], [table_market()])
    assert refused(tmp_path).startswith("books.csv: no row has a market and a time in epoch mil")

    for name in ("books.csv", "markets.csv"):
        (tmp_path / name).unlink()
    wrong: list[dict[str, Any]] = [row | {"bid_px": "none"} for row in both(1)]
    write_tables(tmp_path, "parquet", wrong, [table_market()])
    assert refused(tmp_path).startswith("books.parquet: column bid_px: Unsupported cast from")
    (tmp_path / "books.parquet").write_bytes(b"PAR1 and no more")
    assert refused(tmp_path).startswith("books.parquet: cannot read it: ")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    assert refused(tmp_path) == (
        "books.parquet: Parquet needs the package pyarrow: "
        "pip install 'streaming-executor[backtest]'"
    )
