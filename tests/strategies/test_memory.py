"""What a worker remembers of a market."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.book import Book
from strategies.memory import (
    LEVELS_KEPT,
    OLDER_APART_MS,
    OLDER_MAX,
    RECENT_MAX,
    ROWS_MAX,
    BookRow,
    MarketMemory,
    digest_of,
)
from tests.support.generated_views import wild_books
from tests.support.trading_builders import market

START_MS = 1_790_000_000_000
INFO = market(start_ms=START_MS, end_ms=START_MS + 900_000)
BOOK = Book(token_id="u", bids=((4_900, 1),), asks=((5_000, 1),))
versions = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30)), max_size=30)


def filled(count: int, *, at_ms: int = START_MS, epoch: int = 1, gap_ms: int = 1) -> MarketMemory:
    memory = MarketMemory()
    for number in range(count):
        memory.note(INFO, BOOK, at_ms + number * gap_ms, epoch, number)
    return memory


@given(came=versions, book=wild_books())
def test_books_are_kept_in_order_and_what_is_not_newer_is_left_out(
    came: list[tuple[int, int]], book: Book
) -> None:
    memory, kept = MarketMemory(), []
    for epoch, sequence in came:
        memory.note(INFO, book, START_MS, epoch, sequence)
        if not kept or (epoch, sequence) > kept[-1]:
            kept.append((epoch, sequence))
        assert [(row.epoch, row.sequence) for row in memory.rows] == kept
    for row in memory.rows:
        assert row.bids == book.bids[:LEVELS_KEPT]
        assert row.asks == book.asks[:LEVELS_KEPT]
        assert row.mid_e4 == book.mid_e4


@given(
    count=st.sampled_from([0, 1, RECENT_MAX - 1, RECENT_MAX, RECENT_MAX + 1, ROWS_MAX, 2_000]),
    gap_ms=st.sampled_from([1, 50, 500, OLDER_APART_MS - 1, OLDER_APART_MS, 5_000]),
)
def test_the_newest_are_all_kept_and_of_the_older_one_a_second(count: int, gap_ms: int) -> None:
    memory = filled(count, gap_ms=gap_ms)
    rows = memory.rows
    newest = list(range(max(0, count - RECENT_MAX), count))
    assert [row.sequence for row in rows[-RECENT_MAX:]] == newest
    older = [row.at_ms - START_MS for row in rows[:-RECENT_MAX]]
    gap_of_older_ms = -(-OLDER_APART_MS // gap_ms) * gap_ms
    kept = list(range(0, (count - RECENT_MAX) * gap_ms, gap_of_older_ms))
    assert older == kept[-OLDER_MAX:]
    assert memory.last(10) == rows[-10:]
    assert memory.last(0) == memory.last(-1) == ()
    assert memory.last(10**9) == rows


def test_a_clock_that_is_set_back_keeps_no_book_out() -> None:
    memory = filled(RECENT_MAX, at_ms=START_MS + 3_600_000)
    for number in range(3 * RECENT_MAX):
        memory.note(INFO, BOOK, START_MS + number * OLDER_APART_MS, 2, number)
    older = [row.at_ms for row in memory.rows[:-RECENT_MAX]]
    assert older == [START_MS + number * OLDER_APART_MS for number in range(128, 256)]


def test_the_reference_is_the_first_book_of_the_window_and_outlives_the_rows() -> None:
    memory = filled(ROWS_MAX * 3, at_ms=START_MS - 5)
    assert memory.start is not None
    assert (memory.start.at_ms, memory.start.sequence) == (START_MS, 5)
    assert memory.start not in memory.rows


def test_before_the_window_there_is_no_reference() -> None:
    assert filled(5, at_ms=START_MS - 5).start is None


def test_what_was_handed_out_does_not_change() -> None:
    memory = filled(3)
    rows = memory.rows
    assert memory.rows is rows  # made once a book, however many strategies ask
    memory.note(INFO, BOOK, START_MS, 2, 0)
    assert len(rows) == 3
    assert len(memory.rows) == 4


@given(came=st.lists(versions, min_size=2, max_size=2))
def test_the_digest_is_equal_for_the_same_books_and_different_for_others(
    came: list[list[tuple[int, int]]],
) -> None:
    memories = []
    for version in came:
        memory = MarketMemory()
        for epoch, sequence in version:
            memory.note(INFO, BOOK, START_MS, epoch, sequence)
        memories.append(memory)
    one, other = memories
    seen_one, seen_other = digest_of(one.rows, one.start), digest_of(other.rows, other.start)
    assert (seen_one == seen_other) == (one.rows == other.rows)
    assert len(seen_one) == 16


def test_the_digest_names_the_reference_too() -> None:
    with_it, without = filled(ROWS_MAX + 9), filled(ROWS_MAX + 9, at_ms=START_MS - 10_000)
    assert with_it.start is not None
    assert without.start is None
    assert digest_of(with_it.rows, with_it.start) != digest_of(without.rows, None)


@given(
    count=st.sampled_from([0, 1, RECENT_MAX, RECENT_MAX + 1, ROWS_MAX, 1_000]),
    gap_ms=st.sampled_from([50, OLDER_APART_MS]),
    more=st.integers(0, 300),
)
def test_a_memory_made_of_its_rows_shows_the_same_and_goes_on_in_the_same_way(
    count: int, gap_ms: int, more: int
) -> None:
    memory = filled(count, gap_ms=gap_ms)
    again = MarketMemory.of(memory.rows, memory.start)
    assert (again.rows, again.start) == (memory.rows, memory.start)
    for number in range(count, count + more):
        for each in (memory, again):
            each.note(INFO, BOOK, START_MS + number * gap_ms, 1, number)
    assert (again.rows, again.start) == (memory.rows, memory.start)


def test_rows_that_no_memory_has_make_none() -> None:
    rows = [BookRow.of(BOOK, START_MS, 1, number) for number in range(ROWS_MAX + 1)]
    with pytest.raises(ValueError, match="257 rows"):
        MarketMemory.of(rows, None)
    with pytest.raises(ValueError, match="out of order"):
        MarketMemory.of((rows[1], rows[0]), None)
