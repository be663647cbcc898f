"""Bars side by side, one a class of values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from executor.console.charts.scale import Scale

_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 26, 24
_LABELS_MAX: Final = 8


def bar_chart(
    bars: Sequence[tuple[str, float]],
    *,
    title: str,
    y_label: str,
    width: int = 480,
    height: int = 140,
) -> Markup:
    """One bar for each (name, value of zero or more); what each is, a screen reader is told."""
    most = max((value for _, value in bars), default=0)
    told = ", ".join(f"{name}: {value:g}" for name, value in bars if value) or "none"
    parts = [
        Markup(
            '<svg class="chart" role="img" viewBox="0 0 {} {}"><title>{}</title>'
            '<desc>{}: {}</desc><text class="chart-text" x="4" y="14">{}</text>'
        ).format(width, height, title, y_label, told, y_label)
    ]
    if most > 0:
        y = Scale(0, most, 0, height - _TOP - _BOTTOM)
        apart = (width - _LEFT - _RIGHT) / len(bars)
        every = -(-len(bars) // _LABELS_MAX)
        for place, (name, value) in enumerate(bars):
            tall, left = y.at(value), round(_LEFT + place * apart, 1)
            if value:
                parts.append(_bar(left, height - _BOTTOM - tall, round(apart * 0.8, 1), tall))
            if place % every == 0:
                middle = round(left + apart * 0.4, 1)
                parts.append(_text(middle, height - 8, name))
    else:
        parts.append(_text(width / 2, height / 2, "nothing to show yet"))
    return Markup("").join(parts) + Markup("</svg>")


def share_bar(share: float, kind: str) -> Markup:
    """A bar as wide as `share` of its box, from 0 to 1; `kind` is the class that colours it. The
    number beside it says the same, so nobody needs to be told of it."""
    wide = round(100 * min(max(share, 0.0), 1.0), 1)
    return Markup(
        '<svg class="share-bar" aria-hidden="true" viewBox="0 0 100 10"'
        ' preserveAspectRatio="none"><rect class="share-bar-{}" width="{}" height="10"/></svg>'
    ).format(kind, wide)


def _bar(x: float, y: float, wide: float, tall: float) -> Markup:
    bar = Markup('<rect class="chart-bar" x="{}" y="{}" width="{}" height="{}"/>')
    return bar.format(x, round(y, 1), wide, tall)


def _text(x: float, y: float, text: str) -> Markup:
    shown = Markup('<text class="chart-text" x="{}" y="{}" text-anchor="middle">{}</text>')
    return shown.format(round(x, 1), round(y, 1), text)
