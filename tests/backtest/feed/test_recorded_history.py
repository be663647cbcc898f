"""A recording of what workers saw, as a feed; and what its markets paid."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backtest.feed.events import LeftOut, MarketPaid
from backtest.feed.recorded import FORESIGHT_NS
from feeder.recording.format import (
    Frame,
    Listed,
    Missed,
    Paid,
    Record,
    published_of,
)
from functions.core.evidence import Resolution
from protocol.snapshot import BookSnapshot, encode_snapshot
from recordings.books import snapshots_of
from recordings.loader import Recording
from tests.support.bundled_as_recorded import records_of, started, when
from tests.support.message_builders import DOWN_TOKEN, UP_TOKEN, market_info, snapshot
from tests.support.recorded_feeds import (
    books,
    feed_of,
    first_minutes,
    left_out,
    levels,
    shown,
)

INFO = market_info()
START_MS = INFO.start_ms


@pytest.fixture(scope="module")
def market() -> Recording:
    return first_minutes()


@pytest.fixture(scope="module")
def records(market: Recording) -> list[Record]:
    return list(records_of(market))


# ---- books as they were published --------------------------------------------------------------


def published(at_ms: int, sequence: int, series: str = "btc-15m", age_ms: int = 3) -> BookSnapshot:
    info = msgspec.structs.replace(
        INFO, series=series, condition_id=f"0x{series}", slug=f"{series}-1"
    )
    return msgspec.structs.replace(
        snapshot(),
        market=info,
        received_at_ns=(at_ms - age_ms) * 1_000_000,
        published_at_ns=at_ms * 1_000_000,
        sequence=sequence,
    )


def message(each: BookSnapshot, payload: bytes | None = None) -> Record:
    """It comes to the recorder a millisecond after its publication."""
    return published_of(
        encode_snapshot(each) if payload is None else payload,
        subject=f"book.{each.market.series}.{each.market.condition_id}",
        **when(each.published_at_ns // 1_000_000 + 1),
    )


def test_books_that_were_published_are_the_feed_and_frames_of_their_series_are_not(
    tmp_path: Path, records: list[Record]
) -> None:
    at_ms = next(each for each in records if isinstance(each, Frame)).at_ns // 1_000_000
    info = next(each.market for each in records if isinstance(each, Listed))
    seen = [
        msgspec.structs.replace(
            published(at_ms + 7_000 + 100 * number, number + 1),
            market=info,
            books=tuple(
                msgspec.structs.replace(book, token_id=outcome.token_id)
                for book, outcome in zip(snapshot().books, info.outcomes, strict=True)
            ),
        )
        for number in range(5)
    ]
    mixed = sorted([*records, *map(message, seen)], key=lambda each: each.at_ns)
    feed = feed_of(tmp_path, mixed)
    assert books(feed) == seen
    assert feed.exclusions == []


def test_frames_of_a_series_that_nobody_published_are_played_beside(
    tmp_path: Path, market: Recording, records: list[Record]
) -> None:
    at_ms = next(each for each in records if isinstance(each, Frame)).at_ns // 1_000_000
    other = msgspec.structs.replace(
        published(at_ms + 500, 1, series="eth-15m"),
        market=msgspec.structs.replace(
            published(0, 1, "eth-15m", 0).market, end_ms=at_ms + 900_000
        ),
    )
    mixed = sorted([*records, message(other)], key=lambda each: each.at_ns)
    feed = feed_of(tmp_path, mixed)
    events = list(feed)
    assert [each for each in books(events) if each.market.series == "eth-15m"] == [other]
    rest = [each for each in shown(events) if each.market.series == "btc-15m"]
    assert levels(rest) == levels(snapshots_of(market))


def test_published_books_come_in_the_order_of_their_receipt(tmp_path: Path) -> None:
    begun, slow = published(START_MS + 1_000, 1), published(START_MS + 1_900, 3)
    late = published(START_MS + 1_901, 9, series="eth-15m", age_ms=700)
    feed = feed_of(tmp_path, [started(START_MS), *map(message, (begun, slow, late))])
    assert books(feed) == [begun, late, slow]


def test_what_is_no_book_or_comes_again_or_too_late_is_counted(tmp_path: Path) -> None:
    first, second = published(START_MS + 1_000, 1), published(START_MS + 1_100, 2)
    after = published(INFO.end_ms + 60_000, 3)
    records = [
        started(START_MS),
        message(first),
        message(first, b"{}"),
        message(first, b"\xff"),
        message(second),
        message(second),
        Missed(**when(START_MS + 2_000), what="books", messages=4, since_ns=1, why="a gap"),
        Missed(**when(START_MS + 2_000), what="decisions", messages=4, since_ns=1, why="a gap"),
        message(after),
    ]
    feed = feed_of(tmp_path, records)
    assert books(feed) == [first, second]
    slug = first.market.slug
    assert left_out(feed) == {
        (LeftOut.UNREADABLE, str(tmp_path)): 2,
        (LeftOut.OUT_OF_ORDER, slug): 2,
        (LeftOut.LOST, str(tmp_path)): 4,
    }


def test_books_that_are_published_later_replace_the_frames_from_there(
    tmp_path: Path, market: Recording, records: list[Record]
) -> None:
    frames = [each for each in records if isinstance(each, Frame)]
    at_ns = next(f.at_ns for f in frames if f.at_ns > frames[0].at_ns + 2 * FORESIGHT_NS)
    info = next(each.market for each in records if isinstance(each, Listed))
    seen = msgspec.structs.replace(
        published(at_ns // 1_000_000, 1, age_ms=0),
        market=info,
        books=tuple(
            msgspec.structs.replace(book, token_id=outcome.token_id)
            for book, outcome in zip(snapshot().books, info.outcomes, strict=True)
        ),
    )
    mixed = sorted([*records, message(seen)], key=lambda each: each.at_ns)
    *before, last = shown(feed_of(tmp_path, mixed))
    assert last == seen
    assert levels(before) == [e for e in levels(snapshots_of(market)) if e[0] <= at_ns]  # type: ignore[index] # pairs, see levels


# ---- what markets paid -------------------------------------------------------------------------


def paid(at_ms: int, payouts_e6: dict[str, int], condition_id: str = "0xbtc-15m") -> Paid:
    return Paid(**when(at_ms), condition_id=condition_id, payouts_e6=payouts_e6, source="gamma")


@pytest.mark.parametrize(
    ("recorded_at_ms", "at_ms"),
    [
        (INFO.end_ms + 60_000, INFO.end_ms + 60_000),
        (INFO.end_ms - 60_000, INFO.end_ms + 2_000),
        (INFO.end_ms + 20 * 3_600_000, INFO.end_ms + 20 * 3_600_000),
    ],
    ids=["after the end", "by a clock that is wrong", "when the recorder was started again"],
)
def test_a_market_pays_after_its_last_book_and_its_end(
    tmp_path: Path, recorded_at_ms: int, at_ms: int
) -> None:
    book, last = published(START_MS + 1_000, 1), published(INFO.end_ms - 100, 2)
    payouts_e6 = {UP_TOKEN: 500_000, DOWN_TOKEN: 500_000}
    records = [started(START_MS), message(book), message(last), paid(recorded_at_ms, payouts_e6)]
    feed = feed_of(tmp_path, sorted(records, key=lambda each: each.at_ns))
    events = list(feed)
    assert events[:-1] == [book, last] or recorded_at_ms < INFO.end_ms
    assert events[-1] == MarketPaid(
        condition_id=book.market.condition_id,
        slug=book.market.slug,
        at_ms=at_ms,
        resolution=Resolution(payouts_e6=payouts_e6, source="gamma"),
    )


@pytest.mark.parametrize(
    "payouts_e6", [{UP_TOKEN: 1_000_000}, {UP_TOKEN: 2_000_000, DOWN_TOKEN: 0}]
)
def test_a_payout_that_is_none_of_its_market_is_counted(
    tmp_path: Path, payouts_e6: dict[str, int]
) -> None:
    book = published(START_MS + 1_000, 1)
    feed = feed_of(
        tmp_path, [started(START_MS), message(book), paid(INFO.end_ms + 60_000, payouts_e6)]
    )
    assert list(feed) == [book]
    slug = book.market.slug
    assert left_out(feed) == {(LeftOut.UNREADABLE, slug): 1}


def test_a_payout_that_does_not_come_within_a_day_is_not_waited_for(tmp_path: Path) -> None:
    book = published(START_MS + 1_000, 1)
    later_ms = INFO.end_ms + 27 * 3_600_000
    next_market = msgspec.structs.replace(
        INFO, condition_id="0xother", start_ms=later_ms, end_ms=later_ms + 900_000
    )
    records = [
        started(START_MS),
        message(book),
        Listed(**when(later_ms), market=next_market),
        paid(later_ms + 1, {UP_TOKEN: 1_000_000, DOWN_TOKEN: 0}),
    ]
    feed = feed_of(tmp_path, records)
    assert list(feed) == [book]
    assert feed.exclusions == []
