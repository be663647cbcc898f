"""P&L as markets were settled, with its band and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backtest.engine.assumptions import Bracket
from backtest.measures.sections import Both, Comparison, CurvePoint, Money, Rival
from backtest.pictures.canvas import BLUE, GREEN, INK, MUTED, PURPLE, RED, figure_of, panel, usd
from backtest.pictures.labels import LineEnd, heading, label_ends, note

MONEY_CAPTION: Final = (
    "USD, summed up as markets were settled: one step a market, whatever the time between. The "
    "band holds 95% of the curves of markets drawn anew. The others had the strategy's own orders, "
    "but another outcome; the scanner had its own."
)
_HEIGHT_IN: Final = 5.6
_DATES: Final = 6
_LOOKS: Final = {
    Rival.STRATEGY: (INK, 2.2, False),
    Rival.ALWAYS_UP: (BLUE, 1.3, False),
    Rival.COIN_TOSS: (GREEN, 1.3, True),
    Rival.AGAINST: (RED, 1.3, False),
    Rival.SCANNER: (PURPLE, 1.3, True),
}


def draw_money(money: Both[Money], compared: Both[list[Comparison]]) -> Figure:
    """A panel a bracket, on one scale."""
    figure = figure_of(_HEIGHT_IN)
    panels = {
        Bracket.UNCHANGED: panel(figure, (0.065, 0.575, 0.685, 0.36)),
        Bracket.NEXT: panel(figure, (0.065, 0.075, 0.685, 0.36)),
    }
    for bracket, axes in panels.items():
        heading(axes, f"P&L in USD, {bracket}")
        _draw(axes, money.of(bracket).curve, compared.of(bracket))
    limits = [axes.get_ylim() for axes in panels.values() if axes.lines]
    for bracket, axes in panels.items():
        if not axes.lines:
            continue
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        curves = _curves(money.of(bracket).curve, compared.of(bracket))
        label_ends(axes, axes.get_xlim()[1], [_end(rival, curve) for rival, curve in curves])
    return figure


def _curves(
    curve: Sequence[CurvePoint], compared: Sequence[Comparison]
) -> list[tuple[Rival, Sequence[CurvePoint]]]:
    others: list[tuple[Rival, Sequence[CurvePoint]]] = [
        (line.rival, line.curve)
        for line in compared
        if line.rival is not Rival.STRATEGY and line.curve
    ]
    return [*others, (Rival.STRATEGY, curve)] if curve else others


def _draw(axes: Axes, curve: Sequence[CurvePoint], compared: Sequence[Comparison]) -> None:
    curves = _curves(curve, compared)
    if not curves:
        axes.set_yticks([])
        axes.set_xticks([])
        note(axes, "nothing was bought of which is known what it paid")
        return
    times = sorted({point.at_ms for _, points in curves for point in points})
    places = {at_ms: place for place, at_ms in enumerate(times, start=1)}
    axes.axhline(0, color=MUTED, linewidth=0.9)
    axes.spines["bottom"].set_visible(False)
    _draw_band(axes, curve, places)
    for rival, points in curves:
        colour, width, dashed = _LOOKS[rival]
        axes.plot(
            [0, *(places[point.at_ms] for point in points), len(times) + 1],
            [0, *(point.pnl_e6 / 1e6 for point in points), points[-1].pnl_e6 / 1e6],
            color=colour,
            linewidth=width,
            linestyle=(0, (4, 2)) if dashed else "-",
            drawstyle="steps-post",
        )
    axes.set_xlim(0, len(times) + 1)
    every = max(1, -(-len(times) // _DATES))
    shown = range(1, len(times) + 1, every)
    axes.set_xticks(list(shown), [_date(times[place - 1]) for place in shown])
    axes.tick_params("x", labelsize=8)


def _draw_band(axes: Axes, curve: Sequence[CurvePoint], places: dict[int, int]) -> None:
    known = [
        (places[point.at_ms], point.low_e6 / 1e6, point.high_e6 / 1e6)
        for point in curve
        if point.low_e6 is not None and point.high_e6 is not None
    ]
    if known:
        # The last step is as wide as the others.
        end, low, high = known[-1]
        xs, lows, highs = zip(*known, (end + 1, low, high), strict=True)
        axes.fill_between(xs, lows, highs, color=INK, alpha=0.1, linewidth=0, step="post")


def _end(rival: Rival, curve: Sequence[CurvePoint]) -> LineEnd:
    colour, _, dashed = _LOOKS[rival]
    pnl_e6 = curve[-1].pnl_e6
    return LineEnd(y=pnl_e6 / 1e6, text=f"{rival} {usd(pnl_e6)}", colour=colour, dashed=dashed)


def _date(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%d %b %H:%M}"
