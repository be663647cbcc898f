"""Pictures from numbers: well-formed, within their frame, and readable without being seen."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from executor.console.charts.bars import bar_chart, share_bar
from executor.console.charts.line import Line, line_chart, sparkline
from executor.console.charts.scale import nice_ticks

NOON_MS = 1_700_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)  # noqa: S314 - what we have just made


def places(markup: str) -> list[tuple[str, float, float]]:
    """Of all lines with points: the move or line, x, y."""
    return [
        (step, float(x), float(y))
        for path in re.findall(r' d="([^"]*)"', markup)
        for step, x, y in re.findall(r"([ML])([0-9.]+) ([0-9.]+)", path)
    ]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, (0, 2.5, 5, 7.5, 10)),
        (0.2, 9.7, (0, 2.5, 5, 7.5, 10)),
        (-3, 12, (-5, 0, 5, 10, 15)),
        (5, 5, (2, 4, 6, 8)),
        (0, 0, (-0.5, -0.25, 0, 0.25, 0.5)),
        (0.0001, 0.0004, (0.0001, 0.0002, 0.0003, 0.0004)),
    ],
)
def test_ticks_are_round_and_lie_around_the_values(
    low: float, high: float, ticks: tuple[float, ...]
) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)
    assert nice_ticks(low, high)[0] <= low <= high <= nice_ticks(low, high)[-1]


def test_a_line_is_drawn_from_its_first_value_to_its_last_with_times_and_values_beside_it() -> None:
    points = [(NOON_MS + minute * 60_000, float(minute)) for minute in range(11)]
    chart = line_chart([Line("p50", points)], title="Claim", y_label="ms", width=480, height=180)
    drawn = places(chart)
    assert drawn[0] == ("M", 52.0, 156.0)
    assert drawn[10] == ("L", 468.0, 26.0)
    texts = [each.text for each in parsed(chart).iter("text")]
    assert texts[0] == "ms"
    assert {"0", "2.5", "10", "12:00", "12:10"} <= set(texts)
    assert parsed(chart).findtext("title") == "Claim"
    assert "p50: last 10, from 0 to 10" in (parsed(chart).findtext("desc") or "")


def test_a_gap_is_not_bridged_and_a_lone_value_is_still_seen() -> None:
    points = [(NOON_MS, 1.0), (NOON_MS + 1, None), (NOON_MS + 2, 3.0), (NOON_MS + 3, float("nan"))]
    chart = line_chart([Line("x", points)], title="t", y_label="y")
    assert [step for step, _, _ in places(chart)][:2] == ["M", "M"]
    assert chart.count("h0.1") == 2


@pytest.mark.parametrize("points", [[], [(NOON_MS, None)], [(NOON_MS, 5.0)], [(NOON_MS, 0.0)]])
def test_little_or_nothing_is_a_picture_too(points: list[tuple[float, float | None]]) -> None:
    chart = line_chart([Line("x", points)], title="t", y_label="y")
    parsed(chart)
    there = any(value is not None for _, value in points)
    assert ("nothing to show yet" in chart) is not there


def test_a_long_line_keeps_its_extremes_and_stays_small() -> None:
    points = [(NOON_MS + at * 1000.0, float(at % 7)) for at in range(20_000)]
    points[12_345] = (points[12_345][0], 90.0)
    points[12_346] = (points[12_346][0], -90.0)
    chart = line_chart([Line("x", points)], title="t", y_label="y")
    assert len(chart) < 12_000
    assert "from -90 to 90" in chart
    assert len(places(chart)) <= 301


def test_lines_differ_in_more_than_colour_and_their_names_are_shown() -> None:
    lines = [Line(name, [(NOON_MS, 1.0), (NOON_MS + 1, 2.0)]) for name in "abcdef"]
    chart = line_chart(lines, title="t", y_label="y")
    dashes = {path.get("stroke-dasharray") for path in parsed(chart).iter("path")}
    assert dashes == {None, "6 3", "2 3", "8 3 2 3"}
    texts = {each.text for each in parsed(chart).iter("text")}
    assert {"a", "b", "c", "d"} <= texts
    assert "e" not in texts


def test_foreign_text_is_escaped_in_every_picture() -> None:
    bad = "<script>alert(1)</script>\"'"
    points = [(NOON_MS, 1.0), (NOON_MS + 1, 2.0)]
    for chart in (
        line_chart([Line(bad, points)], title=bad, y_label=bad),
        sparkline([1.0, 2.0], title=bad),
        bar_chart([(bad, 1.0)], title=bad, y_label=bad),
    ):
        assert "<script" not in chart
        assert parsed(chart).findtext("title") == bad


def test_no_picture_has_a_style_or_a_handler() -> None:
    points = [(NOON_MS, 1.0), (NOON_MS + 1, 2.0)]
    for chart in (
        line_chart([Line("a", points)], title="t", y_label="y"),
        sparkline([1.0, None, 2.0], title="t"),
        bar_chart([("a", 1.0)], title="t", y_label="y"),
        share_bar(2.0, "ask"),
    ):
        names = {name for each in parsed(chart).iter() for name in each.attrib}
        assert not {name for name in names if name == "style" or name.startswith("on")}


def test_bars_are_as_tall_as_their_values() -> None:
    chart = bar_chart([("a", 1.0), ("b", 4.0), ("c", 0.0)], title="t", y_label="books", height=140)
    tall = [float(each.get("height", "")) for each in parsed(chart).iter("rect")]
    assert tall == [22.5, 90.0]
    assert "a: 1, b: 4" in (parsed(chart).findtext("desc") or "")
    assert "nothing to show yet" in bar_chart([], title="t", y_label="books")


def test_a_share_is_kept_within_its_box() -> None:
    assert 'width="0.0"' in share_bar(-1.0, "bid")
    assert 'width="100.0"' in share_bar(7.0, "bid")
