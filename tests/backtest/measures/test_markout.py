"""What a share was worth after the signal, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import UNKNOWN
from backtest.measures.markout import after_costs_ticks, worth
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import Both, Worth
from protocol.fee import NO_FEE
from protocol.market import DOWN
from tests.support.backtest_builders import ASignal, a_market, an_order, observations


def worth_of(*signals: ASignal) -> Worth:
    run = prepare(observations([a_market(0), a_market(1)], signals))
    return worth(run, Both(filled_orders(run, []), filled_orders(run, [])))


RISES = ASignal(
    bid_e4=4_900,
    ask_e4=5_000,
    bid_after_e4=[4_900, 5_000, 5_100, 5_300],
    ask_after_e4=[5_000, 5_100, 5_300, 5_500],
    arrival_ask_e4=(5_000, 5_200),
)


def test_how_the_mid_moves_with_the_signal_before_anything_is_paid() -> None:
    moved = worth_of(RISES).moved
    assert [each.after_s for each in moved] == [1, 5, 30, 60]
    assert [each.moved_ticks.value for each in moved] == [0.0, 1.0, 2.5, 4.5]


def test_markouts_are_against_the_price_paid_in_each_bracket() -> None:
    both = worth_of(RISES).signals_markouts
    assert [row.mid.value for row in both.unchanged.rows] == [-0.5, 0.5, 2.0, 4.0, 50.0]
    assert [row.bid.value for row in both.unchanged.rows] == [-1.0, 0.0, 1.0, 3.0, 50.0]
    assert [row.mid.value for row in both.next.rows] == [-2.5, -1.5, 0.0, 2.0, 48.0]


def test_the_fee_is_that_of_the_price_paid() -> None:
    unchanged, later = (worth_of(RISES).signals_markouts.of(each).rows[3] for each in Bracket)
    # 0.07 x 0.50 x 0.50 = 1.75 ticks a share; at 0.52 it is 1.7472.
    assert unchanged.mid_after_fee.value == pytest.approx(4.0 - 1.75)
    assert unchanged.bid_after_fee.value == pytest.approx(3.0 - 1.75)
    assert later.mid_after_fee.value == pytest.approx(2.0 - 1.7472)


def test_what_the_limit_refuses_is_counted_and_not_measured() -> None:
    too_dear = ASignal(market=1, arrival_ask_e4=(5_300, UNKNOWN))
    both = worth_of(RISES, too_dear).signals_markouts
    assert (both.unchanged.priced, both.unchanged.refused, both.unchanged.unknown) == (1, 1, 0)
    assert (both.next.priced, both.next.refused, both.next.unknown) == (1, 0, 1)
    assert both.unchanged.rows[0].mid.n == 1


def test_a_price_that_is_not_known_is_no_zero() -> None:
    lost = ASignal(market=1, bid_after_e4=[UNKNOWN] * 4, ask_after_e4=[5_000] * 4)
    rows = worth_of(RISES, lost).signals_markouts.unchanged.rows
    assert [row.mid.n for row in rows] == [1, 1, 1, 1, 2]


def test_down_is_paid_what_down_pays() -> None:
    rows = worth_of(ASignal(is_up=False)).signals_markouts.unchanged.rows
    assert rows[-1].mid.value == -50.0


def test_a_market_that_never_ended_has_no_resolution() -> None:
    run = prepare(observations([a_market(paid=None)], [RISES]))
    nothing = filled_orders(run, [])
    rows = worth(run, Both(nothing, nothing)).signals_markouts.unchanged.rows
    assert rows[-1].after_s is None and rows[-1].mid.value is None
    assert rows[0].mid.value == -0.5


def test_the_hurdle_is_half_the_spread_and_the_fee() -> None:
    section = worth_of(ASignal(bid_e4=4_800))
    assert section.half_spread_ticks == 1.0
    assert section.fee_ticks == pytest.approx(1.75)
    assert section.hurdle_ticks == pytest.approx(2.75)
    assert section.claimed_edge_ticks == 1.0


def test_each_bracket_is_valued_since_it_was_bought() -> None:
    """By the prices after its own book, not by those after the signal."""
    held = ([4_900] * 4 + [4_700] * 4, [5_100] * 4 + [4_900] * 4)
    run = prepare(observations([a_market(fee=NO_FEE)], [replace(RISES, held=held)]))
    paid = [run.paid_in(each).price_e4[0] for each in Bracket]
    after = [after_costs_ticks(run, each)[0] for each in Bracket]
    assert after == [(5_000 - paid[0]) / 100, (4_800 - paid[1]) / 100]
    both = worth_of(replace(RISES, held=held)).signals_markouts
    assert [both.of(each).rows[3].mid.value for each in Bracket] == [0.0, -4.0]
    assert worth_of(replace(RISES, held=held)).moved[3].moved_ticks.value == pytest.approx(4.5)


def test_ticks_are_those_of_the_moment() -> None:
    fine = replace(RISES, tick_e4=10)
    run = prepare(observations([a_market(fee=NO_FEE)], [fine]))
    assert after_costs_ticks(run, Bracket.UNCHANGED).tolist() == [40.0]


def test_filled_orders_are_measured_at_the_price_they_paid() -> None:
    market = a_market()
    bought = an_order(market, 0, price_e4=5_100, signal_price_e4=5_000)
    stranger = an_order(market, 0, outcome=DOWN, after_ms=77)
    run = prepare(observations([market], [RISES], [bought, stranger]))
    filled = filled_orders(run, [bought, stranger])
    markouts = worth(run, Both(filled, filled)).filled_markouts.unchanged
    assert (markouts.priced, markouts.unknown) == (2, 1)
    assert markouts.rows[3].mid.value == pytest.approx(3.0)


def test_without_signals_there_is_nothing() -> None:
    section = worth_of()
    assert section.hurdle_ticks is None
    assert section.moved[0].moved_ticks.value is None
