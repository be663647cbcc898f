"""The bundled recordings as a feed, and files of their form that are damaged."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from backtest.feed.bundled import BundledFeed
from backtest.feed.events import FeedError, LeftOut, MarketPaid, event_at_ms
from protocol.snapshot import BookSnapshot
from recordings.loader import bundled, load
from tests.support.recorded_views import recorded_books

START_MS, END_MS = 1_700_000_100_000, 1_700_001_000_000
HEADER = {
    "format": 1,
    "slug": "btc-updown-15m-1",
    "condition_id": "0x01",
    "outcomes": ["Up", "Down"],
    "start_ms": START_MS,
    "end_ms": END_MS,
    "payouts": ["0.5", "0.5"],
    "source": "a test",
}
BOOK = [["0.4", "10"], ["0.6", "1"]]


def write(path: Path, *lines: object) -> Path:
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
    return path


def found(feed: BundledFeed) -> list[tuple[LeftOut, str, int]]:
    return [(e.why, e.where, e.count) for e in feed.exclusions]


def test_without_paths_it_is_the_bundled_markets_with_their_licence() -> None:
    feed = BundledFeed()
    assert feed.name.startswith("18 bundled markets (Resolved Markets, ")
    assert "CC BY 4.0" in feed.name and "recordings/ATTRIBUTION.md" in feed.name
    assert isinstance(next(iter(feed)), BookSnapshot)
    assert feed.exclusions == []


def test_markets_come_in_order_and_pay_at_their_end() -> None:
    files = bundled()[2:5]
    feed = BundledFeed(files[::-1])
    events = [*feed]
    times = [event_at_ms(event) for event in events]
    assert times == sorted(times)
    paid = [event for event in events if isinstance(event, MarketPaid)]
    books = [event for event in events if isinstance(event, BookSnapshot)]
    for path, each in zip(files, paid, strict=True):
        recording, slug = load(path), path.name.split(".")[0]
        assert (each.slug, each.at_ms) == (slug, recording.header.end_ms)
        assert each.resolution.payouts_e6 == {
            f"{slug}-Up": int(recording.payouts[0] * 1_000_000),
            f"{slug}-Down": int(recording.payouts[1] * 1_000_000),
        }
        own = [book for book in books if book.market.condition_id == each.condition_id]
        assert events.index(own[-1]) < events.index(each)
        assert len(own) == len({book.sequence for book in own}) > 800
    assert feed.name == "3 markets (Resolved Markets, sample data of resolvedkit 0.1.0, CC BY 4.0)"


def test_of_a_cut_file_the_rest_is_used_and_that_is_said(tmp_path: Path) -> None:
    whole, slug = bundled()[0], bundled()[0].name.split(".")[0]
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes()[:-20_000])
    feed = BundledFeed([path])
    *books, paid = feed
    assert books == [*recorded_books(slug)][: len(books)] and len(books) > 100
    assert isinstance(paid, MarketPaid) and paid.resolution.payouts_e6[f"{slug}-Down"] == 10**6
    (left_out,) = feed.exclusions
    assert (left_out.why, left_out.where, left_out.count) == (LeftOut.DAMAGED, whole.name, 1)
    assert "end-of-stream" in left_out.text
    assert len([*feed]) == len(books) + 1 and len(feed.exclusions) == 1, "not counted twice"


def test_a_line_that_is_none_ends_its_market(tmp_path: Path) -> None:
    lines = [-5, BOOK, 1], [1, BOOK, 1], [2, "x", 1], [3, BOOK, 1]
    feed = BundledFeed([write(tmp_path / "a.jsonl.gz", HEADER, *lines)])
    assert [event_at_ms(event) for event in feed] == [START_MS - 5, START_MS + 1, END_MS]
    assert found(feed) == [(LeftOut.DAMAGED, "a.jsonl.gz", 1)]
    assert "btc-updown-15m-1: line 4" in feed.exclusions[0].text


def test_books_that_go_back_in_time_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = [5, BOOK, 1], [4, BOOK, 1], [-9, BOOK, 1], [6, BOOK, 1]
    feed = BundledFeed([write(tmp_path / "a.jsonl.gz", HEADER, *lines)])
    assert [event_at_ms(event) for event in feed] == [START_MS + 5, START_MS + 6, END_MS]
    assert found(feed) == [(LeftOut.OUT_OF_ORDER, "btc-updown-15m-1", 2)]


@pytest.mark.parametrize("strange_ms", [-(10**12), 10**12, 10**30])
@pytest.mark.parametrize("first", [True, False])
def test_a_time_that_is_none_of_the_market_costs_its_book_alone(
    tmp_path: Path, strange_ms: int, first: bool
) -> None:
    strange, own = [strange_ms, BOOK, 1], [[-5, BOOK, 1], [1, BOOK, 1]]
    lines = [strange, *own] if first else [own[0], strange, own[1]]
    feed = BundledFeed([write(tmp_path / "a.jsonl.gz", HEADER, *lines)])
    assert [event_at_ms(event) for event in feed] == [START_MS - 5, START_MS + 1, END_MS]
    assert found(feed) == [(LeftOut.UNREADABLE, "btc-updown-15m-1", 1)]


def test_a_file_with_another_checksum_is_not_used_at_all(tmp_path: Path) -> None:
    content = bytearray(bundled()[0].read_bytes())
    content[-6] ^= 1
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    feed = BundledFeed([path])
    assert [*feed] == []
    assert [each.why for each in feed.exclusions] == [LeftOut.DAMAGED, LeftOut.UNREADABLE]
    assert feed.exclusions[0].text.startswith("it is not used: a.jsonl.gz: not a recording: its")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl.gz")
    with pytest.raises(FeedError, match=r"a\.jsonl\.gz: not a recording: it is not a file"):
        BundledFeed([tmp_path / "a.jsonl.gz"])


def test_a_market_whose_books_go_on_pays_after_them(tmp_path: Path) -> None:
    feed = BundledFeed([write(tmp_path / "a.jsonl.gz", HEADER, [900_007, BOOK, 1])])
    assert [event_at_ms(event) for event in feed] == [END_MS + 7, END_MS + 7]


def test_other_outcomes_and_no_books_are_exclusions(tmp_path: Path) -> None:
    weather = {**HEADER, "outcomes": ["Rain", "Sun"], "condition_id": "0x02", "slug": "rain"}
    paths = [
        write(tmp_path / "a.jsonl.gz", HEADER),
        write(tmp_path / "b.jsonl.gz", weather, [1, BOOK, 1]),
    ]
    feed = BundledFeed(paths)
    assert [*feed] == []
    assert found(feed) == [
        (LeftOut.NOT_UP_DOWN, "rain", 1),
        (LeftOut.UNREADABLE, "btc-updown-15m-1", 1),
    ]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"payouts": ["1.5", "0"]}, "not a recording: not a price, above 1: '1.5'"),
        ({"payouts": ["", "0"]}, "not a recording: not a price: ''"),
        ({"end_ms": 5}, f"not a recording: a market from {START_MS} to 5, in epoch milliseconds"),
        ({"end_ms": START_MS}, f"not a recording: a market from {START_MS} to {START_MS}"),
        ({"start_ms": START_MS // 1_000}, "not a recording: a market from 1700000100 to"),
        ({"end_ms": END_MS * 1_000}, "not a recording: a market from .* in epoch milliseconds"),
        ({"payouts": ["1", "1"]}, "not a recording: a market that pays 1 and 1 USD: together"),
        ({"payouts": ["0", "0"]}, "not a recording: a market that pays 0 and 0 USD: together"),
        ({"start_ms": "x"}, "not a recording: Expected `int`"),
        ({"format": 2}, "format 2, expected 1"),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, header: dict[str, object], text: str) -> None:
    path = write(tmp_path / "bad.jsonl.gz", {**HEADER, **header}, [1, BOOK, 1])
    with pytest.raises(FeedError, match=f"bad.jsonl.gz: {text}") as refused:
        BundledFeed([path])
    assert "\n" not in str(refused.value)
    shutil.copy(bundled()[0], tmp_path / "good.jsonl.gz")
    feed = BundledFeed([path, tmp_path / "good.jsonl.gz"])
    assert found(feed) == [(LeftOut.DAMAGED, "bad.jsonl.gz", 1)]


def test_two_files_of_one_market_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.jsonl.gz", HEADER, [1, BOOK, 1]) for name in "ab"]
    with pytest.raises(FeedError, match=r"b.jsonl.gz and .*a.jsonl.gz are of the same market"):
        BundledFeed(paths)


def test_a_file_that_goes_away_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", HEADER, [1, BOOK, 1])
    feed = BundledFeed([path])
    path.unlink()
    assert [*feed] == []
    assert feed.exclusions[0].why is LeftOut.DAMAGED
    assert "cannot read it: No such file" in feed.exclusions[0].text
