"""What a path means, and what is said of one that means nothing."""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from backtest.feed.bundled import BundledFeed
from backtest.feed.events import FeedError, event_at_ms
from backtest.feed.open_feed import open_feed
from backtest.feed.tables import TablesFeed
from protocol.snapshot import BookSnapshot
from recordings.loader import BUNDLED, bundled
from tests.support.book_tables import table_book, table_market, write_tables


def table_folder(folder: Path, number: int = 1, **changed: object) -> Path:
    at_ms = (number - 1) * 900_000
    rows = [
        table_book(at_ms + later, side, [(0.48, 1.0)], [], f"m{number}")
        for later in (1, 2)
        for side in ("UP", "DOWN")
    ]
    return write_tables(folder, "csv", rows, [table_market(number, **changed)])


def test_no_path_is_the_bundled_markets() -> None:
    assert open_feed([]).name == BundledFeed().name


def test_files_of_the_bundled_form_and_folders_of_them_are_one_feed(tmp_path: Path) -> None:
    one, two, three = bundled()[:3]
    for path in (two, three):
        shutil.copy(path, tmp_path)
    again = tmp_path / "nowhere" / ".." / two.name
    (tmp_path / "nowhere").mkdir()
    feed = open_feed([one, tmp_path, again])
    assert isinstance(feed, BundledFeed) and feed.name.startswith("3 markets (Resolved Markets")
    assert open_feed([BUNDLED]).name.startswith("18 markets (")


def test_a_folder_of_tables_with_other_columns(tmp_path: Path) -> None:
    folder = table_folder(tmp_path)
    assert isinstance(open_feed([folder]), TablesFeed)
    with pytest.raises(FeedError, match="no column at"):
        open_feed([folder], {"ts": "at"})
    with pytest.raises(FeedError, match="columns are for tables, Parquet or CSV, and none is giv"):
        open_feed([bundled()[0]], {"ts": "at"})


def test_what_the_recorder_wrote_is_played_by_its_own_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    module = ModuleType("backtest.feed.recorded")
    monkeypatch.setattr(module, "RecordedFeed", opened.append, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    part = tmp_path / "part-000001-20261122T190000Z.jsonl.gz"
    part.write_bytes(gzip.compress(b'{"kind":"start","format":1}\n'))
    shutil.copy(bundled()[0], tmp_path)
    open_feed([tmp_path])
    open_feed([part])
    part.write_bytes(b"a cut one")
    open_feed([tmp_path])
    assert opened == [tmp_path, part, tmp_path]


def test_several_recordings_are_merged_in_time(tmp_path: Path) -> None:
    later, early = table_folder(tmp_path / "b", 3), table_folder(tmp_path / "a", 1)
    strangers = table_folder(tmp_path / "c", 2, outcome_up="Yes")
    feed = open_feed([later, early, strangers])
    assert feed.name == "; ".join(
        f"{folder / 'books.csv'} ({markets})"
        for folder, markets in ((later, "1 market"), (early, "1 market"), (strangers, "0 markets"))
    )
    events = [*feed]
    times = [event_at_ms(event) for event in events]
    assert times == sorted(times) and len(times) == 6
    markets = [event.market.condition_id for event in events if isinstance(event, BookSnapshot)]
    assert markets == ["m1", "m1", "m3", "m3"]
    assert [each.where for each in feed.exclusions] == [table_market(2)["slug"]]


def test_one_market_in_two_recordings_is_refused(tmp_path: Path) -> None:
    feed = open_feed([table_folder(tmp_path / "a"), table_folder(tmp_path / "b")])
    with pytest.raises(
        FeedError, match=r"btc-updown-15m-1790586000 is in two recordings: .*: give"
    ):
        list(feed)


def refused(path: Path) -> str:
    with pytest.raises(FeedError) as error:
        open_feed([path])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_no_recording_is_told_what_would_be(tmp_path: Path) -> None:
    recognised = ": recognised are a file *.jsonl.gz of the bundled form or a folder of them, "
    assert refused(tmp_path / "x").startswith(
        f"{tmp_path / 'x'}: no such file or folder{recognised}"
    )
    assert refused(tmp_path).startswith(f"{tmp_path}: there is no recording in it{recognised}")
    (tmp_path / "books.xlsx").touch()
    assert "books.xlsx: not a recording" in refused(tmp_path / "books.xlsx")
    other = tmp_path / "a.jsonl.gz"
    other.write_bytes(gzip.compress(b'{"some": "thing"}\n'))
    assert refused(other).startswith("a.jsonl.gz: not a recording: Object missing required")
    assert refused(tmp_path).startswith("a.jsonl.gz: not a recording: ")
    (tmp_path / "books.csv").touch()
    assert refused(tmp_path) == f"{tmp_path}: there is books.csv, but no markets.csv"
