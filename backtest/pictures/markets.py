"""Every market small: the price of Up, where it was entered, and when there were signals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil, nan
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backtest.engine.assumptions import Bracket
from backtest.measures.sections import Both
from backtest.pictures.canvas import BLUE, INK, MUTED, RED, WIDTH_IN, figure_of, panel, plain, usd
from backtest.report.report import MarketEntry, MarketLine, MarketMoney, SignalSpan

SHOWN_MAX: Final = 48
_COLUMNS: Final = 5
_ROW_IN: Final = 1.0
_NAME_IN: Final = 0.14
"""For the series' name, where there are several."""
_HEAD_IN: Final = 0.45
_TITLE_LETTERS: Final = 26
"""Figures that fit over a panel."""
_NAME_LETTERS: Final = 24
"""Letters that do."""
_SPANS: Final = (("Up", BLUE, 1.17), ("Down", RED, -0.17))
"""Where in the panel the signals for an outcome are marked."""
_SPAN_WIDTH: Final = 4.5
_SPAN_MIN: Final = 1 / 150
"""Of the window: what is shorter could not be seen."""
_RING: Final[dict[str, Any]] = {
    "marker": "o",
    "markersize": 8,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 0.9,
    "linestyle": "none",
    "clip_on": False,
}


def draw_markets(markets: Sequence[MarketLine]) -> Figure:
    """The newest SHOWN_MAX of them."""
    shown = markets[-SHOWN_MAX:]
    rows = max(1, ceil(len(shown) / _COLUMNS))
    several = len({market.series for market in markets}) > 1
    row_in = _ROW_IN + (_NAME_IN if several else 0)
    height_in = _HEAD_IN + rows * row_in
    figure = figure_of(height_in)
    _key(figure, height_in)
    for place, market in enumerate(shown):
        row, column = divmod(place, _COLUMNS)
        box = (
            0.028 + column * 0.1965,
            (height_in - _HEAD_IN - (row + 1) * row_in + 0.04) / height_in,
            0.178,
            (_ROW_IN - 0.3) / height_in,
        )
        axes = panel(figure, box)
        _draw_price(axes, market, scale=column == 0)
        _draw_spans(axes, market, market.spans)
        _draw_entries(axes, market.entries)
        _title(axes, market, several=several)
    return figure


def markets_caption(markets: Sequence[MarketLine]) -> str:
    """How to read it; says so where not every market is shown."""
    text = (
        "Each panel is one market from its start (UTC) to its end: the price of Up, and as a dot "
        "what Up paid. Entries are at the price of Up that they came to. Numbers are the P&L in "
        "USD, unchanged and next."
    )
    if len(markets) > SHOWN_MAX:
        text += f" These are the newest {SHOWN_MAX} of {len(markets):,} markets."
    return text


def _key(figure: Figure, height_in: float) -> None:
    axes = panel(figure, (0, 1 - 0.24 / height_in, 1, 0.24 / height_in))
    axes.set(xlim=(0, WIDTH_IN), ylim=(0, 1))
    axes.axis("off")

    def words(x: float, text: str) -> None:
        axes.text(x + 0.12, 0.5, text, va="center_baseline", fontsize=8)

    axes.plot([0.3], [0.5], marker="^", color=BLUE, markersize=5)
    words(0.3, "bought Up")
    axes.plot([1.25], [0.5], marker="v", color=RED, markersize=5)
    words(1.25, "bought Down")
    axes.plot([2.4], [0.5], **_RING)
    words(2.4, "bought, next book")
    axes.plot([4.0, 4.1], [0.5, 0.5], color=BLUE, linewidth=_SPAN_WIDTH, solid_capstyle="butt")
    words(4.1, "above: signals for Up")
    axes.plot([6.0, 6.1], [0.5, 0.5], color=RED, linewidth=_SPAN_WIDTH, solid_capstyle="butt")
    words(6.1, "below: for Down")


def _draw_price(axes: Axes, market: MarketLine, *, scale: bool) -> None:
    axes.set(xlim=(market.start_ms, market.end_ms), ylim=(-0.26, 1.26))
    axes.set_xticks([])
    axes.set_yticks([0, 0.5, 1], ["0", "", "1"] if scale else ["", "", ""], fontsize=7)
    axes.spines["bottom"].set_visible(False)
    prices = [nan if mid_e4 is None else mid_e4 / 10_000 for mid_e4 in market.chart_mid_e4]
    axes.plot(market.chart_at_ms, prices, color=MUTED, linewidth=1.1)
    paid = {"Up": 1.0, "Down": 0.0, "split": 0.5}.get(market.paid)
    if paid is not None:
        axes.plot([market.end_ms], [paid], "o", color=INK, markersize=3.5, clip_on=False)


def _draw_spans(axes: Axes, market: MarketLine, spans: Sequence[SignalSpan]) -> None:
    least_ms = (market.end_ms - market.start_ms) * _SPAN_MIN
    for outcome, colour, height in _SPANS:
        # One line with gaps is a fraction of the bytes of a line each.
        xs: list[float] = []
        for span in spans:
            if span.outcome != outcome:
                continue
            if len(xs) > 1 and span.first_at_ms <= xs[-2]:
                xs[-2] = max(xs[-2], span.last_at_ms)
                continue
            xs += [span.first_at_ms, max(span.last_at_ms, span.first_at_ms + least_ms), nan]
        ys = [height, height, nan] * (len(xs) // 3)
        axes.plot(xs, ys, color=colour, linewidth=_SPAN_WIDTH, solid_capstyle="butt")


def _draw_entries(axes: Axes, entries: Sequence[MarketEntry]) -> None:
    for entry in entries:
        up = entry.outcome == "Up"
        price = entry.price_e4 / 10_000 if up else 1 - entry.price_e4 / 10_000
        look: dict[str, Any] = {"marker": "^" if up else "v", "color": BLUE if up else RED}
        if entry.bracket is Bracket.NEXT:
            look = _RING
        axes.plot(
            [entry.at_ms], [price], **{"markersize": 5, "clip_on": False, "zorder": 3, **look}
        )


def _title(axes: Axes, market: MarketLine, *, several: bool) -> None:
    when = f"{datetime.fromtimestamp(market.start_ms / 1_000, UTC):%d %b %H:%M}"
    money = _money(market.money, _TITLE_LETTERS - len(when))
    look: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    look |= {"fontsize": 7, "annotation_clip": False}
    axes.annotate(when, (0, 1), xytext=(0, 3), color=MUTED, **look)
    axes.annotate(money, (1, 1), xytext=(0, 3), ha="right", **look)
    if several:
        name = plain(market.series)
        name = name if len(name) <= _NAME_LETTERS else f"{name[: _NAME_LETTERS - 1]}…"
        axes.annotate(name, (0, 1), xytext=(0, 12), color=MUTED, **look)


def _money(money: Both[MarketMoney], letters: int) -> str:
    """In cents where that fits."""
    both = (money.unchanged.pnl_e6, money.next.pnl_e6)
    if both == (None, None):
        return ""
    text = " ".join("\u2013" if pnl_e6 is None else usd(pnl_e6) for pnl_e6 in both)
    if len(text) < letters:
        return text
    return " ".join("\u2013" if pnl_e6 is None else usd(pnl_e6, cents=False) for pnl_e6 in both)
