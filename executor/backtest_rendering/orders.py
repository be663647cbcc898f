"""What a report says of the orders: MONEY, EXECUTION, COMPARED WITH, the tables, MARKETS. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from backtest.engine.assumptions import Bracket
from backtest.measures.sections import (
    Both,
    BrokenDown,
    Comparison,
    Deviations,
    ExecutionEnds,
    Money,
    Rival,
    TableCells,
    Tables,
)
from backtest.report.report import MarketLine
from executor.backtest_rendering.figures import (
    NONE,
    both,
    count,
    many,
    money_style,
    number,
    percent,
    rate,
    rate_of,
    returns,
    section,
    table,
    ticks,
    usd,
)
from executor.rendering import plain

MARKETS_MAX: Final = 40
"""On a terminal; files have all."""
_NAME_WIDTH: Final = 30
_CELL_WIDTH: Final = 18
_LABEL_WIDTH: Final = 14
"""`0.577 to 0.647`, `btc-updown-15m`; longer headings take two lines."""


def money_view(money: Both[Money]) -> RenderableType:
    """MONEY."""
    rows = _both_table("")

    def row(name: str, shown: Callable[[Money], RenderableType]) -> None:
        rows.add_row(name, shown(money.unchanged), shown(money.next))

    row("orders filled and paid out", lambda one: f"{one.settled:,} of {one.filled:,}")
    row("spent, without fees", lambda one: usd(one.spent_e6, sign=False))
    row("fees", lambda one: usd(one.fees_e6, sign=False))
    row("paid out", lambda one: usd(one.payout_e6, sign=False))
    row("P&L", lambda one: plain(usd(one.pnl_e6), money_style(one.pnl_e6)))
    row("return on stake", lambda one: returns(one.return_on_stake))
    row("won", lambda one: rate(one.win_rate))
    row("break-even: price and fee", lambda one: percent(_needed(one.mean_price, one.mean_fee)))
    row("Brier score of the price", lambda one: number(one.brier_price, 3))
    if money.unchanged.brier_value is not None or money.next.brier_value is not None:
        row("  of the strategy's value", lambda one: number(one.brier_value, 3))
    row("max drawdown", lambda one: usd(one.drawdown_e6, sign=False))
    row("longest losing run", lambda one: many(one.longest_losing_run, "order"))
    row("quarter Kelly, of the capital", lambda one: percent(one.quarter_kelly, 1))
    row("P&L if one market had split", lambda one: usd(one.split.pnl_e6 if one.split else None))
    says = "USD; a split pays 0.50 to both: of the market that it changes most"
    return section("MONEY", says, rows, *_kelly(money))


def _kelly(money: Both[Money]) -> Iterator[Text]:
    """Where a bet is only worth making if the share that was won is no luck."""
    for one in (money.unchanged, money.next):
        needed, low = _needed(one.mean_price, one.mean_fee), one.win_rate.low
        if one.quarter_kelly and needed is not None and low is not None and low <= needed:
            yield plain(
                "Kelly takes the win rate for the truth; by the low end of its interval it bets"
                " nothing.",
                "dim",
            )
            return


def _needed(price: float | None, fee: float | None) -> float | None:
    return None if price is None or fee is None else price + fee


def execution_view(execution: Both[ExecutionEnds]) -> RenderableType:
    """EXECUTION."""
    rows = _both_table("")

    def row(name: str, shown: Callable[[ExecutionEnds], str]) -> None:
        rows.add_row(name, shown(execution.unchanged), shown(execution.next))

    row("orders", lambda one: count(one.orders))
    row("filled, wholly or partly", lambda one: rate(one.fill_rate))
    row("price paid, mean", lambda one: number(one.paid.mean_ticks, 2, sign=True))
    row("ask met by orders, mean", lambda one: number(one.met.mean_ticks, 2, sign=True))
    row(
        "ask met by all signals, mean",
        lambda one: number(one.met_by_signals.mean_ticks, 2, sign=True),
    )
    row("  median, 95 of 100 below", lambda one: _spread(one.met_by_signals))
    row("  more than 5% away", lambda one: percent(one.met_by_signals.over_5pct_share))
    row("signals their limit refuses", lambda one: rate(one.refused_by_limit))
    return section(
        "EXECUTION", "slippage: against the ask that was decided on; ticks, + is dearer", rows
    )


def _spread(deviations: Deviations) -> str:
    if deviations.median_ticks is None:
        return NONE
    median, most = deviations.median_ticks, deviations.p95_ticks
    return f"{number(median, sign=True)}, {number(most, sign=True)}"


def compared_view(compared: Both[list[Comparison]]) -> RenderableType:
    """COMPARED WITH."""
    spent = "\non stake"
    rows = table("", "unchanged\nP&L", spent, "next\nP&L", spent)
    more = _both_table("the strategy's return")
    for pair in _rivals(compared):
        name = _rival_name(pair.unchanged)
        style = "bold" if pair.unchanged.rival is Rival.STRATEGY else ""
        cells: list[RenderableType] = []
        for one in (pair.unchanged, pair.next):
            cells += [plain(usd(one.pnl_e6), money_style(one.pnl_e6)), returns(one.return_on_stake)]
        rows.add_row(plain(name, style), *cells)
        if pair.unchanged.rival is not Rival.STRATEGY:
            more.add_row(
                f"minus {name}",
                returns(pair.unchanged.strategy_minus),
                returns(pair.next.strategy_minus),
            )
    parts: list[RenderableType] = [rows, "", more]
    parts += list(_phases(compared))
    return section(
        "COMPARED WITH",
        "by the same books; USD",
        *parts,
    )


def _rivals(compared: Both[list[Comparison]]) -> Iterator[Both[Comparison]]:
    following = {each.rival: each for each in compared.next}
    for each in compared.unchanged:
        if each.rival in following:
            yield Both(each, following[each.rival])


def _rival_name(one: Comparison) -> str:
    return "the strategy" if one.rival is Rival.STRATEGY else str(one.rival)


def _phases(compared: Both[list[Comparison]]) -> Iterator[Text]:
    for pair in _rivals(compared):
        one = pair.unchanged
        if one.rival is Rival.SCANNER and one.phases:
            yield plain(
                f"A scanner's figures are the mean of {many(one.phases, 'moment')} at which it may "
                f"begin: from {both(pair, lambda each: percent(each.worst_return, sign=True))} "
                f"(the worst) to {both(pair, lambda each: percent(each.best_return, sign=True))}."
            )


# -- tables ----------------------------------------------------------------------------------------


def tables_view(tables: Tables) -> RenderableType:
    """The tables by signal strength, price paid, time to close and series."""
    parts: list[RenderableType] = []
    for each in (tables.by_strength, tables.by_price, tables.by_time_to_close, tables.by_series):
        if each.lines:
            parts += ["", _broken_down(each)]
    if parts:
        note = "Of so many lines some leave zero out by luck: each is a question, not an answer."
        parts += ["", plain(note, "dim")]
    return section(
        "BY KIND OF SIGNAL",
        "ticks after 60 s, as in WORTH; break even: the win rate it takes",
        *parts[1:],
    )


def _broken_down(each: BrokenDown) -> RenderableType:
    rows = table(each.by, "", "after 60 s", "orders won", "break\neven", "P&L", gap=1)
    first = rows.columns[0]
    first.no_wrap, first.max_width = False, _LABEL_WIDTH
    for line in each.lines:
        below = many(line.signals, "signal") if line.signals else ""
        for bracket, name in (
            (Bracket.UNCHANGED, plain(line.label)),
            (Bracket.NEXT, plain(below, "dim")),
        ):
            rows.add_row(name, plain(bracket.value, "dim"), *_cells(line.cells.of(bracket)))
    return rows


def _cells(cells: TableCells) -> Iterator[RenderableType]:
    yield ticks(cells.markout_60s)
    yield rate_of(cells.win_rate)
    yield percent(_needed(cells.mean_price, cells.mean_fee))
    yield plain(usd(cells.pnl_e6), money_style(cells.pnl_e6)) if cells.orders else NONE


# -- MARKETS ---------------------------------------------------------------------------------------


def markets_view(markets: list[MarketLine]) -> RenderableType:
    """MARKETS."""
    rows = table("", "paid", "books", "signals", "filled", "P&L, USD", "gap, s", gap=1)
    for each in markets[:MARKETS_MAX]:
        rows.add_row(
            plain(each.slug),
            plain(each.paid or NONE),
            count(each.moments),
            count(each.signals),
            both(each.money, lambda one: count(one.filled)),
            both(each.money, lambda one: usd(one.pnl_e6)),
            number(each.longest_gap_ms / 1000, 0),
        )
    parts: list[RenderableType] = [rows]
    if len(markets) > MARKETS_MAX:
        parts.append(plain(f"... and {len(markets) - MARKETS_MAX:,} more: --json has them all"))
    return section("MARKETS", "unchanged / next", *parts)


def _both_table(first: str) -> Table:
    rows = table(first, "unchanged", "next")
    for column, width in zip(rows.columns, (_NAME_WIDTH, _CELL_WIDTH, _CELL_WIDTH), strict=True):
        column.min_width = width
    return rows
