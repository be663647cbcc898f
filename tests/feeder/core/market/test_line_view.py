from __future__ import annotations

from random import Random

import pytest

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import Trouble
from feeder.core.book.version_order import Version, VersionOrder
from feeder.core.market.line_view import LineView
from tests.fuzz.venue import START_MS, Market
from tests.support.session_bench import info_of
from venue.wire.market_channel import decode_book

MARKET = Market(2, Random(1), hidden_inputs=False)
ONE, OTHER = (token.token_id for token in MARKET.tokens)


@pytest.fixture
def view() -> LineView:
    """With both books, of START_MS."""
    info = info_of(MARKET)
    view = LineView(0, info, BookChecksum(info), VersionOrder([ONE, OTHER]), now_ms=0)
    fill(view)
    return view


def version(timestamp_ms: int, digest: str) -> Version:
    return Version(timestamp_ms, digest, 0)


def come(view: LineView, ms: int) -> None:
    """A version of the first token comes."""
    view.books[ONE].timestamp_ms = START_MS + ms
    view.moved()


def fill(view: LineView) -> None:
    view.subscribed = True
    for token in MARKET.tokens:
        view.books[token.token_id].replace(decode_book(MARKET.rest_book(token)), from_rest=True)
    view.moved()
    view.note(0)


def test_it_is_usable_while_both_books_are_and_remembers_since_when_not(view: LineView) -> None:
    assert view.usable
    assert view.proven
    view.books[ONE].distrust(Trouble.FROZEN)
    view.note(77)
    assert not view.usable
    assert view.unusable_since_ms == 77
    view.note(99)
    assert view.unusable_since_ms == 77
    assert view.troubles() == (Trouble.FROZEN, None)


def test_a_doubt_is_reported_of_each_book_that_was_usable(view: LineView) -> None:
    view.books[ONE].distrust(Trouble.FROZEN)
    assert view.distrust_malformed(None, 5) == (Trouble.BAD_FRAME,)
    assert view.distrust_malformed(None, 6) == ()


def test_a_new_connection_forgets_everything(view: LineView) -> None:
    view.expect(ONE, version(START_MS + 1, "a"), 10)
    view.reset(True, 50)
    assert view.troubles() == (Trouble.NO_SNAPSHOT, Trouble.NO_SNAPSHOT)
    assert (view.usable, view.unusable_since_ms, view.behind) == (False, 50, {})


def test_what_is_here_already_or_cannot_come_is_not_expected(view: LineView) -> None:
    assert not view.expect(ONE, version(START_MS, view.books[ONE].hash), 10)
    assert not view.expect(ONE, version(START_MS - 1, "a"), 10)
    view.books[ONE].distrust(Trouble.CHECKSUM)
    assert not view.expect(ONE, version(START_MS + 1, "a"), 10)
    assert view.behind == {}


def test_a_book_is_frozen_when_the_first_version_that_is_missing_is_overdue(view: LineView) -> None:
    assert view.expect(ONE, version(START_MS + 1, "a"), 1_000)
    assert view.expect(ONE, version(START_MS + 500, "b"), 1_500)
    assert view.frozen(999) == []
    assert view.frozen(1_000) == [view.books[ONE]]


def test_after_the_first_has_come_the_newest_is_still_waited_for(view: LineView) -> None:
    view.expect(ONE, version(START_MS + 1, "a"), 1_000)
    view.expect(ONE, version(START_MS + 500, "b"), 1_500)
    come(view, 1)
    assert view.frozen(1_499) == []
    assert view.frozen(1_500) == [view.books[ONE]]
    come(view, 500)
    assert view.frozen(1_501) == []
    assert view.behind == {}


def test_a_stream_of_versions_fills_no_memory(view: LineView) -> None:
    for number in range(1, 10_000):
        view.expect(ONE, version(START_MS + number, str(number)), number)
        view.expect(OTHER, version(START_MS + number, str(number)), number)
    assert len(view.behind) == 2
