"""What waiting costs: how far the price is after a delay, and what the limit then refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan, nan
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backtest.engine.assumptions import Bracket
from backtest.measures.sections import DelayLine, Waited, Waiting
from backtest.pictures.canvas import BLUE, PURPLE, RED, figure_of, panel
from backtest.pictures.labels import LineEnd, heading, label_ends, note

WAITING_CAPTION: Final = (
    "Delays are not to scale. Bands hold the middle half of the signals. The limit refuses where "
    "the ask is above it; a check both ways also where the ask is as far below the one decided on. "
    "Unchanged: the last recorded book at or before the arrival; next: the first one after it. "
    "Within the time between two recorded books unchanged cannot see a move."
)
_HEIGHT_IN: Final = 5.6
_COLOURS: Final = {Bracket.UNCHANGED: BLUE, Bracket.NEXT: RED}


def draw_waiting(waiting: Waiting) -> Figure:
    """Two panels over the delays, both brackets in each."""
    figure = figure_of(_HEIGHT_IN)
    upper = panel(figure, (0.055, 0.6, 0.7, 0.345))
    lower = panel(figure, (0.055, 0.09, 0.7, 0.345))
    heading(upper, "How far the ask is from the one decided on, %")
    heading(lower, "Signals refused by the limit, and by a check both ways, %")
    delays = [line for line in waiting.delays if line.waited.unchanged.n or line.waited.next.n]
    for axes in (upper, lower):
        axes.set_xlabel("seconds after the decision")
        axes.set_xticks(range(len(delays)), [f"{line.delay_s:g}" for line in delays])
    if not delays:
        for axes in (upper, lower):
            axes.set_yticks([])
            note(axes, "no signal to look at")
        return figure
    _draw_deviation(upper, delays)
    _draw_refusals(lower, delays)
    return figure


def _draw_deviation(axes: Axes, delays: Sequence[DelayLine]) -> None:
    ends: list[LineEnd] = []
    for bracket, colour in _COLOURS.items():
        rows = [line.waited.of(bracket) for line in delays]
        medians = _values(rows, lambda row: row.median_pct)
        axes.fill_between(
            range(len(rows)),
            _values(rows, lambda row: row.p25_pct),
            _values(rows, lambda row: row.p75_pct),
            color=colour,
            alpha=0.16,
            linewidth=0,
        )
        _line(axes, medians, colour, bracket)
        ends += _end(medians, f"median, {bracket}", colour, bracket)
    axes.set_ylim(bottom=0)
    axes.set_xlim(-0.3, len(delays) - 0.8)
    label_ends(axes, len(delays) - 1, ends)


def _draw_refusals(axes: Axes, delays: Sequence[DelayLine]) -> None:
    ends: list[LineEnd] = []
    kinds: tuple[tuple[str, str, Callable[[Waited], float | None]], ...] = (
        ("limit", BLUE, lambda row: row.limit_refuses),
        ("both ways", PURPLE, lambda row: row.both_ways_refuse),
    )
    for name, colour, value in kinds:
        for bracket in Bracket:
            rows = [line.waited.of(bracket) for line in delays]
            shares = [100 * share for share in _values(rows, value)]
            _line(axes, shares, colour, bracket)
            ends += _end(shares, f"{name}, {bracket}", colour, bracket)
    axes.set_ylim(0, 100)
    axes.set_xlim(-0.3, len(delays) - 0.8)
    label_ends(axes, len(delays) - 1, ends)


def _values(rows: Sequence[Waited], value: Callable[[Waited], float | None]) -> list[float]:
    found = [value(row) for row in rows]
    return [nan if number is None else number for number in found]


def _line(axes: Axes, ys: Sequence[float], colour: str, bracket: Bracket) -> None:
    look = "-" if bracket is Bracket.UNCHANGED else (0, (4, 2))
    axes.plot(range(len(ys)), ys, color=colour, linestyle=look, marker="o", markersize=2.5)


def _end(ys: Sequence[float], text: str, colour: str, bracket: Bracket) -> list[LineEnd]:
    """At what is known last; none where nothing is."""
    known = [y for y in ys if not isnan(y)]
    dashed = bracket is Bracket.NEXT
    return [LineEnd(y=y, text=text, colour=colour, dashed=dashed) for y in known[-1:]]
