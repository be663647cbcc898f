"""A market of which neither lines nor book requests tell anything: nobody knows how it stands."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from feeder.core.market.book_request_schedule import UNSEEN_AFTER_MS, UNSEEN_AGAIN_MS
from feeder.core.market.session_table import BookRequest, Due
from tests.fuzz.venue import Market
from tests.support.session_bench import CENTS, Bench

STEP_MS = 50


def live(
    bench: Bench, ms: int, ended: Callable[[BookRequest], None], changing: tuple[int, ...] = ()
) -> list[Due]:
    """Let time pass; each request ends as said, and changes arrive on these lines."""
    dues = []
    for passed_ms in range(0, ms, STEP_MS):
        dues.append(bench.pass_ms(STEP_MS))
        for request in dues[-1].requests:
            ended(request)
        if changing and passed_ms % 1_000 == 0:
            frame = bench.change(1 + bench.now_ms % 1_000)
            for line in changing:
                bench.send(line, frame)
    return dues


@pytest.fixture
def bench() -> Bench:
    opened = Bench()
    opened.open()
    assert opened.show() is not None
    return opened


def fails(bench: Bench) -> Callable[[BookRequest], None]:
    return lambda request: bench.table.request_failed(request, bench.now_ms)


def test_silent_lines_and_requests_that_fail_are_found_in_seconds_and_one_event_ends_it(
    bench: Bench,
) -> None:
    live(bench, 5_000, fails(bench))
    assert bench.session.unseen(bench.now_ms)
    assert not bench.session.dark  # its books were proven, and nothing has contradicted them
    bench.send(1, bench.change())
    assert not bench.session.unseen(bench.now_ms)
    live(bench, 1_000, fails(bench))
    assert not bench.session.unseen(bench.now_ms)


def test_one_failed_request_of_a_quiet_market_is_no_verdict(bench: Bench) -> None:
    failed = []

    def first_fails(request: BookRequest) -> None:
        if failed:
            bench.answer(request)
        else:
            failed.append(request)
            bench.table.request_failed(request, bench.now_ms)

    for _ in range(30):
        live(bench, 1_000, first_fails)
        assert not bench.session.unseen(bench.now_ms)
    for _ in range(60):
        failed.clear()  # one, now and then
        live(bench, 10_000, first_fails)
        assert not bench.session.unseen(bench.now_ms)


def test_a_market_that_moves_on_one_line_needs_no_request(bench: Bench) -> None:
    live(bench, 20_000, fails(bench), changing=(0,))
    assert not bench.session.unseen(bench.now_ms)


def test_a_market_that_moves_rarely_is_not_called_unseen_in_each_of_its_pauses(
    bench: Bench,
) -> None:
    """Neither feeder would be fit by turns, and the lease would go to and fro."""
    for _ in range(20):
        live(bench, 10_000, lambda request: void(bench.answer(request)))
        frame = bench.change(1 + bench.now_ms % 1_000)
        bench.send(0, frame)
        bench.send(1, frame)
    for _ in range(10):
        for _ in range(20):
            live(bench, 500, fails(bench))
            assert not bench.session.unseen(bench.now_ms)
        frame = bench.change(1 + bench.now_ms % 1_000)
        bench.send(0, frame)
        bench.send(1, frame)
    live(bench, 61_000, fails(bench))
    assert bench.session.unseen(bench.now_ms)


def test_one_token_that_can_be_asked_for_is_enough(bench: Bench) -> None:
    first, _ = sorted(bench.tokens)

    def ended(request: BookRequest) -> None:
        if request.token_id == first:
            bench.table.request_failed(request, bench.now_ms)
        else:
            bench.answer(request)

    for _ in range(60):
        live(bench, 1_000, ended)
        assert not bench.session.unseen(bench.now_ms)


def test_an_older_book_for_ever_is_no_sign_of_life(bench: Bench) -> None:
    old = {token.token_id: bench.market.rest_book(token) for token in bench.market.tokens}
    bench.now_ms += 1_000
    frame = bench.change()
    for line in (0, 1):
        bench.send(line, frame)
    live(bench, 6_000, lambda request: void(bench.answer(request, old[request.token_id])))
    assert bench.session.unseen(bench.now_ms)
    live(bench, 11_000, lambda request: void(bench.answer(request)))
    assert not bench.session.unseen(bench.now_ms)


def void(_: object) -> None:
    return


def test_an_ended_or_quiet_market_that_is_as_it_was_is_seen(bench: Bench) -> None:
    live(bench, 120_000, lambda request: void(bench.answer(request)))
    assert not bench.session.unseen(bench.now_ms)


def test_requests_that_fail_are_repeated_soon_and_stay_bounded(bench: Bench) -> None:
    asked = [len(due.requests) for due in live(bench, 120_000, fails(bench))]
    assert sum(asked[: 5_000 // STEP_MS]) >= 4
    assert sum(asked[60_000 // STEP_MS :]) <= 2 * 60_000 / 10_000 + 2
    assert UNSEEN_AFTER_MS < 5_000


def test_its_connections_are_replaced_and_not_again_for_long(bench: Bench) -> None:
    replaced = [
        (at, line)
        for at, due in enumerate(live(bench, 2 * UNSEEN_AGAIN_MS, fails(bench)))
        for line, tokens in due.replace
        if tokens == bench.tokens
    ]
    assert [line for _, line in replaced] == [0, 1, 0, 1]
    assert (replaced[2][0] - replaced[0][0]) * STEP_MS >= UNSEEN_AGAIN_MS


def test_one_frozen_line_is_enough_where_the_other_was_never_there() -> None:
    bench = Bench()
    bench.open(0)
    dues = live(bench, 12_000, fails(bench))
    assert bench.session.unseen(bench.now_ms)
    assert [line for due in dues for line, _ in due.replace] == [0]


def test_a_placeholder_that_stays_one_is_seen() -> None:
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
    live(bench, 60_000, lambda request: void(bench.answer(request)))
    assert bench.show() is None
    assert not bench.session.unseen(bench.now_ms)
    assert not bench.session.dark


def test_a_clock_that_is_set_back_makes_nothing_seen_or_unseen_for_ever(bench: Bench) -> None:
    live(bench, 3_000, fails(bench))
    bench.now_ms -= 60_000
    live(bench, 6_000, fails(bench))
    assert bench.session.unseen(bench.now_ms)
