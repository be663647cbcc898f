"""What a scanner earned, by the second at which it happened to begin, beside the stream."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backtest.engine.assumptions import Bracket
from backtest.measures.sections import Both
from backtest.pictures.canvas import BLUE, MUTED, RED, figure_of, panel, signed
from backtest.pictures.labels import LineEnd, heading, label_ends, note


def draw_phases(
    phases: Both[Sequence[float]], together: Both[float | None], stream: Both[float | None]
) -> Figure:
    """Returns on stake (0.05 is 5%): of each phase of a scanner, of all together, of the stream."""
    figure = figure_of(4.6)
    boxes = {Bracket.UNCHANGED: 0.59, Bracket.NEXT: 0.11}
    every = [100 * value for bracket in Bracket for value in phases.of(bracket)]
    every += [100 * value for bracket in Bracket if (value := stream.of(bracket)) is not None]
    low, high = min([*every, 0]) - 8, max([*every, 0]) + 8
    for bracket, bottom in boxes.items():
        axes = panel(figure, (0.07, bottom, 0.7, 0.33))
        heading(axes, f"Return on stake, %, {bracket}")
        axes.set(ylim=(low, high))
        axes.axhline(0, color=MUTED, linewidth=0.9)
        axes.spines["bottom"].set_visible(False)
        _draw(axes, phases.of(bracket), together.of(bracket), stream.of(bracket))
    figure.axes[-1].set_xlabel("scanners, from the worst to the best second to begin at")
    return figure


def _draw(
    axes: Axes, phases: Sequence[float], together: float | None, stream: float | None
) -> None:
    axes.set_xticks([])
    if not phases:
        note(axes, "no scanner bought anything")
        return
    ordered = [100 * value for value in sorted(phases)]
    axes.set_xlim(-0.7, len(ordered) - 0.3)
    for place, height in enumerate(ordered):
        axes.plot([place, place], [0, height], color=BLUE, linewidth=1)
    axes.plot(range(len(ordered)), ordered, "o", color=BLUE, markersize=4)
    ends = [LineEnd(y=ordered[-1], text="a scanner each", colour=BLUE)]
    for name, value, colour, dashed in (
        ("all of them", together, BLUE, True),
        ("the stream", stream, RED, False),
    ):
        if value is not None:
            look = (0, (4, 2)) if dashed else "-"
            axes.axhline(100 * value, color=colour, linewidth=1.5, linestyle=look)
            text = f"{name} {signed(100 * value, 0)}%"
            ends.append(LineEnd(y=100 * value, text=text, colour=colour, dashed=dashed))
    label_ends(axes, axes.get_xlim()[1], ends)
