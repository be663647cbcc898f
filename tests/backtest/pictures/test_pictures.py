from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from backtest.measures.sections import Both
from backtest.pictures.canvas import (
    DARK,
    GRID,
    GROUNDS,
    INK,
    LIGHT,
    MUTED,
    drawing,
    file_svg,
    page_svg,
)
from backtest.pictures.edge import draw_edge
from backtest.pictures.labels import spread
from backtest.pictures.markets import SHOWN_MAX, draw_markets, markets_caption
from backtest.pictures.money import draw_money
from backtest.pictures.phases import draw_phases
from backtest.pictures.swept import draw_luck, draw_sweep
from backtest.pictures.waiting import draw_waiting
from backtest.report.report import BacktestReport
from tests.support.sweep_builders import a_sweep

PICTURES: dict[str, Callable[[BacktestReport], Figure]] = {
    "waiting": lambda report: draw_waiting(report.waiting),
    "edge": lambda report: draw_edge(report.worth),
    "money": lambda report: draw_money(report.money, report.compared),
    "markets": lambda report: draw_markets(report.markets),
    "sweep": lambda _: draw_sweep(a_sweep()),
    "luck": lambda _: draw_luck(a_sweep()),
    "phases": lambda _: draw_phases(
        Both([-0.66, 0.01, 0.88], [0.02]), Both(0.05, 0.04), Both(0.05, None)
    ),
}


class _Noting(RendererAgg):
    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)  # type: ignore[no-untyped-call]  # matplotlib's
        self.drawn: list[tuple[str, Bbox]] = []

    def draw_text(self, *_: Any, mtext: Text, **__: Any) -> None:  # type: ignore[override]
        # Only of what is drawn: an axis has ticks outside its limits, too.
        self.drawn.append((mtext.get_text(), Text.get_window_extent(mtext, self)))


def texts_of(figure: Figure) -> list[tuple[str, Bbox]]:
    """What is written, and where, as it is drawn with a wide font."""
    renderer = _Noting(*figure.bbox.size, figure.dpi)
    figure.draw(renderer)
    return renderer.drawn


def touching(written: list[tuple[str, Bbox]]) -> list[tuple[str, str]]:
    return [
        (one, other)
        for (one, its), (other, others) in combinations(written, 2)
        if its.x0 < others.x1 and others.x0 < its.x1 and its.y0 < others.y1 and others.y0 < its.y1
    ]


@pytest.fixture(scope="module")
def figures(report: BacktestReport) -> dict[str, Figure]:
    with drawing():
        return {name: draw(report) for name, draw in PICTURES.items()}


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_written_is_inside_the_picture_and_touches_nothing_written(
    name: str, figures: dict[str, Figure]
) -> None:
    figure = figures[name]
    with drawing():
        written = texts_of(figure)
    assert written
    for text, box in written:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    assert touching(written) == []


@pytest.mark.parametrize("name", PICTURES)
def test_svg_has_no_address_no_script_no_colour_and_only_ids_of_its_own(
    name: str, figures: dict[str, Figure]
) -> None:
    with drawing():
        svg = page_svg(figures[name], "mine", "A <picture> & more")
    root = ElementTree.fromstring(svg)  # noqa: S314 - ours
    assert root[0].text == "A <picture> & more"
    assert "http" not in svg
    assert not [element for element in root.iter() if element.tag in ("script", "image", "style")]
    ids = re.findall(r'id="(.*?)"', svg)
    used = re.findall(r'(?:url\(#|href="#)(.*?)[)"]', svg)
    assert len(used) == svg.count("url(") + svg.count("href=")
    assert set(used) <= set(ids)
    assert all(each.startswith("mine-") for each in ids)
    assert len(ids) == len(set(ids))
    # The page's style gives every colour.
    assert re.findall(r"#[0-9a-f]{6}", svg.replace("#mine", "")) == []
    assert "var(--ink)" in svg


def test_a_file_of_its_own_has_a_ground_and_colours(figures: dict[str, Figure]) -> None:
    with drawing():
        svg = file_svg(figures["waiting"], "Waiting")
    root = ElementTree.fromstring(svg)  # noqa: S314 - ours
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert f'fill="{GROUNDS[0]}"' in svg
    assert LIGHT[INK] in svg
    assert INK not in svg
    assert "var(" not in svg


@pytest.mark.parametrize(("ground", "colours"), list(zip(GROUNDS, (LIGHT, DARK), strict=True)))
def test_colours_stand_out_from_the_ground(ground: str, colours: dict[str, str]) -> None:
    for role, colour in colours.items():
        least = {INK: 4.5, MUTED: 4.5, GRID: 1}.get(role, 3)  # text, lines, and the grid's hints
        assert _contrast(ground, colour) >= least


def _contrast(one: str, other: str) -> float:
    low, high = sorted(_luminance(each) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_more_markets_than_fit_are_said_and_the_newest_shown(report: BacktestReport) -> None:
    many = [
        msgspec.structs.replace(report.markets[0], series="a" if at % 2 else "b" * 60, start_ms=at)
        for at in range(SHOWN_MAX + 1)
    ]
    with drawing():
        figure = draw_markets(many)
        written = texts_of(figure)
    assert len(figure.axes) == SHOWN_MAX + 1  # and the key
    assert "b" * 60 not in " ".join(text for text, _ in written)
    assert f"the newest {SHOWN_MAX} of {SHOWN_MAX + 1} markets" in markets_caption(many)
    assert "newest" not in markets_caption(report.markets)
    assert touching(written) == []


def test_a_sweep_without_settled_orders_says_that_luck_is_not_known() -> None:
    with drawing():
        written = texts_of(draw_luck(a_sweep(1, luck=False)))
    assert "no order was settled" in [text for text, _ in written]


def test_labels_move_apart_and_stay_inside() -> None:
    assert spread([1, 5], 1, 0, 10) == [1, 5]
    assert spread([5, 5, 5.5], 1, 0, 10) == [5, 6, 7]
    assert spread([9.8, 9.9, 10], 1, 0, 10) == [8, 9, 10]
    assert spread([-3, 5], 1, 0, 10) == [0, 5]
