"""What the books' own times say about the clocks."""

from __future__ import annotations

import msgspec
import pytest

from functions.core.clock_watch import BOOKS_MIN, SERIES_MAX, ClockTrouble, ClockWatch
from protocol.snapshot import BookSnapshot
from tests.support.trading_builders import snapshot

BOOK = snapshot()
SERIES = BOOK.market.series
NOW_MS = 1_790_000_000_000


def concluded(
    *,
    feeder_ms: int = 0,
    here_ms: int = 0,
    venue_ms: int = 0,
    to_nats_ms: int = 2,
    from_nats_ms: int = 3,
    books: int = BOOKS_MIN,
) -> ClockTrouble | None:
    """As if the clocks of venue, feeder and worker were so much ahead of NATS'."""
    watch = ClockWatch(1_000)
    for number in range(books):
        note(watch, feeder_ms, here_ms, venue_ms, to_nats_ms + number, from_nats_ms)
    assert watch.conclusive
    return watch.conclude()[SERIES]


def note(
    watch: ClockWatch,
    feeder: int,
    here: int,
    venue: int,
    to_nats: int,
    from_nats: int,
    series: str = SERIES,
) -> None:
    sent = NOW_MS + feeder
    stored = NOW_MS + to_nats
    book: BookSnapshot = msgspec.structs.replace(
        BOOK,
        market=msgspec.structs.replace(BOOK.market, series=series),
        venue_timestamp_ms=NOW_MS - 5 + venue,
        received_at_ns=(sent - 1) * 1_000_000,
        published_at_ns=sent * 1_000_000,
    )
    watch.note(book, (stored + from_nats + here) * 1_000_000, lambda: stored * 1_000_000)


def test_clocks_that_agree_are_no_trouble() -> None:
    assert concluded() is None
    assert concluded(here_ms=90) is None
    assert concluded(here_ms=-90) is None
    assert concluded(from_nats_ms=700) is None  # slow, and still young enough


@pytest.mark.parametrize("behind_ms", [130, 500, 3_600_000])
def test_a_clock_that_is_behind_is_said_with_its_offset(behind_ms: int) -> None:
    trouble = concluded(here_ms=-behind_ms)
    assert trouble is not None
    assert f"this clock is {behind_ms - 5} ms behind the feeder's" in trouble.text
    assert f"{behind_ms - 3} ms behind NATS'" in trouble.text
    assert trouble.blocks
    assert trouble.here


def test_one_book_from_the_future_is_enough() -> None:
    assert concluded(here_ms=-500, books=1) is not None
    assert concluded(books=1) is None


def test_a_feeder_that_is_ahead_is_told_from_a_worker_that_is_behind() -> None:
    trouble = concluded(feeder_ms=400)
    assert trouble is not None
    assert trouble.text == (
        "a feeder's clock is 395 ms ahead of this one and of NATS': its books are refused"
    )
    assert trouble.blocks


@pytest.mark.parametrize("ahead_ms", [105, 400])
def test_one_book_of_a_feeder_that_is_ahead_keeps_its_series_from_being_traded(
    ahead_ms: int,
) -> None:
    """As the evaluator has it, however young the others look."""
    watch = ClockWatch(1_000)
    for each_ms in (0, 0, ahead_ms, 0):
        note(watch, each_ms, 0, 0, 2, 3)
    trouble = watch.conclude()[SERIES]
    assert trouble is not None
    assert trouble.blocks
    assert not trouble.here
    for _ in range(BOOKS_MIN):  # another feeder has it by now
        note(watch, 0, 0, 0, 2, 3)
    assert watch.conclude()[SERIES] is None


@pytest.mark.parametrize(
    ("feeder_ms", "venue_ms", "text"),
    [
        (-5_000, 0, "a feeder's clock is 5005 ms behind this one and NATS'"),
        (400, 0, "a feeder's clock is 395 ms ahead of this one and of NATS'"),
        (0, -5_000, "the feeder's clock is ahead of the venue's, or what it receives is old"),
    ],
)
def test_a_series_that_is_refused_is_told_although_the_others_are_young_enough(
    feeder_ms: int, venue_ms: int, text: str
) -> None:
    watch = ClockWatch(1_000)
    for _ in range(BOOKS_MIN):
        note(watch, 0, 0, 0, 2, 3)
        note(watch, feeder_ms, 0, venue_ms, 2, 3, "eth-15m")
    concluded = watch.conclude()
    assert concluded[SERIES] is None
    trouble = concluded["eth-15m"]
    assert trouble is not None
    assert trouble.text.startswith(text)
    assert trouble.blocks
    assert not trouble.here


def test_a_series_that_shows_nothing_yet_is_concluded_on_later() -> None:
    watch = ClockWatch(1_000)
    for half in range(2):
        note(watch, 0, 0, 0, 2, 3)
        for _ in range(BOOKS_MIN // 2):
            note(watch, -5_000, 0, 0, 2, 3, "eth-15m")
        assert ("eth-15m" in watch.conclude()) == bool(half)


def test_names_of_series_without_end_take_no_memory_without_end() -> None:
    watch = ClockWatch(1_000)
    for number in range(SERIES_MAX + 1):
        note(watch, -5_000, 0, 0, 2, 3, f"eth-{number}m")
    for _ in range(BOOKS_MIN):
        note(watch, -5_000, 0, 0, 2, 3)
    assert watch.conclude()[SERIES] is not None
    assert len(watch) <= SERIES_MAX


def test_a_clock_that_is_ahead_is_said_when_no_book_is_young_enough() -> None:
    trouble = concluded(here_ms=2_000)
    assert trouble is not None
    assert "this clock is 2005 ms ahead of the feeder's (2003 ms ahead of NATS')" in trouble.text
    assert trouble.blocks
    assert concluded(here_ms=800) is None


def test_a_feeder_that_is_behind_is_told_from_a_worker_that_is_ahead() -> None:
    trouble = concluded(feeder_ms=-2_000)
    assert trouble is not None
    assert trouble.text.startswith("a feeder's clock is 2005 ms behind this one and NATS'")


def test_a_venue_that_seems_late_is_said_when_no_book_is_young_enough() -> None:
    trouble = concluded(venue_ms=-2_500)
    assert trouble is not None
    assert "the feeder's clock is ahead of the venue's" in trouble.text
    assert concluded(venue_ms=-1_500) is None


@pytest.mark.parametrize("behind_ms", [1_500, 60_000])
def test_one_machine_whose_clock_is_behind_the_venue_s_is_said(behind_ms: int) -> None:
    trouble = concluded(venue_ms=behind_ms)  # and NATS' clock is this machine's, too
    assert trouble is not None
    assert trouble.text == (
        f"this clock is {behind_ms - 10} ms behind the venue's, and so is NATS'; or the venue's is"
        " ahead: its books are refused"
    )
    assert trouble.blocks
    assert concluded(venue_ms=900) is None


def test_a_machine_that_is_behind_the_venue_and_nats_is_the_wrong_one() -> None:
    trouble = concluded(feeder_ms=-60_000, here_ms=-60_000)
    assert trouble is not None
    assert trouble.text.startswith(
        "this clock is 59990 ms behind the venue's, and 59997 ms behind NATS': its books"
    )
    assert trouble.here


def test_without_nats_clock_the_venue_s_is_compared_all_the_same() -> None:
    watch = ClockWatch(1_000)
    sent_ns = NOW_MS * 1_000_000
    book = msgspec.structs.replace(
        BOOK, published_at_ns=sent_ns, received_at_ns=sent_ns, venue_timestamp_ms=NOW_MS + 5_000
    )
    for _ in range(BOOKS_MIN):
        watch.note(book, sent_ns + 1, lambda: None)
    trouble = watch.conclude()[SERIES]
    assert trouble is not None
    assert trouble.text.startswith("this clock is 4999 ms behind the venue's, or the venue's")


def test_a_single_book_that_the_venue_dates_ahead_is_nobody_s_trouble() -> None:
    watch = ClockWatch(1_000)
    note(watch, 0, 0, 5_000, 2, 3)
    assert not watch.conclusive
    note(watch, 0, 0, 0, 2, 3)
    assert watch.conclude()[SERIES] is None


def test_nats_clock_alone_is_nobodys_trouble() -> None:
    assert concluded(feeder_ms=60_000, here_ms=60_000, venue_ms=60_000) is None
    assert concluded(feeder_ms=-60_000, here_ms=-60_000, venue_ms=-60_000) is None


def test_without_nats_clock_the_difference_is_said_all_the_same() -> None:
    watch = ClockWatch(1_000)
    sent_ns = NOW_MS * 1_000_000
    book = msgspec.structs.replace(BOOK, published_at_ns=sent_ns, received_at_ns=sent_ns)
    watch.note(book, sent_ns - 200_000_000, lambda: None)
    trouble = watch.conclude()[SERIES]
    assert trouble is not None
    assert (
        trouble.text == "this clock is 200 ms behind the feeder's, or more: its books are refused"
    )


def test_each_conclusion_is_about_the_books_since_the_last_one() -> None:
    watch = ClockWatch(1_000)
    note(watch, 0, -500, 0, 2, 3)
    assert watch.way_s == -0.495
    assert watch.conclude()[SERIES] is not None
    assert not watch.conclusive
    note(watch, 0, 0, 0, 2, 3)
    assert watch.conclusive
    assert watch.conclude()[SERIES] is None


def test_a_few_late_books_show_nothing_yet() -> None:
    watch = ClockWatch(1_000)
    for _ in range(BOOKS_MIN):
        assert not watch.conclusive
        note(watch, 0, 3_000, 0, 2, 3)
    assert watch.conclude()[SERIES] is not None
