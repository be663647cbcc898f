from __future__ import annotations

import re
from random import Random

import msgspec
import pytest

from feeder.core.book.token_book import Trouble
from feeder.core.market.market_session import DARK_AFTER_MS, FUTURE_MAX_MS, LINES
from protocol.book import Proof
from protocol.snapshot import decode_snapshot, encode_snapshot
from tests.fuzz.venue import Market
from tests.support.session_bench import ANY_MARKET, CENTS, Bench
from venue.wire.market_channel import FrameFault


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.open()
    return bench


def match(bench: Bench) -> list[bytes]:
    """Two levels are eaten: two frames of one version, and the book is neither in between."""
    market = bench.market
    first, _ = market.tokens
    changes = [("SELL", price, 0) for price in sorted(first.asks)[:2]]
    for change in changes:
        market.put(*change)
    market.commit(bench.now_ms)
    return [market.price_change(market.entries(*each), bench.now_ms) for each in changes]


# What is shown.


def test_a_market_is_ready_once_one_line_has_both_tokens_books(bench: Bench) -> None:
    bench = Bench()
    for line, token in enumerate(bench.market.tokens):
        bench.table.connected(line, bench.tokens, bench.now_ms)
        assert not bench.send(line, bench.market.opening_book(token).encode()).offer
    assert not bench.session.ready
    assert bench.show() is None
    assert bench.send(0, bench.opening()).offer
    assert bench.session.ready


def test_a_snapshot_carries_both_books_their_proof_and_its_place_in_order(bench: Bench) -> None:
    bench.now_ms += 40
    bench.send(0, bench.change())
    snapshot = bench.show()
    assert snapshot is not None
    assert snapshot.proof is Proof.CHECKSUM
    assert snapshot.market == bench.session.info
    assert snapshot.venue_timestamp_ms == bench.now_ms
    assert snapshot.received_at_ns == bench.now_ms * 1_000_000 == bench.session.received_at_ns
    assert (snapshot.epoch, snapshot.sequence) == (7, 1)
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    again = bench.show()
    assert again is not None
    assert again.sequence == 2


def test_a_version_is_offered_by_the_line_that_has_it_first_and_once(bench: Bench) -> None:
    for leader in (0, 1, 1, 0):
        bench.now_ms += 10
        frame = bench.change(leader + bench.now_ms % 97)
        assert bench.send(leader, frame).offer
        assert bench.is_up_to_date()
        applied = bench.send(1 - leader, frame)
        assert (applied.updates, applied.offer) == (2, False)
        assert not bench.send(leader, frame).updates  # the venue says it twice
        assert bench.is_up_to_date()


def test_nothing_is_shown_between_the_frames_of_one_version(bench: Bench) -> None:
    for _ in range(3):
        bench.show()
        bench.now_ms += 10
        first, last = match(bench)
        applied = bench.send(0, first)
        assert (applied.offer, applied.troubles) == (False, ())
        snapshot = bench.show()  # the other line's, which has not heard of it
        assert snapshot is not None
        assert snapshot.venue_timestamp_ms < bench.now_ms
        assert not bench.send(1, first).offer
        assert bench.show() is None
        assert bench.send(1, last).offer
        assert bench.is_up_to_date()
        assert not bench.send(0, last).offer
        bench.now_ms += 1
        frame = bench.change(9, side="SELL")
        bench.send(0, frame)
        bench.send(1, frame)


def test_of_one_millisecond_the_later_version_is_shown_whichever_line_has_it(bench: Bench) -> None:
    bench.now_ms += 10
    early, late = bench.change(1), bench.change(2)
    assert bench.send(0, early).offer
    assert bench.send(0, late).offer
    bench.send(1, early)
    assert bench.is_up_to_date()
    assert bench.table.lost(0, bench.tokens, bench.now_ms) == []
    assert bench.show() is None  # the other line is at `early`: that would be a step back
    bench.send(1, late)
    assert bench.is_up_to_date()


def test_a_line_that_misses_the_last_version_of_a_millisecond_is_frozen(bench: Bench) -> None:
    bench.now_ms += 10
    early, late = bench.change(1), bench.change(2)
    bench.send(0, early, late)
    bench.send(1, early)
    assert bench.pass_ms(999).replace == []
    due = bench.pass_ms(1)
    assert due.replace == [(1, bench.tokens)] * 2
    assert due.troubles == (Trouble.FROZEN,) * 2
    assert bench.is_up_to_date()


def test_a_line_that_is_behind_with_one_token_is_not_shown_for_the_other(bench: Bench) -> None:
    bench.now_ms += 10
    _, second = bench.market.tokens
    both = bench.change(1)
    only_first = re.sub(rb', {"asset_id":"' + second.token_id.encode() + rb'".*?}', b"", both)
    bench.send(1, only_first)
    snapshot = bench.show()
    assert snapshot is not None
    assert [book.timestamp_ms for book in snapshot.books] == [bench.now_ms, bench.now_ms - 10]
    assert bench.send(0, both).offer
    assert bench.is_up_to_date()
    bench.table.lost(0, bench.tokens, bench.now_ms)
    assert bench.show() is None


def test_a_first_book_that_is_ahead_of_the_other_line_is_not_followed_by_a_step_back(
    bench: Bench,
) -> None:
    bench.table.lost(0, bench.tokens, bench.now_ms)
    bench.now_ms += 10
    early, late = bench.change(1), bench.change(2)
    bench.table.connected(0, bench.tokens, bench.now_ms)
    assert bench.send(0, bench.opening()).offer  # of the same millisecond as both changes
    assert bench.is_up_to_date()
    assert not bench.send(1, early).offer
    assert bench.is_up_to_date()
    bench.send(1, late)
    bench.table.lost(0, bench.tokens, bench.now_ms)
    assert bench.is_up_to_date()
    assert bench.send(1, bench.change(3)).offer


def test_an_unproven_change_from_the_future_silences_nobody(bench: Bench) -> None:
    bench.now_ms += 10
    both = bench.change(1)
    bench.send(0, both)
    bench.send(1, both)
    stamp = str(bench.now_ms).encode()
    later = str(bench.now_ms + 4_000).encode()
    lie = bench.change(2).replace(b'"timestamp":"' + stamp, b'"timestamp":"' + later)
    assert bench.send(0, lie).offer  # its hash is not looked at within a millisecond
    snapshot = bench.show()
    assert snapshot is not None
    assert snapshot.venue_timestamp_ms == bench.now_ms
    for size in (3, 4):
        bench.now_ms += 10
        bench.market.commit(bench.now_ms)
        assert bench.send(1, bench.change(2), bench.change(size)).offer
        assert bench.is_up_to_date()


def test_while_one_line_is_unproven_the_other_is_shown(bench: Bench) -> None:
    bench.now_ms += 10
    missed, frame = bench.change(1), bench.change(2, side="SELL")
    bench.send(1, missed)
    bench.now_ms += 1
    applied = bench.send(0, frame)
    assert (applied.offer, applied.troubles) == (False, ())
    assert bench.send(1, frame).offer
    assert bench.is_up_to_date()
    bench.pass_ms(900)
    due = bench.pass_ms(101)
    assert due.troubles == (Trouble.CHECKSUM,) * 2
    assert bench.is_up_to_date()
    for request in due.requests:
        assert bench.answer(request).taken == 1
    assert all(view.proven for view in bench.session.views)


def test_books_without_hashes_are_shown_by_their_top_and_no_change_is_taken_for_known() -> None:
    bench = Bench()
    for line in (0, 1):
        bench.table.connected(line, bench.tokens, bench.now_ms)
        bench.send(line, re.sub(rb'"hash":"\w+",', b"", bench.opening()))
    for size in (1, 2):  # in one millisecond
        frame = re.sub(rb'"hash":"\w+", ', b"", bench.change(size))
        assert bench.send(0, frame).offer
        snapshot = bench.table.snapshot(bench.session, 1, epoch=1)
        assert snapshot is not None
        assert snapshot.proof is Proof.TOP
        assert (size * 1_000_000) in [level[1] for level in snapshot.books[0].bids]


def test_a_market_of_unknown_inputs_is_shown_by_its_top_after_a_look() -> None:
    bench = Bench(Market(CENTS, Random(1), hidden_inputs=True))
    bench.open()
    assert bench.show() is None
    bench.pass_ms(500)
    requests = list(bench.pass_ms(501).requests)
    for _ in range(10):
        requests += bench.pass_ms(100).requests
    assert {request.token_id for request in requests} == bench.tokens
    for request in requests:
        bench.answer(request)
    snapshot = bench.show()
    assert snapshot is not None
    assert snapshot.proof is Proof.TOP
    bench.now_ms += 10
    assert bench.send(0, bench.change()).offer


def test_placeholders_are_never_shown_and_no_reason_for_looks_or_darkness() -> None:
    market = Market(CENTS, Random(1), hidden_inputs=False)
    first, _ = market.tokens
    for side, levels in (("BUY", first.bids), ("SELL", first.asks)):
        for price in tuple(levels):
            market.put(side, price, 0)
    market.put("BUY", 100, 5_000_000)
    market.put("SELL", 9_900, 5_000_000)
    market.commit(1_757_908_860_000)
    bench = Bench(market)
    bench.open()
    assert not bench.session.ready
    assert bench.show() is None
    for _ in range(100):
        due = bench.pass_ms(100)
        assert not due.dark
        for request in due.requests:
            assert not request.urgent
            bench.answer(request)
    assert bench.send(0, bench.change(5, price_e4=4_000)).offer


# Time of the venue.


def test_a_timestamp_far_in_the_future_rejects_the_frame_and_doubts_its_line(bench: Bench) -> None:
    bench.now_ms += FUTURE_MAX_MS + 2
    frame = bench.change()
    bench.now_ms -= FUTURE_MAX_MS + 1
    applied = bench.send(0, frame)
    (bad,) = applied.malformed
    assert bad.fault is FrameFault.INVALID_NUMBER
    assert "is in the future" in bad.reason
    assert applied.troubles == (Trouble.BAD_FRAME,) * 2
    assert bench.session.views[1].usable
    assert bench.session.ready


def test_a_look_from_the_future_is_not_believed(bench: Bench) -> None:
    bench.table.lost(1, bench.tokens, bench.now_ms)
    (request,) = bench.pass_ms(2_000).requests
    now_ms, bench.now_ms = bench.now_ms, bench.now_ms + FUTURE_MAX_MS + 1
    bench.change()
    bench.now_ms = now_ms
    with pytest.raises(ValueError, match="is in the future"):
        bench.answer(request)


def test_a_venue_clock_that_goes_back_shows_nothing_old_and_nothing_for_ever(bench: Bench) -> None:
    start_ms = bench.now_ms
    bench.now_ms += 4_000
    frame = bench.change(1)
    bench.send(0, frame)
    bench.send(1, frame)
    bench.show()
    bench.now_ms = start_ms + 2_000
    frame = bench.change(2, side="SELL")
    for line in (0, 1):
        applied = bench.send(line, frame)
        assert (applied.updates, applied.ignored, applied.troubles) == (0, 2, ())
    bench.now_ms = start_ms + 4_001
    bench.send(0, bench.change(3))  # a change is missing: unproven, then in doubt
    assert not bench.is_up_to_date()
    bench.pass_ms(200)
    requests = list(bench.pass_ms(900).requests)
    for _ in range(20):
        for request in requests:
            bench.answer(request)
        requests = list(bench.pass_ms(50).requests)
    assert bench.is_up_to_date()


# Darkness.


def test_a_market_that_cannot_be_had_is_dark_and_back_at_once_when_it_can(bench: Bench) -> None:
    bench.show()
    for line in (0, 1):
        assert bench.table.lost(line, bench.tokens, bench.now_ms) == []
    assert bench.show() is None
    assert not bench.pass_ms(DARK_AFTER_MS - 1).dark
    due = bench.pass_ms(1)
    assert due.dark == [bench.session]
    assert not bench.pass_ms(1).dark  # once
    snapshot = bench.show()
    assert snapshot is not None
    assert snapshot.proof is Proof.NONE
    assert all(not book.bids and not book.asks for book in snapshot.books)
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    bench.table.connected(1, bench.tokens, bench.now_ms)
    applied = bench.send(1, bench.opening())  # the very version that was shown before
    assert applied.offer
    assert not bench.session.dark
    assert bench.is_up_to_date()


def test_a_lost_line_takes_its_books_and_the_other_goes_on(bench: Bench) -> None:
    bench.now_ms += 10
    frame = bench.change()
    bench.send(0, frame)
    assert bench.is_up_to_date()
    bench.send(1, frame)
    assert bench.table.lost(0, bench.tokens, bench.now_ms) == []  # nothing new
    assert bench.is_up_to_date()
    bench.now_ms += 10
    frame = bench.change(8)
    assert bench.send(0, frame).updates == 0
    assert bench.send(1, frame).offer


def test_what_a_lost_line_had_offered_is_taken_over(bench: Bench) -> None:
    bench.show()
    bench.now_ms += 10
    frame = bench.change()
    bench.send(0, frame)
    bench.send(1, frame)  # both before anybody built a snapshot
    assert bench.table.lost(0, bench.tokens, bench.now_ms) == [bench.session]
    assert bench.is_up_to_date()


# The price grid.


def retick(bench: Bench, old_e4: int) -> list[bytes]:
    bench.market.tick_e4 = 10
    bench.market.commit(bench.now_ms)
    return [
        bench.market.tick_size_change(token, old_e4, bench.now_ms) for token in bench.market.tokens
    ]


@pytest.mark.parametrize("first_line", [0, 1])
def test_the_first_news_of_a_new_grid_stops_both_lines_and_later_ones_nothing_new(
    bench: Bench, first_line: int
) -> None:
    bench.now_ms += 10
    news = retick(bench, 100)
    applied = bench.send(first_line, news[0])
    assert applied.troubles == (Trouble.TICK_SIZE_CHANGE,) * 4
    assert bench.session.info.tick_size_e4 == 10
    assert bench.show() is None
    books = [bench.market.later_book(token) for token in bench.market.tokens]
    assert bench.send(first_line, news[1], *books).offer
    snapshot = bench.show()
    assert snapshot is not None
    assert snapshot.market.tick_size_e4 == 10
    bench.now_ms += 30
    frame = bench.change()
    bench.send(first_line, frame)
    assert bench.send(1 - first_line, *news).troubles == ()
    assert bench.is_up_to_date()
    bench.send(1 - first_line, *books, frame)
    assert all(view.proven for view in bench.session.views)


def test_books_that_do_not_follow_a_new_grid_are_looked_up(bench: Bench) -> None:
    bench.now_ms += 10
    bench.send(0, retick(bench, 100)[0])
    assert not bench.pass_ms(249).requests
    requests = bench.pass_ms(1).requests
    assert {request.token_id for request in requests} == bench.tokens
    assert all(request.urgent for request in requests)
    assert [bench.answer(request).taken for request in requests] == [2, 2]
    assert bench.is_up_to_date()


# Numbers that are none.


def test_invalid_numbers_reject_their_entries_and_doubt_only_their_line(bench: Bench) -> None:
    frame = bench.change().replace(b'"size":"7"', b'"size":"NaN"')
    applied = bench.send(0, frame)
    first, second = applied.malformed
    assert re.search(r"price_change: price_changes\[0\]: not a size: 'NaN'", first.reason)
    assert re.search(r"price_change: price_changes\[1\]: not a size: 'NaN'", second.reason)
    assert first.market == bench.market.condition_id
    assert applied.updates == 0
    assert applied.troubles == (Trouble.BAD_FRAME,) * 2
    assert not bench.session.views[0].usable
    assert bench.session.views[1].usable


def test_facts_that_change_travel_with_the_next_snapshot(bench: Bench) -> None:
    bench.table.follow(msgspec.structs.replace(bench.session.info, accepting=False), bench.now_ms)
    snapshot = bench.show()
    assert snapshot is not None
    assert not snapshot.market.accepting


def test_what_was_put_off_is_due(bench: Bench) -> None:
    bench.open()
    bench.pass_ms(50)
    assert bench.session.nothing_due(bench.now_ms)
    frames = [bench.change(), bench.change(8)]  # the second one is not hashed at once
    for line in range(LINES):
        bench.send(line, *frames)
    assert not bench.session.nothing_due(bench.now_ms)
    bench.pass_ms(1)
    assert bench.session.nothing_due(bench.now_ms)


def test_what_was_offered_and_could_not_be_shown_is_offered_when_it_is_proven_again(
    bench: Bench,
) -> None:
    assert bench.show() is not None
    bench.now_ms += 10
    assert bench.send(0, bench.change()).offer
    for line in (0, 1):
        bench.table.distrust(line, ANY_MARKET, bench.now_ms)
    assert not bench.session.ready
    bench.session.show_nothing()
    offered = False
    for _ in range(20):
        due = bench.pass_ms(50)
        answers = [bench.answer(each) for each in due.requests]
        offered |= bool(due.offers) or any(each.offer for each in answers)
    assert offered
    assert bench.is_up_to_date()
