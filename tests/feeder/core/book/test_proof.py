"""What of a book is proven when, by deltas as the real channel sends them."""

from __future__ import annotations

import pytest

from feeder.core.book import checksum
from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import (
    SEARCHES_MAX,
    VERIFY_EVERY_NS,
    VERSIONS_UNPROVEN_MAX,
    SnapshotResult,
    TokenBook,
    Trouble,
)
from protocol.book import Proof
from tests.support.market_channel_frames import DOWN, UP
from tests.support.naive_book import (
    FAR,
    INFO,
    SECOND_NS,
    TOP,
    Change,
    Frame,
    Venue,
    followed,
    is_venues,
    tell,
)
from venue.wire.market_channel import PriceChange


def later_ns(venue: Venue, times: int = 1) -> int:
    """Late enough for so many more verifications."""
    return venue.timestamp_ms * 1_000_000 + times * VERIFY_EVERY_NS


def test_every_change_is_proven_by_the_checksum() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    for change in (("BUY", "0.51", "7"), ("SELL", "0.53", "0"), ("BUY", "0.51", "0.5")):
        tell(book, *venue.change(change))
        assert is_venues(book, venue)


def test_a_trade_is_proven_when_the_last_of_its_frames_has_come() -> None:
    venue = Venue(*FAR, *TOP, ("BUY", "0.51", "80"), ("BUY", "0.50", "3"))
    book = followed(venue)
    frames = venue.trade(
        "0.51", ("SELL", "0.51", "45.83"), ("BUY", "0.52", "0"), ("BUY", "0.51", "0")
    )
    assert len({(timestamp_ms, change.hash) for timestamp_ms, change in frames}) == 1
    for frame in frames[:-1]:
        tell(book, frame)
        assert (book.trouble, book.proven) == (None, False)
    assert book.unproven_since_ns == venue.timestamp_ms * 1_000_000
    tell(book, frames[-1])
    assert is_venues(book, venue)
    assert book.unproven_since_ns is None
    assert book.replace(venue.book(), from_rest=False) is SnapshotResult.OLDER
    assert is_venues(book, venue)


def test_however_many_frames_a_version_has_it_is_one() -> None:
    prices = [f"0.{cents}" for cents in range(40, 53)]
    venue = Venue(*FAR, *TOP, *(("BUY", price, "1") for price in prices))
    book = followed(venue)
    for frame in venue.trade("0.4", *(("BUY", price, "0") for price in reversed(prices))):
        tell(book, frame)
        assert book.trouble is None
    assert is_venues(book, venue)


def test_a_frame_with_several_levels_is_judged_by_its_last() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    frames = venue.change(("SELL", "0.51", "45"), ("BUY", "0.52", "0"))
    for timestamp_ms, change in frames:
        assert book.change(change, timestamp_ms)
        assert not book.proven
    book.check(frames[-1][1], SECOND_NS)
    assert is_venues(book, venue)


def test_a_hash_that_is_ahead_is_proven_by_the_next_version() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    coming: Change = ("SELL", "0.54", "8")
    tell(book, *venue.change(("BUY", "0.51", "7"), ahead=coming))
    assert (book.trouble, book.proven) == (None, False)
    tell(book, *venue.change(coming))
    assert is_venues(book, venue)


def test_a_trade_price_that_comes_later_is_no_obstacle() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.trade("0.53", ("SELL", "0.53", "2")))
    assert is_venues(book, venue)


def test_all_trade_prices_are_tried_a_few_times_a_version() -> None:
    for frames in (SEARCHES_MAX, SEARCHES_MAX + 1):
        venue = Venue(*FAR, *TOP)
        book = followed(venue)
        told = venue.trade("0.61", *(("BUY", f"0.4{n}", "1") for n in range(frames)))
        for n, frame in enumerate(told):
            tell(book, frame, at_ns=later_ns(venue, n))
        assert book.proven is (frames == SEARCHES_MAX)
        book.replace(venue.book(), from_rest=False)
        assert is_venues(book, venue)
        tell(book, *venue.trade("0.62", ("BUY", "0.41", "2"), later_ms=9))
        assert is_venues(book, venue)


def test_a_trade_price_that_is_told_at_last_proves_what_was_unproven() -> None:
    venue = Venue(*FAR, *TOP)
    checksum = BookChecksum(INFO)
    book = TokenBook(UP, checksum)
    book.replace(venue.rest(), from_rest=False)
    for n, frame in enumerate(venue.trade("0.61", *(("BUY", f"0.4{n}", "1") for n in range(6)))):
        tell(book, frame, at_ns=later_ns(venue, n))
    assert not book.proven
    checksum.traded(DOWN, "0.61")
    assert not book.doubt_if_overdue(later_ns(venue) + SECOND_NS)
    assert is_venues(book, venue)


def test_a_trade_through_several_levels_needs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "_GRID", ())
    venue = Venue(*FAR, *TOP, ("SELL", "0.54", "80"))
    book = followed(venue)
    first, second = venue.trade("0.54", ("SELL", "0.53", "0"), ("SELL", "0.54", "5"))
    tell(book, first)
    assert (book.best, book.proven) == ((5_200, 5_400), False)
    tell(book, second, at_ns=later_ns(venue))
    assert is_venues(book, venue)


def test_a_trade_of_the_other_token_changes_what_this_one_is_hashed_with() -> None:
    venue = Venue(*FAR, *TOP)
    checksum = BookChecksum(INFO)
    book = TokenBook(UP, checksum)
    book.replace(venue.rest(), from_rest=False)
    checksum.traded(DOWN, "0.47")
    tell(book, *venue.trade("0.47", ("SELL", "0.53", "2")))
    assert is_venues(book, venue)


def mutated(frame: Frame) -> Frame:
    timestamp_ms, change = frame
    return timestamp_ms, PriceChange(
        UP, change.price, "77", change.side, change.best_bid, change.best_ask, change.hash
    )


@pytest.mark.parametrize("kind", ["missing", "mutated"])
def test_a_wrong_level_that_no_top_shows_is_a_trouble_after_some_versions(kind: str) -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    frames = venue.change(("BUY", "0.40", "7"))
    if kind == "mutated":
        tell(book, mutated(frames[0]))
    else:
        tell(book, *venue.change(("BUY", "0.41", "1")))
    for size in range(1, VERSIONS_UNPROVEN_MAX + 1):
        assert (book.trouble, book.proven) == (None, False)
        tell(book, *venue.change(("SELL", "0.53", str(size))))
    assert (book.trouble, book.proven) == (None, False)
    tell(book, *venue.change(("SELL", "0.53", "99")))
    assert (book.trouble, book.proof) == (Trouble.CHECKSUM, Proof.NONE)
    assert (book.timestamp_ms, book.hash) == (0, "")


def test_a_wrong_level_is_a_trouble_after_a_second() -> None:
    for quiet in (True, False):
        venue = Venue(*FAR, *TOP)
        book = followed(venue)
        venue.change(("BUY", "0.40", "7"))
        tell(book, *venue.change(("SELL", "0.53", "5")), at_ns=100)
        assert not book.doubt_if_overdue(99 + SECOND_NS)
        if quiet:
            assert book.doubt_if_overdue(100 + SECOND_NS)
            assert not book.doubt_if_overdue(100 + SECOND_NS)  # told once
        else:
            tell(book, *venue.change(("SELL", "0.53", "6")), at_ns=100 + SECOND_NS)
        assert book.trouble is Trouble.CHECKSUM


def test_a_clock_that_is_set_back_neither_doubts_nor_trusts_for_ever() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    venue.change(("BUY", "0.40", "7"))
    tell(book, *venue.change(("SELL", "0.53", "5")), at_ns=3_600 * SECOND_NS)
    assert not book.doubt_if_overdue(5)
    assert book.doubt_if_overdue(5 + SECOND_NS)


def test_a_wrong_level_that_is_written_again_is_right_again() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, mutated(venue.change(("BUY", "0.40", "7"))[0]))
    assert not book.proven
    tell(book, *venue.change(("BUY", "0.40", "8")))
    assert is_venues(book, venue)


def test_duplicates_and_late_ones_change_nothing() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    first = venue.change(("BUY", "0.51", "7"), ("BUY", "0.50", "1"))
    second = venue.change(("BUY", "0.51", "0"), later_ms=0)
    tell(book, *first, *second)
    book.verify_deferred()
    assert is_venues(book, venue)
    for again in first + second:
        assert not book.change(again[1], again[0])
    tell(book, *venue.change(("BUY", "0.49", "2")))
    for late in first + second:
        assert not book.change(late[1], late[0])
    assert is_venues(book, venue)


def test_a_book_may_return_to_a_state_of_the_same_millisecond() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    frames = [
        *venue.change(("BUY", "0.52", "0")),
        *venue.change(("BUY", "0.51", "220"), later_ms=0),
        *venue.change(("BUY", "0.51", "0"), later_ms=0),
    ]
    assert frames[0][1].hash == frames[2][1].hash
    for frame in frames:
        tell(book, frame)
        book.verify_deferred()
        assert book.proof is Proof.CHECKSUM
    assert is_venues(book, venue)


# ---- verification that is put off --------------------------------------------------------------


def test_a_flood_is_verified_once_a_millisecond_and_before_it_is_shown() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")), at_ns=SECOND_NS)
    for size in range(2, 50):
        tell(book, *venue.change(("BUY", "0.51", str(size))), at_ns=SECOND_NS + size)
        assert (book.proof, book.proven) == (Proof.TOP, True)
    book.verify_deferred()
    assert is_venues(book, venue)
    tell(book, *venue.change(("BUY", "0.51", "51")), at_ns=SECOND_NS + VERIFY_EVERY_NS)
    assert is_venues(book, venue)


def test_a_clock_that_is_set_back_puts_nothing_off() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")), at_ns=3_600 * SECOND_NS)
    tell(book, *venue.change(("BUY", "0.51", "2")), at_ns=SECOND_NS)
    assert is_venues(book, venue)


def test_a_difference_that_was_put_off_is_found_before_it_is_shown() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")), at_ns=SECOND_NS)
    venue.change(("BUY", "0.40", "7"))
    tell(book, *venue.change(("BUY", "0.51", "2")), at_ns=SECOND_NS + 1)
    assert book.proven
    book.verify_deferred()
    assert (book.trouble, book.proven) == (None, False)
    assert book.unproven_since_ns == SECOND_NS + 1


def test_what_was_put_off_is_not_forgotten_when_it_is_never_shown() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")), at_ns=SECOND_NS)
    tell(book, *venue.change(("BUY", "0.51", "2")), at_ns=SECOND_NS + 1)
    assert not book.doubt_if_overdue(2 * SECOND_NS)
    assert is_venues(book, venue)
