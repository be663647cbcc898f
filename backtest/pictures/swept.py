"""A sweep: every point's train half against its test half, and what luck alone would have found."""

from __future__ import annotations

from math import nan
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from backtest.engine.assumptions import Bracket
from backtest.pictures.canvas import BLUE, INK, MUTED, RED, figure_of, panel, usd
from backtest.pictures.labels import LineEnd, heading, label_ends, note
from backtest.sweep.result import Luck, SweepResult, SweptPoint

SWEEP_CAPTION: Final = (
    "P&L in USD of each set of parameters: to the right where it earned more in the train half, up "
    "where it earned more in the test half. Above the dotted line are those that did better there."
)
LUCK_CAPTION: Final = (
    "How often the best of as many points would have earned at least so much in the train half, if "
    "prices were right and no point were any good: winners drawn anew from the prices."
)
_BEST: Final = 10
_DOTS_A_SIDE: Final = 240
"""Points nearer to each other than this are one dot anyway."""
_BOXES: Final = {
    Bracket.UNCHANGED: (0.07, 0.18, 0.28, 0.68),
    Bracket.NEXT: (0.57, 0.18, 0.28, 0.68),
}


def draw_sweep(sweep: SweepResult) -> Figure:
    """A panel a bracket."""
    figure = figure_of(3.3)
    for bracket, box in _BOXES.items():
        axes = panel(figure, box)
        heading(axes, f"Train and test half, {bracket}")
        axes.set_xlabel("P&L in the train half")
        _draw_points(axes, sweep, bracket)
    figure.axes[0].set_ylabel("P&L in the test half")
    return figure


def draw_luck(sweep: SweepResult) -> Figure:
    """A panel a bracket."""
    figure = figure_of(2.9)
    for bracket, box in _BOXES.items():
        axes = panel(figure, box)
        heading(axes, f"The best of {sweep.trials:,} by luck, {bracket}")
        if sweep.luck is None:
            axes.set_xticks([])
            axes.set_yticks([])
            note(axes, "no order was settled")
        else:
            _draw_luck(axes, sweep.luck.of(bracket))
    figure.axes[0].set_ylabel("% of the draws")
    return figure


def _draw_points(axes: Axes, sweep: SweepResult, bracket: Bracket) -> None:
    axes.grid(visible=True, axis="both")
    every = _halves(sweep.points, bracket)
    best = _halves(sweep.best_points[:_BEST], bracket)
    default = _halves([sweep.default], bracket)
    together = np.concatenate((every, default, [[0.0, 0.0]]))
    low, high = together.min(axis=0), together.max(axis=0)
    room = np.maximum((high - low) * 0.06, 0.05)
    low, high = low - room, high + room
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.axhline(0, color=MUTED, linewidth=0.9)
    axes.axvline(0, color=MUTED, linewidth=0.9)
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    # All as one line of many ends, which is a fraction of the bytes of a mark each.
    step = (high - low) / _DOTS_A_SIDE
    dots = np.unique(np.round((every - low) / step), axis=0) * step + low
    pairs = np.repeat(dots, 3, axis=0)
    pairs[2::3] = nan
    axes.plot(pairs[:, 0], pairs[:, 1], color=BLUE, linewidth=3, alpha=0.55)
    axes.plot(best[:, 0], best[:, 1], "D", color=RED, markersize=4)
    axes.plot(default[:, 0], default[:, 1], "o", mfc="none", mec=INK, mew=1.4, markersize=8)
    ends = [
        LineEnd(y=float(np.median(every[:, 1])), text="all tried", colour=BLUE),
        LineEnd(y=float(default[0, 1]), text="as it is now", colour=INK),
    ]
    if len(best):
        name = f"best {len(best)} in train"
        ends.append(LineEnd(y=float(np.median(best[:, 1])), text=name, colour=RED))
    label_ends(axes, high[0], ends, fontsize=8)


def _halves(points: list[SweptPoint], bracket: Bracket) -> NDArray[np.float64]:
    """(points, 2): train and test P&L in USD."""
    rows = [(each.train.of(bracket).pnl_e6, each.test.of(bracket).pnl_e6) for each in points]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 2) / 1e6


def _draw_luck(axes: Axes, luck: Luck) -> None:
    xs = [pnl_e6 / 1e6 for pnl_e6 in luck.quantiles_e6]
    ys = [100 * (1 - index / (len(xs) - 1)) for index in range(len(xs))]
    best = luck.best_pnl_e6 / 1e6
    low, high = min(*xs, best), max(*xs, best)
    room = max((high - low) * 0.06, 0.05)
    axes.set(xlim=(low - room, high + room), ylim=(0, 104))
    axes.set_xlabel("P&L in the train half, USD")
    axes.fill_between([low - room, *xs], [100, *ys], color=BLUE, alpha=0.16, linewidth=0)
    axes.plot([low - room, *xs, high + room], [100, *ys, 0], color=BLUE)
    axes.axvline(best, color=RED, linewidth=1.6)
    share = 100 * luck.reached_share
    reached = "<1" if 0 < share < 1 else f"{share:.0f}"
    label_ends(
        axes,
        high + room,
        [
            LineEnd(y=88, text=f"real best {usd(luck.best_pnl_e6)}", colour=RED),
            LineEnd(y=60, text=f"luck's best: {reached}%", colour=BLUE),
        ],
        fontsize=8,
    )
