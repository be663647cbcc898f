"""Coins move together: what luck makes of markets of one window."""

from __future__ import annotations

import pytest

from backtest.sweep.luck import luck_of
from backtest.sweep.play import Bought

BETS = [
    Bought(market, is_up=True, win_share=0.5, size_e6=1_000_000, cost_e6=500_000)
    for market in range(64)
]


def test_markets_of_one_window_have_one_fate() -> None:
    together = [(number // 4, number // 4 + 1) for number in range(64)]
    alone = luck_of([BETS], 0, seed=1)
    four = luck_of([BETS], 0, seed=1, windows=together)
    assert alone is not None and four is not None
    # Sixteen tosses for four each instead of 64 for one: twice as far apart.
    assert alone.p95_pnl_e6 == pytest.approx(1.645 * 0.5e6 * 8, rel=0.15)
    assert four.p95_pnl_e6 == pytest.approx(1.645 * 0.5e6 * 16, rel=0.15)
