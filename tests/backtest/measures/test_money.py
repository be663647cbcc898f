"""What orders earned, by hand."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine.observations import MarketSeen, OrderEnd, OrderSeen
from backtest.measures.money import drawdown_e6, longest_losing_run, money, quarter_kelly
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import Money
from protocol.fee import NO_FEE
from protocol.market import DOWN, UP
from tests.support.backtest_builders import ASignal, a_market, an_order, observations


def money_of(
    markets: list[MarketSeen], orders: list[OrderSeen], signals: list[ASignal] | None = None
) -> Money:
    run = prepare(observations(markets, signals or [], orders))
    return money(run, filled_orders(run, orders))


def test_spent_paid_and_earned() -> None:
    markets = [a_market(0, paid=UP), a_market(1, paid=DOWN)]
    orders = [
        an_order(markets[0], 0, price_e4=4_000),
        an_order(markets[1], 1, price_e4=5_000),
        an_order(markets[1], 1, end=OrderEnd.NO_MATCH),
    ]
    section = money_of(markets, orders)
    # Two shares each: fees 2 x 0.07 x 0.24 and 2 x 0.07 x 0.25 USD.
    assert (section.filled, section.settled) == (2, 2)
    assert section.spent_e6 == 1_800_000
    assert section.fees_e6 == 33_600 + 35_000
    assert section.payout_e6 == 2_000_000
    assert section.pnl_e6 == 2_000_000 - 1_800_000 - 68_600
    assert section.return_on_stake.value == pytest.approx(0.131_400 / 1.8)
    assert (section.win_rate.hits, section.win_rate.of) == (1, 2)
    assert section.mean_price == pytest.approx(0.45)
    assert section.mean_fee == pytest.approx(0.0343 / 2)
    assert section.brier_price == pytest.approx((0.6**2 + 0.5**2) / 2)


def test_what_is_not_settled_is_counted_and_no_more() -> None:
    markets = [a_market(0, paid=None), a_market(1, fee=NO_FEE)]
    section = money_of(markets, [an_order(markets[0], 0), an_order(markets[1], 1)])
    assert (section.filled, section.settled) == (2, 1)
    assert section.spent_e6 == section.pnl_e6 == 1_000_000


def test_a_split_is_no_win_and_costs_the_fee() -> None:
    market = a_market(paid="split")
    section = money_of([market], [an_order(market, 0, price_e4=5_000)])
    assert section.win_rate.hits == 0
    assert section.pnl_e6 == -35_000
    assert section.brier_price == 0.0


def test_the_one_split_that_would_matter_most() -> None:
    markets = [a_market(0, fee=NO_FEE), a_market(1, paid=DOWN, fee=NO_FEE)]
    orders = [an_order(markets[0], 0, shares=2), an_order(markets[1], 1, shares=6)]
    section = money_of(markets, orders)
    assert section.pnl_e6 == 1_000_000 - 3_000_000
    assert section.split is not None
    assert section.split.slug == markets[1].slug
    assert (section.split.change_e6, section.split.pnl_e6) == (3_000_000, 1_000_000)


def test_several_orders_of_one_market_are_one_win() -> None:
    market = a_market()
    section = money_of([market], [an_order(market, 0, after_ms=ms) for ms in (1, 2, 3)])
    assert (section.win_rate.of, section.win_rate.independent) == (3, 1)
    assert section.return_on_stake.blocks == 1
    assert section.return_on_stake.low is None


def test_the_curve_is_in_order_of_the_ends() -> None:
    markets = [a_market(0, paid=DOWN, fee=NO_FEE), a_market(1, fee=NO_FEE)]
    section = money_of(markets, [an_order(markets[1], 1), an_order(markets[0], 0)])
    assert [(point.at_ms, point.pnl_e6) for point in section.curve] == [
        (markets[0].end_ms, -1_000_000),
        (markets[1].end_ms, 0),
    ]
    assert section.drawdown_e6 == 1_000_000
    assert section.longest_losing_run == 1


def test_the_band_ends_where_the_interval_of_the_sum_does() -> None:
    markets = [a_market(n, paid=UP if n % 3 else DOWN, fee=NO_FEE) for n in range(12)]
    section = money_of(markets, [an_order(each, n) for n, each in enumerate(markets)])
    last, estimate = section.curve[-1], section.return_on_stake
    assert last.low_e6 is not None and last.high_e6 is not None
    assert last.low_e6 <= section.curve[0].pnl_e6 <= last.pnl_e6 <= last.high_e6
    assert estimate.low == pytest.approx(last.low_e6 / section.spent_e6)
    assert estimate.high == pytest.approx(last.high_e6 / section.spent_e6)


def test_the_strategys_own_value_is_scored_too() -> None:
    market = a_market(fee=NO_FEE)
    sure = ASignal(ask_e4=5_000, edge_ticks=50.0)  # worth 1.00, and it was
    section = money_of([market], [an_order(market, 0)], [sure])
    assert section.brier_value == pytest.approx(0.0)
    assert section.brier_price == 0.25
    assert money_of([market], [an_order(market, 0)]).brier_value is None


@pytest.mark.parametrize(
    ("win_rate", "price", "kelly"), [(0.6, 0.5, 0.05), (0.5, 0.5, 0.0), (0.3, 0.5, 0.0)]
)
def test_a_quarter_of_kelly(win_rate: float, price: float, kelly: float) -> None:
    assert quarter_kelly(win_rate, price, 0.0) == pytest.approx(kelly)


def test_a_price_of_one_leaves_nothing_to_bet_on() -> None:
    assert quarter_kelly(1.0, 0.99, 0.01) is None
    assert quarter_kelly(None, None, None) is None


@settings(max_examples=40)
@given(st.lists(st.integers(-5, 5), max_size=20))
def test_drawdown_and_run_are_what_a_loop_finds(pnl: list[int]) -> None:
    curve = list(accumulate(pnl, initial=0))
    deepest = max(max(curve[: index + 1]) - each for index, each in enumerate(curve))
    signs = "".join("L" if each < 0 else " " for each in pnl)
    assert drawdown_e6(np.array(pnl, dtype=float)) == deepest
    assert longest_losing_run(np.array(pnl, dtype=float)) == max(map(len, signs.split(" ")))


def test_markets_open_at_the_same_time_are_one_draw_of_the_win_rate() -> None:
    markets = [a_market(number, slot=number // 4) for number in range(12)]
    section = money_of(markets, [an_order(each, index) for index, each in enumerate(markets)])
    assert (section.win_rate.of, section.win_rate.independent) == (12, 3)
