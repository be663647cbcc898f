"""What the best of as many points would have made by luck: winners drawn anew from prices. Pure.

The null: prices are right, so each order wins with the probability that the book it was filled from
says, and no point is better than another. A market has one fate a draw, a number u from 0 to 1: an
order for Up wins where u is below its probability, one for Down where u is above one less it. So
all points meet the same fates, as they do in truth, and each order is fair at its own price.

Markets of the same window have one fate, because coins move together: drawn each for itself, the
best of noise would pass for more than luck three times as often as it should (4 coins, correlated
by 0.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backtest.sweep.play import Bought
from backtest.sweep.result import Luck

DRAWS: Final = 1_000
_CELLS_MAX: Final = 4_000_000
"""Orders times draws at once: 32 MB."""


def luck_of(
    points: Sequence[Sequence[Bought]],
    best_pnl_e6: int,
    seed: int,
    windows: Sequence[tuple[int, int]] = (),
) -> Luck | None:
    """Of the points' settled orders of the train half, one bracket; points without any cannot be
    the best. None where no point has any.

    `windows`: (start, end) of each market by its number; without them, none has another's.
    """
    # Many points trade alike; each way of trading need be drawn once.
    ways = list({tuple(bought): None for bought in points if bought})
    if not ways:
        return None
    orders = [order for way in ways for order in way]
    starts = np.cumsum([0, *(len(way) for way in ways[:-1])])
    first: dict[tuple[int, int], int] = {}
    fate_of = [first.setdefault(window, number) for number, window in enumerate(windows)]
    fated = [fate_of[order.market] if windows else order.market for order in orders]
    numbers, market = np.unique(fated, return_inverse=True)
    share = np.array([order.win_share for order in orders])
    is_up = np.array([order.is_up for order in orders])
    below = np.where(is_up, share, 1 - share)[:, None]
    size = np.array([order.size_e6 for order in orders], dtype=np.float64)
    cost = np.add.reduceat(np.array([order.cost_e6 for order in orders], dtype=np.float64), starts)
    fates = np.random.default_rng(seed).random((DRAWS, len(numbers)))
    best = np.empty(DRAWS)
    step = max(1, _CELLS_MAX // len(orders))
    for begin in range(0, DRAWS, step):
        fate = fates[begin : begin + step].T[market]
        wins = (fate < below) == is_up[:, None]
        paid = np.add.reduceat(wins * size[:, None], starts, axis=0)
        best[begin : begin + step] = (paid - cost[:, None]).max(axis=0)
    return _luck(np.sort(best), best_pnl_e6)


def _luck(best: NDArray[np.float64], best_pnl_e6: int) -> Luck:
    shares = np.linspace(0, 1, 101)
    quantiles = tuple(round(each) for each in np.quantile(best, shares).tolist())
    return Luck(
        draws=len(best),
        best_pnl_e6=best_pnl_e6,
        median_pnl_e6=quantiles[50],
        p95_pnl_e6=quantiles[95],
        reached_share=float(np.mean(best >= best_pnl_e6)),
        quantiles_e6=quantiles,
    )
