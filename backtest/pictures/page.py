"""A report as one HTML file that stands alone: words, tables and pictures; light, dark, printed.

It has no script and names no address. Whatever comes from the data is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure
from rich.console import RenderableType

from backtest.pictures.canvas import drawing, page_svg
from backtest.pictures.edge import EDGE_CAPTION, draw_edge
from backtest.pictures.markets import draw_markets, markets_caption
from backtest.pictures.markup import Picture, page_of
from backtest.pictures.money import MONEY_CAPTION, draw_money
from backtest.pictures.swept import LUCK_CAPTION, SWEEP_CAPTION, draw_luck, draw_sweep
from backtest.pictures.waiting import WAITING_CAPTION, draw_waiting
from backtest.pictures.words import sections_of
from backtest.report.report import BacktestReport
from backtest.sweep.result import SweepResult


def html_of(report: BacktestReport, view: RenderableType, sweep: SweepResult | None) -> str:
    """The page; `view` is the report as it stands on a terminal. Each picture stands in the section
    that it is about."""
    pictures: dict[str, list[Picture]] = {}
    with drawing():
        for section, label, figure, caption in _drawn(report, sweep):
            svg = page_svg(figure, f"p{len(pictures)}{len(pictures.get(section, ()))}", label)
            picture = Picture(svg=svg, caption=caption, source=report.feed)
            pictures.setdefault(section, []).append(picture)
    return page_of(f"Backtest of {report.strategy}", sections_of(view), pictures)


def _drawn(
    report: BacktestReport, sweep: SweepResult | None
) -> Iterator[tuple[str, str, Figure, str]]:
    """(section, what it shows, the picture, its caption)."""
    yield "WORTH", "The edge and its decay", draw_edge(report.worth), EDGE_CAPTION
    money = draw_money(report.money, report.compared)
    yield "COMPARED WITH", "P&L as markets were settled", money, MONEY_CAPTION
    yield "COST OF WAITING", "What waiting costs", draw_waiting(report.waiting), WAITING_CAPTION
    markets = draw_markets(report.markets)
    yield "MARKETS", "Every market", markets, markets_caption(report.markets)
    if sweep is not None:
        yield "SWEEP", "Train half against test half", draw_sweep(sweep), SWEEP_CAPTION
        yield "SWEEP", "What luck alone would have found", draw_luck(sweep), LUCK_CAPTION
