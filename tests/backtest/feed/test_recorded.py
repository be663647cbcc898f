"""A recording as a feed: its books in order, what markets paid after them, and what is left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.feed.events import FeedError, LeftOut, MarketPaid, event_at_ms
from backtest.feed.recorded import RecordedFeed
from feeder.recording.format import (
    Closed,
    Frame,
    Listed,
    Lost,
    Opened,
    Record,
    Started,
    Unfollowed,
    encode_record,
)
from functions.core.evidence import Resolution
from protocol.book import Proof
from recordings.books import snapshots_of
from recordings.loader import Recording
from tests.support.bundled_as_recorded import PAID_AFTER_MS, records_of, started
from tests.support.large_recording import write_large_recording
from tests.support.recorded_feeds import (
    PART,
    books,
    feed_of,
    first_minutes,
    is_gap,
    left_out,
    levels,
    shown,
)
from tests.support.recordings import SERIES, change_books, list_market, recording


@pytest.fixture(scope="module")
def market() -> Recording:
    return first_minutes()


@pytest.fixture(scope="module")
def records(market: Recording) -> list[Record]:
    return list(records_of(market))


# ---- frames ------------------------------------------------------------------------------------


def test_recorded_frames_are_the_books_that_they_were_made_of(
    tmp_path: Path, market: Recording, records: list[Record]
) -> None:
    feed = feed_of(tmp_path, records)
    events = list(feed)
    assert levels(shown(events)) == levels(snapshots_of(market))
    assert {each.proof for each in shown(events)} == {Proof.CHECKSUM}
    assert feed.exclusions == []
    times = [event_at_ms(each) for each in events]
    assert times == sorted(times)
    order = [(each.epoch, each.sequence) for each in books(events)]
    assert order == sorted(set(order))
    paid = events[-1]
    assert isinstance(paid, MarketPaid)
    info = books(events)[0].market
    assert (paid.slug, paid.at_ms) == (market.header.slug, info.end_ms + PAID_AFTER_MS)
    payouts = dict(zip([o.token_id for o in info.outcomes], market.payouts, strict=True))
    assert paid.resolution == Resolution(
        payouts_e6={token: int(usd * 1_000_000) for token, usd in payouts.items()}, source="gamma"
    )
    assert list(feed) == events  # again, from the beginning


async def test_what_the_recorder_records_of_the_simulated_venue_is_proven_book_for_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(tmp_path, monkeypatch) as running:
        market = list_market(running.venue)
        await running.venue.subscribed(market.token("Up"), market.token("Down"))
        change_books(running.venue, market, 30)
        await running.until_taken(31)
    feed = RecordedFeed(tmp_path)
    *found, dark = books(feed)
    assert {each.proof for each in found} == {Proof.CHECKSUM}
    assert [book.bids for book in found[-1].books] == [
        tuple(reversed(book.bids())) if book.bids()[0] < book.bids()[-1] else tuple(book.bids())
        for book in market.books
    ]
    assert dark.proof is Proof.NONE  # the recorder was stopped in the middle of the window
    assert feed.exclusions == []
    assert found[0].market.series == SERIES.name


def test_two_runs_are_one_feed_and_nothing_is_known_between_them(
    tmp_path: Path, market: Recording, records: list[Record]
) -> None:
    first = [each for each in records if not isinstance(each, Frame)][:3]
    frames = [each for each in records if isinstance(each, Frame)]
    opening = next(f for f in reversed(frames) if (f.text or "").startswith("["))
    again = frames.index(opening)
    end = records[records.index(frames[-1]) + 1 :]
    second = [
        msgspec.structs.replace(each, run="b") if isinstance(each, Started) else each
        for each in ([*first[:2], Opened(at_ns=opening.at_ns, mono_ns=1, conn=1)])
    ]
    feed = feed_of(
        tmp_path, [*first, *frames[: again - 5]], [*second, *frames[again:], *end]
    )  # the first run was killed: it has no end
    events = list(feed)
    every = levels(snapshots_of(market))
    assert (
        levels(shown(events))
        == every[: again_of(every, frames[again - 5])] + every[again_of(every, opening) :]
    )
    killed_ns = frames[again - 6].at_ns
    (at,) = [i for i, each in enumerate(books(events)) if is_gap(each, killed_ns)]
    assert books(events)[at - 1].received_at_ns == killed_ns
    order = [(each.epoch, each.sequence) for each in books(events)]
    assert order == sorted(set(order))
    assert isinstance(events[-1], MarketPaid)


def again_of(every: list[object], frame: Frame) -> int:
    """Which moment a frame is."""
    return [each[0] for each in every].index(frame.at_ns)  # type: ignore[index] # pairs, see levels


# ---- what is wrong with a recording ------------------------------------------------------------


def test_no_recording_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FeedError, match=str(path)) as raised:
            RecordedFeed(path)
        assert "\n" not in str(raised.value)


def test_another_format_and_a_file_without_a_line_are_one_line(tmp_path: Path) -> None:
    other = msgspec.structs.replace(started(1), format=2)
    with pytest.raises(FeedError, match="format 2"):
        list(feed_of(tmp_path, [other]))
    (tmp_path / PART.format(1)).write_bytes(b"no gzip")
    with pytest.raises(FeedError, match="no complete line"):
        list(RecordedFeed(tmp_path))


def test_a_file_that_was_cut_is_used_as_far_as_it_goes(
    tmp_path: Path, market: Recording, records: list[Record]
) -> None:
    lines = list(map(encode_record, records))
    path = tmp_path / PART.format(1)
    half = len(lines) // 2
    members = [gzip.compress(b"".join(each)) for each in (lines[:half], lines[half:])]
    path.write_bytes(members[0] + members[1][:-20])
    feed = RecordedFeed(tmp_path)
    found = levels(shown(feed))
    assert found == levels(snapshots_of(market))[: len(found)]
    assert len(found) > half - 50
    (damaged,) = feed.exclusions
    assert (damaged.why, damaged.where, damaged.count) == (LeftOut.DAMAGED, path.name, 1)
    assert "a write was cut" in damaged.text


def test_lines_that_are_none_and_records_that_were_lost_are_counted(
    tmp_path: Path, records: list[Record]
) -> None:
    lines = list(map(encode_record, records))
    lines.insert(20, b'{"kind":"of a later version"}\n')
    lost = Lost(at_ns=records[30].at_ns, mono_ns=1, records=7, since_ns=records[30].at_ns)
    lines.insert(31, encode_record(lost))
    (tmp_path / PART.format(1)).write_bytes(gzip.compress(b"".join(lines)))
    feed = RecordedFeed(tmp_path)
    found = books(feed)
    assert left_out(feed) == {
        (LeftOut.UNREADABLE, str(tmp_path)): 1,
        (LeftOut.LOST, str(tmp_path)): 7,
    }
    assert any(is_gap(each, records[30].at_ns) for each in found)


def test_markets_that_are_not_up_or_down_are_counted_once(
    tmp_path: Path, records: list[Record]
) -> None:
    def renamed(record: Record) -> Record:
        if not isinstance(record, Listed):
            return record
        yes, no = record.market.outcomes
        names = msgspec.structs.replace(yes, name="Yes"), msgspec.structs.replace(no, name="No")
        info = msgspec.structs.replace(record.market, outcomes=names)
        return msgspec.structs.replace(record, market=info)

    other = list(map(renamed, records))
    listed = next(each for each in other if isinstance(each, Listed))
    feed = feed_of(tmp_path, [other[0], listed, *other[1:]])
    assert list(feed) == []
    assert left_out(feed) == {(LeftOut.NOT_UP_DOWN, listed.market.slug): 1}
    assert feed.exclusions[0].text == "its outcomes are Yes and No"


def test_one_file_of_a_recording_is_one_too(tmp_path: Path, records: list[Record]) -> None:
    whole = feed_of(tmp_path, records)
    assert list(RecordedFeed(tmp_path / PART.format(1))) == list(whole)


def test_a_connection_that_is_lost_is_dark_until_the_next_book(
    tmp_path: Path, records: list[Record]
) -> None:
    frames = [each for each in records if isinstance(each, Frame)]
    closed = Closed(at_ns=frames[9].at_ns, mono_ns=1, conn=1, why="lost")
    opened = Opened(at_ns=frames[9].at_ns, mono_ns=1, conn=2)
    at = records.index(frames[9]) + 1
    found = books(feed_of(tmp_path, [*records[:at], closed, opened, *records[at:]]))
    assert is_gap(found[10], frames[9].at_ns)
    opening = next(f for f in frames[10:] if (f.text or "").startswith("["))
    assert found[11].received_at_ns == opening.at_ns
    assert found[11].epoch > found[9].epoch


def test_memory_is_that_of_the_open_markets(tmp_path: Path) -> None:
    write_large_recording(tmp_path, line_bytes=600_000, frames_per_s=0.05, series=2)
    feed = RecordedFeed(tmp_path)
    open_markets: set[str] = set()
    most = markets = 0
    for event in feed:
        if isinstance(event, MarketPaid):
            open_markets.discard(event.slug)
            markets += 1
        else:
            open_markets.add(event.market.slug)
            most = max(most, len(open_markets))
    assert markets > 10
    assert most == 4  # two that run, and two that have not paid yet
    assert feed.exclusions == []


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(-(10**10), 10**10)), max_size=6),
    st.lists(st.integers(0, 90), max_size=6),
)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example overwrites it
)
def test_whatever_clocks_do_and_lines_lack_times_never_go_back(
    tmp_path: Path,
    records: list[Record],
    leaps: list[tuple[int, int]],
    lacking: list[int],
) -> None:
    changed = records[:90]
    for at, by_ns in leaps:
        changed[at:] = [
            msgspec.structs.replace(each, at_ns=each.at_ns + by_ns) for each in changed[at:]
        ]
    kept = [each for at, each in enumerate(changed) if at == 0 or at not in lacking]
    times = [event_at_ms(each) for each in feed_of(tmp_path, kept)]
    assert times == sorted(times)


def test_frames_after_the_end_of_a_market_are_nothing(
    tmp_path: Path, records: list[Record]
) -> None:
    last = next(each for each in reversed(records) if isinstance(each, Frame))
    end = next(i for i, each in enumerate(records) if isinstance(each, Unfollowed))
    late = msgspec.structs.replace(last, at_ns=records[end].at_ns + 1)
    expected = list(feed_of(tmp_path, records))
    feed = feed_of(tmp_path, [*records[: end + 1], late, *records[end + 1 :]])
    assert list(feed) == expected
    assert feed.exclusions == []
