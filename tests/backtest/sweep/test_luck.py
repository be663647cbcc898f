"""What the best of many points makes by luck."""

from __future__ import annotations

import pytest

from backtest.sweep.luck import luck_of
from backtest.sweep.play import Bought


def a_bet(market: int = 0, *, is_up: bool = True, win_share: float = 0.5) -> Bought:
    """A share for what the book says it is worth."""
    cost_e6 = round(win_share * 1_000_000)
    return Bought(market, is_up, win_share, 1_000_000, cost_e6)


def test_one_fair_point_makes_nothing_in_the_middle() -> None:
    luck = luck_of([[a_bet(market) for market in range(101)]], 0, seed=1)
    assert luck is not None
    assert abs(luck.median_pnl_e6) <= 500_000
    # The sum of 101 tosses: 1.645 of its standard deviations.
    assert luck.p95_pnl_e6 == pytest.approx(1.645 * 0.5e6 * 101**0.5, rel=0.15)
    assert luck.reached_share == pytest.approx(0.5, abs=0.05)
    assert len(luck.quantiles_e6) == 101
    assert list(luck.quantiles_e6) == sorted(luck.quantiles_e6)


def test_the_best_of_many_is_lucky() -> None:
    one = luck_of([[a_bet(market) for market in range(16)]], 0, seed=1)
    many = luck_of([[a_bet(16 * n + m) for m in range(16)] for n in range(50)], 0, seed=1)
    assert one is not None
    assert many is not None
    assert many.median_pnl_e6 >= 4_000_000 > one.median_pnl_e6


def test_a_market_has_one_fate_for_all_points() -> None:
    up, down = [a_bet()], [a_bet(is_up=False)]
    luck = luck_of([up, down], 500_000, seed=1)
    assert luck is not None  # one of them wins, always, and never both
    assert set(luck.quantiles_e6) == {500_000}
    assert luck.reached_share == 1
    both = luck_of([up + down], 0, seed=1)
    assert both is not None
    assert set(both.quantiles_e6) == {0}


def test_an_order_wins_as_often_as_its_book_says() -> None:
    luck = luck_of([[a_bet(win_share=0.2)]], 800_000, seed=1)
    assert luck is not None
    assert luck.reached_share == pytest.approx(0.2, abs=0.04)


def test_points_that_trade_alike_are_one_and_points_that_do_not_trade_are_none() -> None:
    bets = [a_bet(0), a_bet(1)]
    assert luck_of([bets, list(bets), []], 7, seed=3) == luck_of([bets], 7, seed=3)
    assert luck_of([[], []], 0, seed=3) is None


def test_the_same_seed_draws_the_same() -> None:
    bets = [[a_bet(market) for market in range(9)]]
    assert luck_of(bets, 0, seed=3) == luck_of(bets, 0, seed=3) != luck_of(bets, 0, seed=4)


def test_markets_of_one_window_have_one_fate_because_coins_move_together() -> None:
    bets = [a_bet(market) for market in range(64)]
    windows = [(number // 4, number // 4 + 1) for number in range(64)]
    alone, four = luck_of([bets], 0, seed=1), luck_of([bets], 0, seed=1, windows=windows)
    assert alone is not None and four is not None
    # Sixteen tosses for four each instead of 64 for one: twice as far apart.
    assert four.p95_pnl_e6 == pytest.approx(2 * alone.p95_pnl_e6, rel=0.15)
