"""The strategy against what needs none."""

from __future__ import annotations

import pytest

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import Lane, MarketSeen, OrderEnd, OrderSeen
from backtest.measures.comparisons import comparisons
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import Comparison, Rival
from protocol.fee import NO_FEE
from protocol.market import DOWN, UP
from tests.support.backtest_builders import a_lane, a_market, an_order, observations


def compared(
    markets: list[MarketSeen], orders: list[OrderSeen], polling: list[Lane] | None = None
) -> dict[Rival, Comparison]:
    run = prepare(observations(markets, [], orders, polling=polling or []))
    lines = comparisons(run, Bracket.UNCHANGED, filled_orders(run, orders))
    return {each.rival: each for each in lines}


def test_rivals_trade_where_and_when_the_strategy_does() -> None:
    markets = [a_market(0, paid=UP, fee=NO_FEE), a_market(1, paid=DOWN, fee=NO_FEE)]
    orders = [
        an_order(markets[0], 0, outcome=DOWN, price_e4=4_000, other_price_e4=6_000),
        an_order(markets[1], 1, outcome=DOWN, price_e4=5_000, other_price_e4=5_000),
    ]
    lines = compared(markets, orders)
    assert list(lines) == [Rival.STRATEGY, Rival.ALWAYS_UP, Rival.COIN_TOSS, Rival.AGAINST]
    assert lines[Rival.STRATEGY].pnl_e6 == -800_000 + 1_000_000
    assert lines[Rival.ALWAYS_UP].pnl_e6 == 800_000 - 1_000_000
    assert lines[Rival.AGAINST].pnl_e6 == lines[Rival.ALWAYS_UP].pnl_e6
    # Each outcome half the time: two shares of both cost 2 USD and pay 2 USD.
    assert (lines[Rival.COIN_TOSS].pnl_e6, lines[Rival.COIN_TOSS].spent_e6) == (0, 2_000_000)
    assert lines[Rival.COIN_TOSS].orders == lines[Rival.COIN_TOSS].return_on_stake.n == 2
    assert lines[Rival.ALWAYS_UP].return_on_stake.value == pytest.approx(-0.2 / 2.2)
    assert lines[Rival.ALWAYS_UP].strategy_minus.value == pytest.approx(0.2 / 1.8 + 0.2 / 2.2)


def test_a_coin_pays_the_fees() -> None:
    market = a_market()
    lines = compared([market], [an_order(market, 0, price_e4=5_000, other_price_e4=5_000)])
    assert lines[Rival.COIN_TOSS].pnl_e6 == -35_000


def test_differences_are_paired() -> None:
    # The rival is always exactly 0.2 USD worse, whoever wins: the difference is sure.
    markets = [a_market(n, paid=UP if n % 2 else DOWN, fee=NO_FEE) for n in range(12)]
    orders = [an_order(each, n, outcome=UP) for n, each in enumerate(markets)]
    for order in orders:
        order.pnl_e6 = (order.pnl_e6 or 0) + 200_000
    line = compared(markets, orders)[Rival.ALWAYS_UP]
    assert line.return_on_stake.low != line.return_on_stake.high
    assert line.strategy_minus.value == pytest.approx(0.2)
    assert line.strategy_minus.low == pytest.approx(0.2)
    assert line.strategy_minus.high == pytest.approx(0.2)


def test_what_could_not_be_bought_is_not_in_it() -> None:
    market = a_market()
    lines = compared([market], [an_order(market, 0, end=OrderEnd.LEFT_OUT)])
    assert all(each.orders == 0 and each.return_on_stake.value is None for each in lines.values())
    assert {each.left_out for each in lines.values()} == {1}


def test_a_scanner_is_the_mean_of_its_phases_with_its_worst_and_best() -> None:
    markets = [a_market(0, paid=UP, fee=NO_FEE), a_market(1, paid=DOWN, fee=NO_FEE)]
    wins, loses = an_order(markets[0], 0), an_order(markets[1], 1)
    polling = [
        a_lane([wins], poll_phase_ms=0),
        a_lane([loses], poll_phase_ms=1_000),
        a_lane([an_order(markets[0], 0, end=OrderEnd.LEFT_OUT)], poll_phase_ms=2_000),
        a_lane([wins, wins], poll_phase_ms=0, bracket=Bracket.NEXT),
    ]
    line = compared(markets, [wins], polling)[Rival.SCANNER]
    assert line.phases == 3
    assert line.orders == pytest.approx(2 / 3)
    assert line.left_out == pytest.approx(1 / 3)
    assert (line.worst_return, line.best_return) == (-1.0, 1.0)
    assert line.return_on_stake.value == 0.0
    assert line.spent_e6 == round(2_000_000 / 3)
    assert [point.pnl_e6 for point in line.curve] == [333_333, 0]
