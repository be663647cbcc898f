"""Where an edge would be: by strength, price, time to close and series."""

from __future__ import annotations

import pytest

from backtest.engine.observations import Observations
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import Both, Tables
from backtest.measures.tables import tables
from protocol.fee import NO_FEE
from protocol.market import DOWN
from tests.support.backtest_builders import (
    ASignal,
    a_large_run,
    a_market,
    an_order,
    observations,
)


def tables_of(seen: Observations) -> Tables:
    run = prepare(seen)
    return tables(run, Both(*(filled_orders(run, lane.orders) for lane in seen.lanes)))


def test_by_price_paid_in_each_bracket() -> None:
    market = a_market(fee=NO_FEE)
    signals = [
        ASignal(bid_e4=2_800, ask_e4=2_900, arrival_ask_e4=(2_900, 3_000)),
        ASignal(bid_e4=6_900, ask_e4=7_000),
    ]
    order = an_order(market, 0, price_e4=7_000)
    lines = tables_of(observations([market], signals, [order])).by_price.lines
    assert [(each.label, each.signals) for each in lines] == [
        ("0.20 to 0.30", 1),
        ("0.30 to 0.40", 0),
        ("0.70 to 0.80", 1),
    ]
    assert [each.cells.unchanged.markout_60s.n for each in lines] == [1, 0, 1]
    assert [each.cells.next.markout_60s.n for each in lines] == [0, 1, 1]
    bought = lines[2].cells.unchanged
    assert (bought.orders, bought.win_rate.hits, bought.pnl_e6) == (1, 1, 600_000)
    assert bought.edge == pytest.approx(1 - 0.7)


def test_by_strength_in_parts_of_as_many_signals() -> None:
    signals = [ASignal(strength=0.5 + 0.01 * each) for each in range(50)]
    order = an_order(a_market(), 0, strength=0.99)
    by_strength = tables_of(observations([a_market()], signals, [order])).by_strength
    assert by_strength.by == "imbalance"
    assert [each.signals for each in by_strength.lines] == [10] * 5
    assert [each.cells.next.orders for each in by_strength.lines] == [0, 0, 0, 0, 1]


def test_signals_of_one_strength_are_one_line() -> None:
    lines = tables_of(observations([a_market()], [ASignal(), ASignal()])).by_strength.lines
    assert [(each.label, each.signals) for each in lines] == [("0.6", 2)]


def test_a_strategy_without_numbers_has_no_table_of_them() -> None:
    seen = observations([a_market()], [ASignal(strength=float("nan"))])
    seen.strength_name = ""
    assert tables_of(seen).by_strength.lines == []


def test_the_opening_is_in_the_line_of_the_first_minutes() -> None:
    signals = [ASignal(after_ms=ms) for ms in (0, 100_000, 150_001, 600_000)]
    lines = tables_of(observations([a_market()], signals)).by_time_to_close.lines
    assert [(each.label, each.signals) for each in lines] == [
        ("5 to 7.5", 1),
        ("10 to 12.5", 1),
        ("12.5 to 15", 2),
    ]


def test_by_series() -> None:
    markets = [a_market(0), a_market(1, series="eth-15m", paid=DOWN)]
    orders = [an_order(markets[1], 1)]
    lines = tables_of(observations(markets, [ASignal(), ASignal(market=1)], orders)).by_series.lines
    assert [(each.label, each.signals, each.cells.next.orders) for each in lines] == [
        ("btc-15m", 1, 0),
        ("eth-15m", 1, 1),
    ]


def test_each_table_has_every_signal_once() -> None:
    seen = a_large_run(signals=400, phases=0)
    made = tables_of(seen)
    for table in (made.by_strength, made.by_price, made.by_time_to_close, made.by_series):
        assert sum(line.signals for line in table.lines) == 400


def test_the_edge_counts_what_a_split_paid() -> None:
    market = a_market(paid="split", fee=NO_FEE)
    orders = [an_order(market, 0, price_e4=4_500)]
    cells = tables_of(observations([market], [ASignal()], orders)).by_series.lines[0].cells
    assert cells.unchanged.win_rate.hits == 0
    assert cells.unchanged.edge == pytest.approx(0.05)
