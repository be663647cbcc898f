from __future__ import annotations

import re
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeder.core.market.line_view import SNAPSHOT_WAIT_MS
from feeder.core.market.market_session import ADOPTION_WAIT_MS, REST_LATE_MAX_MS
from feeder.core.market.session_table import END_GRACE_MS, Applied, BookRequest, SessionTable
from protocol.series import parse_series
from tests.fuzz.venue import START_MS, Market
from tests.support.session_bench import ANY_MARKET, CENTS, Bench, info_of

STEP_MS = 50


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.open()
    return bench


def both(bench: Bench, frame: bytes) -> None:
    bench.send(0, frame)
    bench.send(1, frame)


# What belongs to whom.


def test_what_belongs_to_no_followed_market_or_token_is_reported_as_ignored(bench: Bench) -> None:
    frame = bench.change()
    other = frame.replace(bench.market.condition_id.encode(), b"0xother")
    assert bench.send(0, other) == Applied(ignored=2)
    stranger = re.sub(rb'"asset_id":"\d+"', b'"asset_id":"9"', frame)
    assert bench.send(0, stranger).ignored == 2
    assert bench.send(0, frame).updates == 2


def test_a_trade_and_an_unchanged_book_change_nothing(bench: Bench) -> None:
    first, _ = bench.market.tokens
    bench.now_ms += 1_000
    trade = bench.market.last_trade_price(first, 5_000, bench.now_ms)
    assert bench.send(0, trade, bench.opening()) == Applied(bench.session, ignored=1)
    assert bench.session.received_at_ns == START_MS * 1_000_000


def test_what_is_no_last_trade_price_is_rejected(bench: Bench) -> None:
    first, _ = bench.market.tokens
    trade = bench.market.last_trade_price(first, 5_000, bench.now_ms)
    applied = bench.send(0, re.sub(rb'"price":"[^"]*"', b'"price":"much"', trade))
    (bad,) = applied.malformed
    assert "not a price: 'much'" in bad.reason


@pytest.mark.parametrize("price", [b"null", b'""'])
def test_a_last_trade_without_a_price_doubts_no_book(bench: Bench, price: bytes) -> None:
    first, _ = bench.market.tokens
    trade = bench.market.last_trade_price(first, 5_000, bench.now_ms)
    bent = re.sub(rb'"price":"[^"]*"', b'"price":' + price, trade)
    assert bench.send(0, bent) == Applied(bench.session)


# Windows.


def test_the_current_and_the_next_window_of_every_series_are_wanted() -> None:
    table = SessionTable([parse_series("btc-15m"), parse_series("eth-90s")])
    slugs = [series.slug(start_s) for series, start_s in table.wanted(1_700_000_199.9)]
    assert slugs == [
        "btc-updown-15m-1700000100",
        "btc-updown-15m-1700001000",
        "eth-updown-90s-1700000190",
        "eth-updown-90s-1700000280",
    ]


@given(st.lists(st.integers(0, 400_000), max_size=40))
def test_as_windows_roll_markets_come_and_go_and_their_number_is_bounded(steps: list[int]) -> None:
    series = parse_series("btc-15m")
    table = SessionTable([series])
    listed = info_of(Market(CENTS, Random(1), hidden_inputs=False))
    one, other = listed.outcomes
    now_ms = START_MS
    for step in steps:
        now_ms += step
        table.drop_ended(now_ms)
        for _, start_s in table.wanted(now_ms / 1000):
            if f"0x{start_s}" not in table:
                info = msgspec.structs.replace(
                    listed,
                    condition_id=f"0x{start_s}",
                    start_ms=start_s * 1000,
                    end_ms=(start_s + 900) * 1000,
                    outcomes=(
                        msgspec.structs.replace(one, token_id=f"{start_s}1"),
                        msgspec.structs.replace(other, token_id=f"{start_s}2"),
                    ),
                )
                table.follow(info, now_ms)
        start_s = series.window_start_s(now_ms / 1000)
        assert {f"0x{start_s}", f"0x{start_s + 900}"} <= {s.info.condition_id for s in table}
        assert len(table) <= 3
        assert len(table.tokens()) == 2 * len(table)
        assert all(session.info.end_ms + END_GRACE_MS >= now_ms for session in table)


def test_a_market_is_dropped_a_little_after_its_end(bench: Bench) -> None:
    session = bench.session
    assert bench.table.drop_ended(session.info.end_ms + END_GRACE_MS) == []
    assert bench.table.tokens() == bench.tokens
    assert bench.table.drop_ended(session.info.end_ms + END_GRACE_MS + 1) == [session]
    assert bench.table.tokens() == set()
    assert bench.market.condition_id not in bench.table
    assert bench.send(0, bench.change()) == Applied(ignored=2)


def test_newer_facts_are_taken_but_not_the_slower_sources_tick_size(bench: Bench) -> None:
    first, _ = bench.market.tokens
    bench.market.tick_e4 = 10
    bench.send(0, bench.market.tick_size_change(first, 100, bench.now_ms))
    listed = info_of(bench.market, tick_size_e4=100, accepting=False, min_order_size_e6=1)
    bench.table.follow(listed, bench.now_ms)
    facts = bench.session.info
    assert (facts.accepting, facts.min_order_size_e6, facts.tick_size_e4) == (False, 1, 10)


def test_other_tokens_are_another_market(bench: Bench) -> None:
    other = info_of(Market(8, Random(8), hidden_inputs=False))
    bench.table.follow(
        msgspec.structs.replace(other, condition_id=bench.market.condition_id), bench.now_ms
    )
    assert not bench.session.ready
    assert bench.table.tokens() == {outcome.token_id for outcome in other.outcomes}


# Look-ups.


def requests(bench: Bench, *, seconds: int) -> list[tuple[int, BookRequest]]:
    """(when, request) of every request that falls due, nobody answering; each fails at once."""
    found = []
    started_ms = bench.now_ms
    while bench.now_ms < started_ms + seconds * 1000:
        for request in bench.pass_ms(STEP_MS).requests:
            found.append((bench.now_ms - started_ms, request))
            bench.table.request_failed(request, bench.now_ms)
    return found


def test_a_book_that_does_not_come_is_looked_up_at_growing_intervals(bench: Bench) -> None:
    bench = Bench()
    bench.table.connected(1, bench.tokens, bench.now_ms)
    found = requests(bench, seconds=60)
    assert all(request.urgent for _, request in found)
    for token_id in bench.tokens:
        at = [ms for ms, request in found if request.token_id == token_id]
        waits = [later - earlier for earlier, later in pairwise(at)]
        assert at[0] == SNAPSHOT_WAIT_MS
        assert waits == [400, 800, 1_600, 3_200, 6_400] + [10_000] * (len(waits) - 5)
        assert len(waits) == 9


def test_a_token_that_no_line_has_subscribed_is_not_looked_up() -> None:
    assert requests(Bench(), seconds=20) == []


def test_a_look_is_under_way_once_and_ends_whatever_comes_of_it(bench: Bench) -> None:
    for line in (0, 1):
        bench.table.distrust(line, ANY_MARKET, bench.now_ms)
    first, second = bench.pass_ms(STEP_MS).requests
    assert not bench.pass_ms(100_000).requests  # both still under way
    with pytest.raises(ValueError, match="a book of another token"):
        bench.answer(first, bench.market.rest_book(bench.market.tokens[1]))
    bench.table.request_failed(first, bench.now_ms)
    bench.table.request_failed(second, bench.now_ms)
    assert {request.token_id for request in bench.pass_ms(400).requests} == bench.tokens


def test_an_answer_that_is_too_old_mends_nothing_and_is_asked_for_again(bench: Bench) -> None:
    old = [bench.market.rest_book(token) for token in bench.market.tokens]
    bench.now_ms += 10
    both(bench, bench.change())
    for line in (0, 1):
        bench.table.distrust(line, ANY_MARKET, bench.now_ms)
    asked = sorted(
        bench.pass_ms(STEP_MS).requests, key=lambda request: request.token_id, reverse=True
    )
    assert [
        bench.answer(request, body).refused for request, body in zip(asked, old, strict=True)
    ] == [
        2,
        2,
    ]
    assert not bench.session.views[0].usable
    for request in bench.pass_ms(1_000).requests:
        assert bench.answer(request).taken == 2
    assert bench.session.views[0].proven


def test_a_doubt_of_one_line_is_ended_by_the_other_without_a_request(bench: Bench) -> None:
    bench.table.distrust(0, ANY_MARKET, bench.now_ms)
    due = bench.pass_ms(STEP_MS)
    assert (due.adopted, due.requests) == (2, [])
    assert bench.session.views[0].proven
    bench.now_ms += 10
    both(bench, bench.change())
    assert bench.session.views[0].proven  # it goes on from there with changes of its own
    assert bench.is_up_to_date()


def test_a_line_that_is_behind_what_raised_the_doubt_ends_none(bench: Bench) -> None:
    bench.now_ms += 10
    bench.send(0, bench.change())
    bench.table.distrust(0, ANY_MARKET, bench.now_ms)
    due = bench.pass_ms(STEP_MS)
    assert (due.adopted, bench.session.views[0].usable) == (0, False)
    assert {
        request.token_id for request in bench.pass_ms(ADOPTION_WAIT_MS).requests
    } == bench.tokens


def test_what_one_answer_can_mend_on_both_lines_it_mends_and_offers(bench: Bench) -> None:
    bench.show()
    bench.now_ms += 10
    bench.change()
    for line in (0, 1):
        bench.table.distrust(line, ANY_MARKET, bench.now_ms)
    one, other = bench.pass_ms(STEP_MS).requests
    assert (bench.answer(one).taken, bench.session.ready) == (2, False)
    outcome = bench.answer(other)
    assert (outcome.taken, outcome.offer) == (2, True)
    assert bench.is_up_to_date()


def test_a_look_for_a_market_that_is_dropped_meanwhile_harms_nobody(bench: Bench) -> None:
    for line in (0, 1):
        bench.table.distrust(line, ANY_MARKET, bench.now_ms)
    one, other = bench.pass_ms(STEP_MS).requests
    bench.table.drop_ended(bench.session.info.end_ms + END_GRACE_MS + 1)
    bench.answer(one)
    bench.table.request_failed(other, bench.now_ms)
    assert bench.pass_ms(STEP_MS).requests == []


def test_a_market_that_is_followed_anew_goes_on_above_its_sequence(bench: Bench) -> None:
    shown = bench.show()
    assert shown is not None
    info = bench.session.info
    bench.table.drop_ended(info.end_ms + END_GRACE_MS + 1)  # a clock that is far ahead
    bench.table.follow(info, bench.now_ms)  # and right again
    bench.open(0, 1)
    again = bench.show()
    assert again is not None
    assert again.sequence > shown.sequence  # the epoch may still be the same


def test_an_ended_market_asks_for_nothing(bench: Bench) -> None:
    bench.now_ms = bench.session.info.end_ms
    bench.table.distrust(0, ANY_MARKET, bench.now_ms)
    bench.table.distrust(1, ANY_MARKET, bench.now_ms)
    due = bench.pass_ms(STEP_MS)
    assert (due.requests, due.replace) == ([], [])


# Silence.


@pytest.mark.parametrize("lines", [(0,), (1,), (0, 1)])
def test_a_quiet_market_costs_few_looks_that_nobody_waits_for(lines: tuple[int, ...]) -> None:
    bench = Bench()
    bench.open(*lines)
    asked = []
    for _ in range(300_000 // STEP_MS):
        for request in bench.pass_ms(STEP_MS).requests:
            asked.append(request.token_id)
            assert not request.urgent
            outcome = bench.answer(request)
            assert (outcome.taken, outcome.refused, outcome.behind) == (0, 0, 0)
    assert 10 <= len(asked) <= 14
    assert abs(asked.count(min(asked)) - asked.count(max(asked))) <= 1  # each token in turn
    assert bench.is_up_to_date()


@pytest.mark.parametrize("lines", [(0,), (0, 1)])
def test_lines_that_both_freeze_are_found_by_looks_in_time(lines: tuple[int, ...]) -> None:
    bench = Bench()
    bench.open(*lines)
    for _ in range(50):
        bench.now_ms += 100
        both(bench, bench.change(bench.now_ms % 89 + 1))
    frozen_at_ms, replaced = bench.now_ms, set()
    while bench.now_ms < frozen_at_ms + 3_000:
        bench.change(bench.now_ms % 89 + 1)  # nobody hears of it
        due = bench.pass_ms(STEP_MS)
        for request in due.requests:
            bench.answer(request)
        replaced |= {line for line, _ in due.replace}
    assert replaced == set(lines)


def test_a_look_that_is_ahead_of_the_channel_is_no_verdict(bench: Bench) -> None:
    bench.now_ms += 10
    frame = bench.change()
    (request,) = bench.pass_ms(2_000).requests
    assert bench.answer(request).behind == 2
    bench.now_ms += REST_LATE_MAX_MS - 1
    both(bench, frame)
    assert bench.pass_ms(1).replace == []


def test_a_look_that_shows_a_later_version_of_the_same_millisecond_is_believed(
    bench: Bench,
) -> None:
    bench.now_ms += 10
    both(bench, bench.change(1))
    bench.change(2)  # nobody hears of it
    (request,) = bench.pass_ms(2_000).requests
    assert bench.answer(request).behind == 2
    due = bench.pass_ms(REST_LATE_MAX_MS)
    assert {line for line, _ in due.replace} == {0, 1}


def test_a_look_that_shows_an_earlier_version_of_the_same_millisecond_is_late(
    bench: Bench,
) -> None:
    bench.now_ms += 10
    both(bench, bench.change(1))
    stale = {token.token_id: bench.market.rest_book(token) for token in bench.market.tokens}
    both(bench, bench.change(2))
    (request,) = bench.pass_ms(2_000).requests
    assert bench.answer(request, stale[request.token_id]).behind == 0


def test_another_trade_price_in_a_looks_hash_is_no_other_book(bench: Bench) -> None:
    bench.now_ms += 10
    both(bench, bench.change())
    bench.market.last_trade = "0.333"
    for token in bench.market.tokens:
        token.version = (token.version[0], bench.market.hash(token, token.version[0]))
    (request,) = bench.pass_ms(2_000).requests
    assert bench.answer(request).behind == 0


# Connections.


def test_a_line_without_books_is_replaced_once_and_not_before_the_start(bench: Bench) -> None:
    info = info_of(bench.market, start_ms=START_MS + 60_000)
    bench.table.drop_ended(info.end_ms * 2)
    bench.table.follow(info, bench.now_ms)
    bench.table.connected(0, bench.tokens, bench.now_ms)
    asked = []
    for _ in range(120_000 // STEP_MS):
        due = bench.pass_ms(STEP_MS)
        for request in due.requests:
            bench.table.request_failed(request, bench.now_ms)
        asked += [(bench.now_ms - START_MS, line) for line, _ in due.replace]
        if due.replace:
            bench.table.connected(0, bench.tokens, bench.now_ms)
    assert asked == [(60_000, 0)]


def test_a_market_that_contradicts_itself_is_not_hammered_with_looks(bench: Bench) -> None:
    asked = 0
    for _ in range(60_000 // STEP_MS):
        bench.table.distrust(0, ANY_MARKET, bench.now_ms)
        bench.table.distrust(1, ANY_MARKET, bench.now_ms)
        for request in bench.pass_ms(STEP_MS).requests:
            asked += 1
            bench.answer(request)
    assert asked <= 2 * 60_000 / 200


def test_who_may_lose_its_connection(bench: Bench) -> None:
    assert bench.table.spared(0, bench.tokens)
    bench.table.distrust(1, ANY_MARKET, bench.now_ms)
    assert not bench.table.spared(0, bench.tokens)  # it alone has the market
    assert bench.table.spared(1, bench.tokens)
    bench.table.distrust(0, ANY_MARKET, bench.now_ms)
    assert bench.table.spared(0, bench.tokens)  # nobody has: nothing to lose
    assert bench.table.spared(0, {"of nobody"})


def test_an_offer_that_proves_wrong_is_not_shown_and_the_next_version_is_offered() -> None:
    bench = Bench()
    bench.open(0)
    bench.show()
    bench.now_ms += 10
    bench.send(0, bench.change(1))
    wrong = re.sub(rb'"hash":"....', b'"hash":"0000', bench.change(2))
    assert bench.send(0, wrong).offer  # within a millisecond its hash is not looked at
    assert bench.show() is None
    bench.now_ms += 10
    assert bench.send(0, bench.change(3)).offer
    assert bench.is_up_to_date()
