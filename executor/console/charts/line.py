"""Lines over time, with axes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Final

import msgspec
from markupsafe import Markup

from executor.console.charts.scale import Scale, nice_ticks, usable

LINES_MAX: Final = 4
"""So many are told apart, by colour and by dashes."""
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")
_CHUNKS: Final = 150
"""Of a long line so many parts are drawn, each by its lowest and its highest value."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 20, 26, 24
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_APART_MS: Final = (
    *(_MINUTE_MS, 2 * _MINUTE_MS, 5 * _MINUTE_MS, 10 * _MINUTE_MS, 15 * _MINUTE_MS),
    *(30 * _MINUTE_MS, 3_600_000, 2 * 3_600_000, 3 * 3_600_000, 6 * 3_600_000, 12 * 3_600_000),
    *(_DAY_MS, 2 * _DAY_MS, 7 * _DAY_MS, 30 * _DAY_MS),
)


_SPARKLINE: Final = Markup(
    '<svg class="sparkline" role="img" viewBox="0 0 80 20"><title>{}</title>'
    '<path class="chart-line chart-line-0" fill="none" d="{}"/></svg>'
)


class Line(msgspec.Struct, frozen=True):
    """One line: what it is called, and (epoch ms, value) in order of time; None is a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


def line_chart(
    series: Sequence[Line], *, title: str, y_label: str, width: int = 400, height: int = 160
) -> Markup:
    """At most `LINES_MAX` lines over UTC time; the height of the picture is `height` of `width`.

    `y_label` names what is measured, and its unit.
    """
    lines = [Line(each.name, _thinned(each.points)) for each in series[:LINES_MAX]]
    drawn = [(at, value) for each in lines for at, value in each.points if _is_there(value)]
    head = _head(lines, title, y_label, width, height)
    if not drawn:
        nothing = Markup(
            '<text class="chart-text" x="{}" y="{}" text-anchor="middle">nothing to show yet</text>'
        ).format(width // 2, height // 2)
        return head + nothing + Markup("</svg>")
    ticks = nice_ticks(*_bounds([value for _, value in drawn]))
    y = Scale(ticks[0], ticks[-1], height - _BOTTOM, _TOP)
    first_ms, last_ms = _bounds([at for at, _ in drawn])
    if last_ms <= first_ms:
        first_ms, last_ms = first_ms - _MINUTE_MS, last_ms + _MINUTE_MS
    x = Scale(first_ms, last_ms, _LEFT, width - _RIGHT)
    parts = [head, *_value_axis(ticks, y, width), *_time_axis(x, height)]
    for number, each in enumerate(lines):
        parts.append(_path(number, each.points, x, y))
    parts.append(_legend(lines, width))
    return Markup("").join(parts) + Markup("</svg>")


def sparkline(values: Sequence[float | None], title: str) -> Markup:
    """A line without axes, as high as a line of text, evenly apart in time."""
    there = usable(values)
    path = ""
    if len(there) > 1:
        # In whole places and by hand: there is one in each row of a long table, again and again.
        low, high, apart = min(there), max(there), 78 / (len(values) - 1)
        tall = 16 / (high - low or 1)
        path = "M" + "L".join(
            f"{1 + place * apart:.0f} {18 - (value - low) * tall:.0f}"
            for place, value in enumerate(values)
            if value is not None and isfinite(value)
        )
    return _SPARKLINE.format(title, path)


def _head(lines: Sequence[Line], title: str, y_label: str, width: int, height: int) -> Markup:
    told = "; ".join(_told(each) for each in lines) or "no data"
    return Markup(
        '<svg class="chart" role="img" viewBox="0 0 {} {}"><title>{}</title>'
        "<desc>{}, over time (UTC): {}</desc>"
        '<text class="chart-text" x="4" y="14">{}</text>'
    ).format(width, height, title, y_label, told, y_label)


def _told(line: Line) -> str:
    there = usable([value for _, value in line.points])
    if not there:
        return f"{line.name}: no data"
    return f"{line.name}: last {there[-1]:.6g}, from {min(there):.6g} to {max(there):.6g}"


def _value_axis(ticks: Sequence[float], y: Scale, width: int) -> list[Markup]:
    row = Markup(
        '<line class="chart-grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="chart-text" x="{}" y="{}" text-anchor="end">{}</text>'
    )
    return [
        row.format(_LEFT, width - _RIGHT, y.at(at), y.at(at), _LEFT - 5, y.at(at) + 4, f"{at:g}")
        for at in ticks
    ]


def _time_axis(x: Scale, height: int) -> list[Markup]:
    length_ms = x.high - x.low
    apart_ms = next((each for each in _APART_MS if length_ms / each <= 6), _APART_MS[-1])
    text = Markup('<text class="chart-text" x="{}" y="{}" text-anchor="middle">{}</text>')
    at_ms = -(-int(x.low) // apart_ms) * apart_ms
    parts: list[Markup] = []
    while at_ms <= x.high and len(parts) < 12:
        parts.append(text.format(x.at(at_ms), height - 8, _moment(at_ms, days=apart_ms >= _DAY_MS)))
        at_ms += apart_ms
    return parts


def _moment(at_ms: float, *, days: bool) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%m-%d" if days else "%H:%M")


def _path(number: int, points: Sequence[tuple[float, float | None]], x: Scale, y: Scale) -> Markup:
    """Whatever is alone between two gaps is a dash: a line of one point cannot be seen."""
    steps: list[str] = []
    apart = True
    for place, (at, value) in enumerate(points):
        if value is None or not isfinite(value):
            apart = True
            continue
        at_x, at_y = x.at(at), y.at(value)
        steps.append(f"{'M' if apart else 'L'}{at_x} {at_y}")
        following = points[place + 1][1] if place + 1 < len(points) else None
        if apart and not _is_there(following):
            steps[-1] = f"M{round(at_x - 2, 1)} {at_y}h4"
        apart = False
    dashes = Markup(' stroke-dasharray="{}"').format(_DASHES[number]) if _DASHES[number] else ""
    path = Markup('<path class="chart-line chart-line-{}" fill="none" d="{}"{}/>')
    return path.format(number, "".join(steps), dashes)


def _legend(lines: Sequence[Line], width: int) -> Markup:
    """Right above the picture, the last line's at the right end."""
    parts: list[Markup] = []
    right = width - _RIGHT
    for number, each in reversed(list(enumerate(lines))):
        name = each.name if len(each.name) <= 24 else f"{each.name[:23]}…"
        left = right - 7 * len(name) - 26
        parts.append(
            Markup(
                '<path class="chart-line chart-line-{}" fill="none" d="M{} 10h20"{}/>'
                '<text class="chart-text" x="{}" y="14">{}</text>'
            ).format(
                number,
                left,
                Markup(' stroke-dasharray="{}"').format(_DASHES[number]) if number else "",
                left + 24,
                name,
            )
        )
        right = left - 10
    return Markup("").join(parts)


def _thinned(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """Where there are too many to be seen, the lowest and the highest of each part."""
    if len(points) <= 2 * _CHUNKS:
        return list(points)
    kept: list[tuple[float, float | None]] = []
    size = -(-len(points) // _CHUNKS)
    for begin in range(0, len(points), size):
        chunk = points[begin : begin + size]
        there = [(value, at) for at, value in chunk if value is not None and isfinite(value)]
        if len(there) < len(chunk):
            kept.append((chunk[0][0], None))
        if there:
            extremes = sorted({(at, value) for value, at in (min(there), max(there))})
            kept.extend(extremes)
    return kept


def _is_there(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _bounds(values: Sequence[float | None]) -> tuple[float, float]:
    there = usable(values)
    return min(there), max(there)
