"""How a doubt ends: snapshots, and the deltas that came meanwhile."""

from __future__ import annotations

import msgspec
import pytest

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import CHANGES_BUFFERED_MAX, SnapshotResult, TokenBook, Trouble
from protocol.book import Proof
from tests.support.market_channel_frames import UP
from tests.support.naive_book import FAR, INFO, TOP, Venue, followed, hash_of, is_venues, tell
from venue.wire.market_channel import BookEvent, PriceChange, WireLevel


def doubted(venue: Venue, trouble: Trouble = Trouble.FROZEN) -> TokenBook:
    book = followed(venue)
    book.distrust(trouble)
    return book


def wrong(event: BookEvent) -> BookEvent:
    """The same with another size far from the top, which its hash does not know of."""
    bids = event.bids or []
    return msgspec.structs.replace(event, bids=[WireLevel(bids[0].price, "77"), *bids[1:]])


def unhashed(event: BookEvent) -> BookEvent:
    return msgspec.structs.replace(event, hash=None)


# ---- replay ------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [0, 1, 2, 3])
@pytest.mark.parametrize("from_rest", [False, True])
def test_what_a_snapshot_lacks_is_replayed(back: int, from_rest: bool) -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    for size in ("1", "2", "3"):
        tell(book, *venue.change(("BUY", "0.51", size)))
        assert book.trouble is Trouble.FROZEN
    assert book.replace(venue.rest(back), from_rest=from_rest) is SnapshotResult.TAKEN
    assert is_venues(book, venue)
    assert not book._buffered
    tell(book, *venue.change(("BUY", "0.51", "4")))
    assert is_venues(book, venue)


def test_deltas_before_the_first_snapshot_are_replayed_onto_it() -> None:
    venue = Venue(*FAR, *TOP)
    book = TokenBook(UP, BookChecksum(INFO))
    opening = venue.rest()
    tell(book, *venue.change(("BUY", "0.51", "1")), *venue.change(("SELL", "0.54", "2")))
    assert book.trouble is Trouble.NO_SNAPSHOT
    assert book.replace(opening, from_rest=False) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


@pytest.mark.parametrize("back", [0, 1, 2])
def test_the_hash_places_a_snapshot_within_its_millisecond(back: int) -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")))
    # The same level three times: replaying one too many or too few is wrong.
    tell(book, *venue.change(("BUY", "0.51", "2"), later_ms=0))
    tell(book, *venue.change(("BUY", "0.51", "3"), later_ms=0))
    assert book.replace(venue.rest(back), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


def test_a_snapshot_from_before_all_deltas_of_its_millisecond_is_placed_too() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    tell(book, *venue.change(("BUY", "0.51", "2"), later_ms=0))
    assert book.replace(venue.rest(1), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


def test_a_snapshot_may_be_ahead_of_the_stream() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")))
    coming = venue.trade("0.52", ("BUY", "0.52", "3"), ("BUY", "0.51", "0"))
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)
    tell(book, *coming)
    book.verify_deferred()
    assert is_venues(book, venue)


def test_repeated_and_reordered_deltas_are_replayed_as_they_were_meant() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    first, second, third = (venue.change(("BUY", "0.51", size)) for size in ("1", "2", "3"))
    tell(book, *third, *first, *second, *first)
    assert book.replace(venue.rest(3), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


def test_a_duplicate_within_a_millisecond_is_not_replayed_twice() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    first = venue.change(("BUY", "0.51", "1"))
    second = venue.change(("BUY", "0.51", "2"), later_ms=0)
    tell(book, *first, *second, *first)
    assert book.replace(venue.rest(2), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


def test_a_snapshot_with_more_than_was_told_of_its_millisecond_stays_as_it_is() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")))
    venue.change(("BUY", "0.51", "2"), ("BUY", "0.4", "3"), later_ms=0)
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_replay_with_a_gap_does_not_verify(missing: int) -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    frames = [venue.change(("BUY", f"0.4{n}", "1")) for n in range(4)]
    for at, frame in enumerate(frames):
        if at != missing:
            tell(book, *frame)
    assert book.replace(venue.rest(4), from_rest=True) is SnapshotResult.REFUSED
    assert book.trouble is Trouble.FROZEN
    # What was kept is kept on: a newer snapshot has what is missing.
    assert book.replace(venue.rest(3 - missing), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


def test_without_hashes_what_is_newer_is_replayed_and_the_top_verifies() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    at_ms = venue.timestamp_ms
    book.change(PriceChange(UP, "0.52", "9", "BUY", "0.52", "0.53"), at_ms)
    book.change(PriceChange(UP, "0.51", "9", "BUY", "0.52", "0.53"), at_ms + 1)
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN
    assert (book.proof, book.timestamp_ms, book.hash) == (Proof.TOP, at_ms + 1, "")
    assert book.published().bids[:2] == ((5_200, 100_000_000), (5_100, 9_000_000))
    book.distrust(Trouble.FROZEN)
    book.change(PriceChange(UP, "0.51", "8", "BUY", "0.51", "0.53"), at_ms + 2)
    newer = msgspec.structs.replace(venue.rest(), timestamp=at_ms + 1, hash=None)
    assert book.replace(newer, from_rest=True) is SnapshotResult.REFUSED  # another top
    book.reset()
    book.change(PriceChange(UP, "0.51", "8", "BUY"), at_ms + 2)
    assert book.replace(newer, from_rest=True) is SnapshotResult.REFUSED  # none named


# ---- what is too old, or does not verify -------------------------------------------------------


def test_a_snapshot_older_than_a_usable_book_is_ignored() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")))
    for from_rest in (False, True):
        assert book.replace(venue.rest(1), from_rest=from_rest) is SnapshotResult.OLDER
        assert (
            book.replace(venue.rest(), from_rest=from_rest) is SnapshotResult.OLDER
        )  # the very same
    assert is_venues(book, venue)


def test_a_snapshot_older_than_what_raised_the_doubt_is_refused() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")))
    book.distrust(Trouble.FROZEN)
    assert book.replace(venue.rest(1), from_rest=True) is SnapshotResult.REFUSED
    assert book.trouble is Trouble.FROZEN
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


def test_a_change_that_could_not_be_read_is_older_than_the_snapshot() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    venue.change(("BUY", "0.51", "1"))
    book.distrust(Trouble.BAD_FRAME, venue.timestamp_ms)
    assert book.replace(venue.rest(1), from_rest=True) is SnapshotResult.REFUSED
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN


def test_a_bad_frame_leaves_a_gap_in_what_is_kept() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    tell(book, *venue.change(("BUY", "0.51", "1")))
    book.distrust(Trouble.BAD_FRAME)
    assert book.replace(venue.rest(1), from_rest=True) is SnapshotResult.REFUSED
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN


def test_more_deltas_than_are_kept_are_forgotten_and_demand_a_newer_snapshot() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    at_ms = venue.timestamp_ms
    for n in range(1, CHANGES_BUFFERED_MAX + 1):
        book.change(PriceChange(UP, "0.51", str(n), "BUY"), at_ms + n)
    assert book.trouble is Trouble.FROZEN
    venue.timestamp_ms += CHANGES_BUFFERED_MAX - 2
    venue.change(("BUY", "0.51", "1"))
    tell(book, *venue.change(("BUY", "0.51", "2")))
    tell(book, *venue.change(("BUY", "0.51", "3")))
    assert book.trouble is Trouble.OVERFLOW
    assert len(book._buffered) == 2
    assert book.replace(venue.rest(2), from_rest=True) is SnapshotResult.REFUSED
    assert book.replace(venue.rest(1), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)


def test_a_new_connection_owes_nothing_to_the_one_before() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    opening = venue.rest()
    tell(book, *venue.change(("BUY", "0.51", "1")))
    book.distrust(Trouble.FROZEN)
    tell(book, *venue.change(("BUY", "0.51", "2")))
    book.reset()
    assert book.replace(opening, from_rest=False) is SnapshotResult.TAKEN
    assert (book.proof, book.hash) == (Proof.CHECKSUM, opening.hash)


def test_a_snapshot_that_is_not_what_it_says_ends_no_doubt() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    for from_rest in (False, True):
        assert book.replace(wrong(venue.rest()), from_rest=from_rest) is SnapshotResult.REFUSED
    assert book.trouble is Trouble.FROZEN
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN


def test_one_of_the_channel_that_does_not_verify_is_unproven_and_built_on() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    tell(book, *venue.change(("BUY", "0.40", "2")))
    venue.change(("BUY", "0.51", "2"))
    assert book.replace(wrong(venue.book()), from_rest=False) is SnapshotResult.TAKEN
    assert (book.trouble, book.proven) == (None, False)
    tell(book, *venue.change(("BUY", "0.01", "5")))
    assert is_venues(book, venue)


def test_what_a_wrong_book_says_of_the_market_is_not_learnt() -> None:
    venue = Venue(*FAR, *TOP)
    checksum = BookChecksum(INFO)
    lines = TokenBook(UP, checksum), TokenBook(UP, checksum)
    for book in lines:
        book.replace(venue.rest(), from_rest=False)
    for tick_size in ("0.001", "0.005"):
        other = msgspec.structs.replace(
            venue.rest(), tick_size=tick_size, min_order_size="1", hash="0" * 40
        )
        lines[0].replace(other, from_rest=False)
    tell(lines[1], *venue.change(("BUY", "0.51", "2")))
    assert is_venues(lines[1], venue)


def test_one_of_rest_that_does_not_verify_leaves_a_usable_book_alone() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    venue.change(("BUY", "0.51", "2"))
    before = book.published()
    assert book.replace(wrong(venue.rest()), from_rest=True) is SnapshotResult.REFUSED
    assert (book.published(), book.proof) == (before, Proof.CHECKSUM)


def test_an_opening_book_that_never_verifies_is_a_trouble_in_the_end() -> None:
    venue = Venue(*FAR, *TOP)
    book = TokenBook(UP, BookChecksum(INFO))
    assert book.replace(wrong(venue.rest()), from_rest=False) is SnapshotResult.TAKEN
    assert (book.trouble, book.proven) == (None, False)
    assert not book.doubt_if_overdue(5)
    assert book.doubt_if_overdue(5 + 10**9)
    assert book.trouble is Trouble.CHECKSUM


def test_a_snapshot_in_any_order_with_empty_levels_is_hashed_as_it_came() -> None:
    venue = Venue(*FAR, *TOP)
    book = doubted(venue)
    event = venue.rest()
    shuffled = msgspec.structs.replace(
        event, bids=[*reversed(event.bids or []), WireLevel("0.3", "0")]
    )
    assert book.replace(shuffled, from_rest=True) is SnapshotResult.REFUSED  # not what was hashed
    hashed = msgspec.structs.replace(shuffled, hash=hash_of(shuffled))
    assert book.replace(hashed, from_rest=True) is SnapshotResult.TAKEN
    assert book.published().bids == venue.levels[0]
    tell(book, *venue.change(("BUY", "0.51", "1")))
    assert is_venues(book, venue)


def test_a_hash_that_is_too_long_to_be_one_is_not_kept() -> None:
    book = doubted(Venue(*FAR, *TOP))
    with pytest.raises(ValueError, match="hash"):
        book.change(PriceChange(UP, "0.5", "1", "BUY", hash="0" * 65), 1)
    assert not book._buffered


# ---- a formula that is not known ---------------------------------------------------------------


def strange(venue: Venue) -> BookEvent:
    """Hashed with something that nobody tells."""
    event = venue.rest()
    hidden = msgspec.structs.replace(event, min_order_size="123")
    return msgspec.structs.replace(event, hash=hash_of(hidden))


def test_when_rest_does_not_match_either_the_formula_is_unknown() -> None:
    venue = Venue(*FAR, *TOP)
    checksum = BookChecksum(INFO)
    book = TokenBook(UP, checksum)
    book.replace(strange(venue), from_rest=False)
    assert not book.proven
    assert book.doubt_if_overdue(1) is False
    assert book.doubt_if_overdue(1 + 10**9)
    assert book.replace(strange(venue), from_rest=True) is SnapshotResult.TAKEN
    assert checksum.unknown
    assert book.proof is Proof.TOP
    # Deltas and snapshots are taken as far as the top goes.
    frames = venue.change(("BUY", "0.51", "1"))
    tell(book, *((at, msgspec.structs.replace(each, hash="0" * 40)) for at, each in frames))
    assert book.proof is Proof.TOP
    assert book.replace(strange(venue), from_rest=False) is SnapshotResult.TAKEN
    assert book.proof is Proof.TOP
    # Until something matches: from then on a mismatch is one.
    venue.change(("BUY", "0.51", "2"))
    assert book.replace(venue.rest(), from_rest=False) is SnapshotResult.TAKEN
    assert (checksum.unknown, checksum.confirmed, book.proof) == (False, True, Proof.CHECKSUM)
    venue.change(("BUY", "0.51", "3"))
    book.distrust(Trouble.FROZEN)
    assert book.replace(strange(venue), from_rest=True) is SnapshotResult.REFUSED


def test_what_cannot_be_checked_is_in_the_snapshot_of_its_millisecond() -> None:
    venue = Venue(*FAR, *TOP)
    checksum = BookChecksum(INFO)
    checksum.unknown = True
    book = TokenBook(UP, checksum)
    tell(book, *venue.change(("BUY", "0.51", "1")))
    venue.change(("BUY", "0.51", "2"), later_ms=0)
    assert book.replace(strange(venue), from_rest=False) is SnapshotResult.TAKEN
    assert book.proof is Proof.TOP
    assert book.published().bids == venue.levels[0]


def test_what_was_put_off_needs_no_formula_that_turned_out_unknown() -> None:
    venue = Venue(*FAR, *TOP)
    checksum = BookChecksum(INFO)
    book = TokenBook(UP, checksum)
    book.replace(unhashed(venue.rest()), from_rest=False)
    book._verified_at_ns = 1
    tell(book, *venue.change(("BUY", "0.51", "1")), at_ns=2)
    checksum.unknown = True
    book.verify_deferred()
    assert book.proof is Proof.TOP


# ---- the tick size -----------------------------------------------------------------------------


def test_a_book_of_the_old_tick_size_ends_no_doubt() -> None:
    venue = Venue(*FAR, *TOP)
    checksum = BookChecksum(INFO)
    book = TokenBook(UP, checksum)
    book.replace(venue.rest(), from_rest=False)
    venue.change_tick_size("0.001")
    checksum.tick_size("0.001", venue.timestamp_ms)
    assert book.replace(venue.rest(1), from_rest=False) is SnapshotResult.OLDER
    book.distrust(Trouble.TICK_SIZE_CHANGE)
    assert book.replace(venue.rest(1), from_rest=True) is SnapshotResult.REFUSED
    assert book.trouble is Trouble.TICK_SIZE_CHANGE
    assert book.replace(venue.book(), from_rest=False) is SnapshotResult.TAKEN
    assert is_venues(book, venue)
    tell(book, *venue.change(("BUY", "0.521", "1")))
    assert is_venues(book, venue)


def test_a_hash_with_a_tick_size_that_is_not_announced_yet_is_unproven() -> None:
    venue = Venue(*FAR, *TOP)
    book = followed(venue)
    venue.change_tick_size("0.001")
    tell(book, *venue.change(("BUY", "0.51", "1")))
    assert (book.trouble, book.proven) == (None, False)
    # A book that says so settles it.
    assert book.replace(venue.rest(), from_rest=True) is SnapshotResult.TAKEN
    assert is_venues(book, venue)
