"""How orders were met."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import UNKNOWN, OrderEnd, OrderSeen
from backtest.measures.execution import deviations, execution
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import ExecutionEnds
from tests.support.backtest_builders import ASignal, a_market, an_order, observations

MARKET = a_market()


def execution_of(orders: list[OrderSeen], signals: list[ASignal] | None = None) -> ExecutionEnds:
    seen = observations([MARKET], signals or [], orders)
    run = prepare(seen)
    return execution(run, seen.lane(Bracket.UNCHANGED), filled_orders(run, orders))


def test_the_fill_rate_is_of_what_the_recording_can_tell() -> None:
    ends = [
        OrderEnd.FILLED,
        OrderEnd.PARTLY,
        OrderEnd.NO_MATCH,
        OrderEnd.LEFT_OUT,
        OrderEnd.WAITING,
    ]
    section = execution_of([an_order(MARKET, 0, end=end) for end in ends])
    assert (section.fill_rate.hits, section.fill_rate.of) == (2, 3)
    assert section.ends["left_out"] == section.ends["waiting"] == 1
    assert section.ends["crossed"] == 0
    assert section.arrival_ms == 255


def test_slippage_is_what_was_paid_above_the_ask_of_the_signal() -> None:
    paid = [5_000, 5_100, 4_800]
    section = execution_of(
        [an_order(MARKET, 0, price_e4=each, signal_price_e4=5_000) for each in paid]
    )
    assert section.paid.n == 3
    assert section.paid.mean_ticks == pytest.approx(-1 / 3)
    assert section.paid.median_ticks == pytest.approx(0)
    assert section.paid.median_pct == pytest.approx(2.0)


def test_what_an_order_met_counts_also_where_it_got_nothing() -> None:
    dear = an_order(MARKET, 0, price_e4=6_000, signal_price_e4=5_000, end=OrderEnd.NO_MATCH)
    nothing = an_order(MARKET, 0, end=OrderEnd.LEFT_OUT)
    nothing.arrival_ask_e4 = UNKNOWN
    section = execution_of([dear, nothing])
    assert section.paid.n == 0
    assert (section.met.n, section.met.mean_ticks) == (1, 10.0)


def test_refusals_by_the_limit_are_counted_over_all_signals() -> None:
    signals = [
        ASignal(arrival_ask_e4=(5_300, 5_000)),
        ASignal(arrival_ask_e4=(5_200, 5_000)),
        ASignal(arrival_ask_e4=(UNKNOWN, 5_000)),
    ]
    section = execution_of([], signals)
    assert (section.refused_by_limit.hits, section.refused_by_limit.of) == (1, 2)
    assert section.met_by_signals.over_5pct_share == 0.5
    assert section.arrival_ms is None


def test_orders_of_one_time_are_one_draw_of_the_fill_rate() -> None:
    markets = [a_market(0), a_market(1, slot=0), a_market(2)]
    orders = [an_order(each, index) for index, each in enumerate(markets)]
    run = prepare(observations(markets, [], orders))
    rate = execution(run, run.seen.lane(Bracket.UNCHANGED), filled_orders(run, orders)).fill_rate
    assert (rate.of, rate.independent) == (3, 2)


def test_where_nobody_asks_the_limit_refuses_and_no_ask_is_met() -> None:
    section = execution_of([], [ASignal(arrival_ask_e4=(10_000, 5_000)), ASignal()])
    assert (section.refused_by_limit.hits, section.refused_by_limit.of) == (1, 2)
    assert (section.met_by_signals.n, section.met_by_signals.mean_ticks) == (1, 0.0)


def test_exactly_five_percent_is_not_above_five_percent() -> None:
    asked = np.arange(20, 1_000, 20, dtype=float) * 10
    assert deviations(asked * 21 / 20, asked, np.full(len(asked), 100.0)).over_5pct_share == 0.0
