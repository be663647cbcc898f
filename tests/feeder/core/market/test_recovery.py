"""What must neither be lost nor believed while books are mended: found by hostile review."""

from __future__ import annotations

import re
from random import Random

import pytest

from feeder.core.book.token_book import Trouble
from tests.fuzz.venue import Market
from tests.support.session_bench import ANY_MARKET, CENTS, Bench
from venue.wire.market_channel import Malformed, decode_frame


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.open()
    return bench


# What no frame tells is offered as well.


def test_what_two_halves_make_whole_is_offered(bench: Bench) -> None:
    bench.show()
    bench.now_ms += 10
    for view in bench.session.views:  # each line has lost another token
        view.pair[1 - view.line].distrust(Trouble.CHECKSUM)
        view.note(bench.now_ms)
    frame = bench.change()
    assert not any(bench.send(line, frame).offer for line in (0, 1))
    due = bench.pass_ms(50)
    assert (due.adopted, due.offers) == (2, [bench.session])
    assert bench.is_up_to_date()
    assert bench.pass_ms(50).offers == []


def test_what_a_late_trade_price_proves_is_offered() -> None:
    market = Market(CENTS, Random(1), hidden_inputs=False)
    bench = Bench(market)
    bench.open()
    bench.show()
    bench.now_ms += 10
    market.last_trade = "0.1234"  # on no grid that is searched
    frame = bench.change()
    assert not any(bench.send(line, frame).offer for line in (0, 1))
    assert bench.pass_ms(50).offers == []
    bench.send(0, market.last_trade_price(market.tokens[0], 1_234, bench.now_ms))
    assert bench.pass_ms(50).offers == [bench.session]
    assert bench.is_up_to_date()


# A line may be later than the book that it was given.


def test_a_line_that_took_over_a_newer_book_does_not_step_back(bench: Bench) -> None:
    bench.now_ms += 10
    early, late = bench.change(1), bench.change(2)  # of one level, within a millisecond
    bench.send(0, early, late)
    assert bench.is_up_to_date()
    bench.table.distrust(1, ANY_MARKET, bench.now_ms)
    assert bench.pass_ms(2).adopted == 2
    assert not bench.send(1, early).offer
    assert bench.is_up_to_date()
    bench.send(1, late)
    assert bench.send(1, bench.change(3)).offer
    assert bench.is_up_to_date()


# What nothing proves is not learnt.


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_tick_size_that_nothing_proves_is_not_believed(order: tuple[int, int]) -> None:
    bench = Bench()
    opening = bench.opening()
    lie = opening.replace(b'"tick_size":"0.01"', b'"tick_size":"0.001"')
    for line in order:
        bench.table.connected(line, bench.tokens, bench.now_ms)
        bench.send(line, lie if line else opening)
    for _ in range(40):
        for request in bench.pass_ms(50).requests:
            bench.answer(request)
    assert bench.session.info.tick_size_e4 == 100
    assert all(view.proven for view in bench.session.views)


@pytest.mark.parametrize("price", ["0.43333", "much"])
def test_what_is_no_trade_price_is_rejected_and_costs_no_book(bench: Bench, price: str) -> None:
    trade = bench.market.last_trade_price(bench.market.tokens[0], 5_000, bench.now_ms)
    applied = bench.send(0, trade.replace(b'"price":"0.5"', f'"price":"{price}"'.encode()))
    assert len(applied.malformed) == 1
    assert applied.troubles == ()
    assert bench.session.views[0].proven


# One token goes on and the other is silent, on both lines.


def test_a_token_that_falls_silent_alone_is_found_frozen_in_time(bench: Bench) -> None:
    _, second = bench.market.tokens
    replaced: set[int] = set()
    silent_since_ms = bench.now_ms
    while bench.now_ms < silent_since_ms + 3_000:
        both = bench.change(bench.now_ms % 89 + 1)
        first_only = re.sub(rb', {"asset_id":"' + second.token_id.encode() + rb'".*?}', b"", both)
        for line in (0, 1):
            bench.send(line, first_only)
        due = bench.pass_ms(50)
        for request in due.requests:
            bench.answer(request)
        replaced |= {line for line, _ in due.replace}
    assert replaced == {0, 1}


def test_a_token_that_really_has_not_changed_costs_few_looks(bench: Bench) -> None:
    requests = 0
    _, second = bench.market.tokens
    frozen = second.version, second.bids.copy(), second.asks.copy()
    for _ in range(60_000 // 50):
        both = bench.change(bench.now_ms % 89 + 1)
        second.version, second.bids, second.asks = frozen[0], frozen[1].copy(), frozen[2].copy()
        first_only = re.sub(rb', {"asset_id":"' + second.token_id.encode() + rb'".*?}', b"", both)
        for line in (0, 1):
            bench.send(line, first_only)
        due = bench.pass_ms(50)
        assert due.replace == []
        for request in due.requests:
            requests += 1
            assert bench.answer(request).behind == 0
    assert 1 <= requests <= 8


# Our clock is set back.


def test_a_clock_that_is_set_back_holds_no_recovery_up(bench: Bench) -> None:
    bench.now_ms += 60_000
    for request in bench.pass_ms(0).requests:
        bench.answer(request)
    for line in (0, 1):
        bench.table.distrust(line, ANY_MARKET, bench.now_ms)
    bench.now_ms -= 60_000
    for _ in range(20):
        for request in bench.pass_ms(50).requests:
            bench.answer(request)
    assert bench.is_up_to_date()


def test_after_a_clock_was_set_back_a_freeze_is_seen_and_nothing_old_is_called_fresh(
    bench: Bench,
) -> None:
    bench.show()
    bench.now_ms += 60_000
    for request in bench.pass_ms(0).requests:
        bench.answer(request)
    one = bench.session.views[0]
    one.received_at_ns = bench.now_ms * 1_000_000  # as if a frame had come now
    bench.now_ms -= 59_000
    bench.pass_ms(0)
    assert one.received_at_ns == 0
    replaced: set[int] = set()
    for _ in range(3_000 // 50):
        bench.change(bench.now_ms % 89 + 1)  # nobody hears of it
        due = bench.pass_ms(50)
        for request in due.requests:
            bench.answer(request)
        replaced |= {line for line, _ in due.replace}
    assert replaced == {0, 1}


# The venue says things twice, within a millisecond of its own and later of ours.


@pytest.mark.parametrize("again", ["book", "change"])
def test_what_comes_again_after_its_millisecond_went_on_is_no_step_back(
    bench: Bench, again: str
) -> None:
    bench.now_ms += 10
    early = bench.change(1), bench.change(2)
    books = [bench.market.later_book(token) for token in bench.market.tokens]
    late = bench.change(3)
    bench.send(0, *early, *books)  # too fast for the changes to be verified before the books
    bench.now_ms += 3
    bench.send(0, late)
    assert bench.is_up_to_date()
    bench.now_ms += 3
    assert not bench.send(0, *(books if again == "book" else early)).offer
    assert bench.is_up_to_date()


# What is remembered is bounded.


def test_a_hash_of_a_megabyte_is_rejected_and_not_remembered(bench: Bench) -> None:
    frame = re.sub(rb'"hash":"\w+"', b'"hash":"' + b"a" * (1 << 20) + b'"', bench.change())
    for event in decode_frame(frame):
        assert isinstance(event, Malformed)
        assert "length <= 128" in event.reason
        assert event.market == bench.market.condition_id


def test_what_a_line_brings_in_the_wrong_order_is_no_step_back(bench: Bench) -> None:
    bench.now_ms += 10
    early, late = bench.change(1), bench.change(2)  # of one level, within a millisecond
    bench.send(0, early, late)
    bench.send(1, late)
    bench.now_ms += 3
    assert not bench.send(1, early).offer
    assert bench.is_up_to_date()
    assert {line for line, _ in bench.pass_ms(1_000).replace} == {1}
    assert bench.is_up_to_date()
