"""The edge and its decay: what a signal predicts, and what is left of it after costs."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan
from typing import Final

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backtest.engine.assumptions import Bracket
from backtest.measures.sections import Both, Estimate, Markouts, Worth
from backtest.pictures.canvas import BLUE, INK, MUTED, RED, figure_of, panel
from backtest.pictures.labels import LineEnd, heading, label_ends, note

EDGE_CAPTION: Final = (
    "Means in ticks a share, with 95% intervals over blocks of markets. After costs: the mid so "
    "long after a share was bought less "
    "the price paid and the fee; at resolution what a share paid instead of the mid, on a scale of "
    "its own. Circles: unchanged; squares: next."
)
_HEIGHT_IN: Final = 5.2
_APART: Final = 0.13
"""Between the bars of one time."""


class _Series(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    colour: str
    dashed: bool
    soon: list[Estimate]
    last: Estimate | None = None
    """At resolution."""


def draw_edge(worth: Worth) -> Figure:
    """Two rows: all signals, and the filled orders."""
    figure = figure_of(_HEIGHT_IN)
    times = [row.after_s for row in worth.moved]
    moved = _Series(
        name="mid since the signal",
        colour=BLUE,
        dashed=False,
        soon=[row.moved_ticks for row in worth.moved],
    )
    signals = [moved, *_after_costs(worth.signals_markouts)]
    filled = [*_before_fee(worth.filled_markouts), *_after_costs(worth.filled_markouts)]
    for title, series, bottom in (
        ("All signals, priced at their arrival", signals, 0.58),
        ("Filled orders", filled, 0.08),
    ):
        soon = panel(figure, (0.055, bottom, 0.44, 0.345))
        last = panel(figure, (0.78, bottom, 0.2, 0.345))
        heading(soon, f"{title}: ticks a share")
        heading(last, "At resolution")
        _draw_soon(soon, series, times, worth.hurdle_ticks if series is signals else None)
        _draw_last(last, series)
    return figure


def _after_costs(markouts: Both[Markouts]) -> list[_Series]:
    return [
        _series(f"after costs, {bracket}", RED, bracket, [row.mid_after_fee for row in rows])
        for bracket in Bracket
        if (rows := markouts.of(bracket).rows)
    ]


def _before_fee(markouts: Both[Markouts]) -> list[_Series]:
    return [
        _series(f"before the fee, {bracket}", BLUE, bracket, [row.mid for row in rows])
        for bracket in Bracket
        if (rows := markouts.of(bracket).rows)
    ]


def _series(name: str, colour: str, bracket: Bracket, estimates: list[Estimate]) -> _Series:
    """The last estimate is that at resolution."""
    return _Series(
        name=name,
        colour=colour,
        dashed=bracket is Bracket.NEXT,
        soon=estimates[:-1],
        last=estimates[-1],
    )


def _draw_soon(
    axes: Axes, series: Sequence[_Series], times: Sequence[int], hurdle_ticks: float | None
) -> None:
    _ground(axes)
    axes.set_xticks(range(len(times)), [f"{after_s} s" for after_s in times])
    axes.set_xlim(-0.45, len(times) - 0.55)
    shown = [one for one in series if any(estimate.value is not None for estimate in one.soon)]
    ends = []
    for index, one in enumerate(shown):
        shift = (index - (len(shown) - 1) / 2) * _APART
        values = [nan if estimate.value is None else estimate.value for estimate in one.soon]
        axes.plot(
            [place + shift for place in range(len(values))],
            values,
            color=one.colour,
            linewidth=1.2,
            linestyle=(0, (4, 2)) if one.dashed else "-",
        )
        for place, estimate in enumerate(one.soon):
            _draw_estimate(axes, place + shift, estimate, one)
        last = next(value for value in reversed(values) if not isnan(value))
        ends.append(LineEnd(y=last, text=one.name, colour=one.colour, dashed=one.dashed))
    if not shown:
        axes.set_yticks([])
        note(axes, "nothing to look at")
        return
    if hurdle_ticks is not None:
        _draw_hurdle(axes, hurdle_ticks)
    axes.set_ylim(*axes.get_ylim())
    label_ends(axes, len(times) - 0.75, ends)


def _draw_last(axes: Axes, series: Sequence[_Series]) -> None:
    _ground(axes)
    shown = [one for one in series if one.last is not None and one.last.value is not None]
    axes.set_xlim(-0.6, max(1, len(shown)) - 0.4)
    axes.set_xticks([])
    for index, one in enumerate(shown):
        if one.last is not None:
            _draw_estimate(axes, index, one.last, one)
    if not shown:
        axes.set_yticks([])
        note(axes, "not known")


def _draw_estimate(axes: Axes, x: float, estimate: Estimate, one: _Series) -> None:
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot([x, x], [estimate.low, estimate.high], color=one.colour, linewidth=1.4)
    axes.plot(
        [x],
        [estimate.value],
        marker="s" if one.dashed else "o",
        color=one.colour,
        markersize=4.5,
    )


def _ground(axes: Axes) -> None:
    axes.axhline(0, color=MUTED, linewidth=0.9)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params("x", length=0)


def _draw_hurdle(axes: Axes, hurdle_ticks: float) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, hurdle_ticks + (high - low) * 0.15))
    axes.axhline(hurdle_ticks, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.annotate(
        f"what an entry costs: {hurdle_ticks:.1f}",
        (0.01, hurdle_ticks),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8,
    )
