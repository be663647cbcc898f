"""Names of lines, written at their ends instead of in a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from matplotlib.axes import Axes

from backtest.pictures.canvas import MUTED

_LINE_POINTS: Final = 12.5
"""From one label to the next."""


class LineEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Where a line ends, and what it is called."""

    y: float
    text: str
    colour: str
    dashed: bool = False


def label_ends(axes: Axes, x: float, ends: Sequence[LineEnd], *, fontsize: float = 8.5) -> None:
    """Write names right of `x` (data), at their line's height, moved apart where they would touch.

    A short stroke in the line's own look leads to each. The axes must have their final limits.
    """
    if not ends:
        return
    ordered = sorted(ends, key=lambda end: end.y)
    low, high = axes.get_ylim()
    a_point = (high - low) / (axes.get_window_extent().height * 72 / axes.figure.dpi)
    heights = spread([end.y for end in ordered], _LINE_POINTS * a_point, low, high)
    for end, height in zip(ordered, heights, strict=True):
        offset = (height - end.y) / a_point
        look = (0, (2.2, 1.6)) if end.dashed else "-"
        axes.annotate(
            "",
            (x, end.y),
            xytext=(15, offset),
            textcoords="offset points",
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "linewidth": 1.2,
                "linestyle": look,
                "shrinkA": 0,
                "shrinkB": 4,
            },
            annotation_clip=False,
        )
        axes.annotate(
            end.text,
            (x, end.y),
            xytext=(18, offset),
            textcoords="offset points",
            va="center_baseline",
            fontsize=fontsize,
            annotation_clip=False,
        )


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Heights near the `wanted` (rising), at least `apart`, within low and high if they fit."""
    placed: list[float] = []
    for height in wanted:
        least = placed[-1] + apart if placed else low
        placed.append(max(height, least))
    over = placed[-1] - high
    if over > 0:
        placed[-1] -= over
        for index in range(len(placed) - 2, -1, -1):
            placed[index] = min(placed[index], placed[index + 1] - apart)
    return placed


def note(axes: Axes, text: str) -> None:
    """In the middle of a panel that has nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def heading(axes: Axes, text: str) -> None:
    """What a panel shows, above it on the left."""
    axes.set_title(text, loc="left", fontsize=9.5, fontweight="bold", pad=8)
