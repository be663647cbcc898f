"""What a sweep found, made by hand."""

from __future__ import annotations

import random

from backtest.measures.sections import Both
from backtest.sweep.result import Agreement, Half, Luck, SweepResult, SweptAxis, SweptPoint


def a_sweep(trials: int = 200, *, luck: bool = True) -> SweepResult:
    """Of one axis; its points are by chance, the same ones every time."""
    chance = random.Random(1)
    points = [
        SweptPoint(
            parameters={"imbalance_min": number / trials},
            train=_halves(chance.gauss(1, 3)),
            test=_halves(chance.gauss(0, 3)),
        )
        for number in range(trials)
    ]
    best = sorted(range(trials), key=lambda index: -points[index].train.next.pnl_e6)
    return SweepResult(
        strategy="book_imbalance_crypto",
        axes=[SweptAxis(name="imbalance_min", values=(0.1, 0.5), default=0.5)],
        is_grid=True,
        trials=trials,
        train_share=0.5,
        train_blocks=9,
        test_blocks=9,
        train_markets=9,
        test_markets=9,
        split_at_ms=1_700_000_000_000,
        points=points,
        best=best,
        default=SweptPoint(
            parameters={"imbalance_min": 0.5}, train=_halves(0.5), test=_halves(-0.5)
        ),
        luck=Both(_luck(8), _luck(7)) if luck else None,
        agreement=Agreement(points=2, orders=36),
        twin=True,
    )


def _halves(pnl: float) -> Both[Half]:
    return Both(_half(pnl), _half(pnl - 0.4))


def _half(pnl: float) -> Half:
    return Half(
        orders=9,
        filled=9,
        settled=9,
        spent_e6=9_900_000,
        pnl_e6=round(pnl * 1e6),
        return_on_stake=pnl / 9.9,
    )


def _luck(best: float) -> Luck:
    return Luck(
        draws=1_000,
        best_pnl_e6=round(best * 1e6),
        median_pnl_e6=6_000_000,
        p95_pnl_e6=8_000_000,
        reached_share=0.004,
        quantiles_e6=tuple(3_000_000 + 60_000 * step for step in range(101)),
    )
