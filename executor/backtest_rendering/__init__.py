"""A backtest's report as what stands on a terminal: pure functions from structs to renderables.

Every line of it is meant to be read once: sections say in their heading what their numbers are, and
both brackets stand beside each other.
"""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from backtest.measures.sections import Verdict, VerdictKind
from backtest.report.report import BacktestReport
from backtest.sweep.result import SweepResult
from executor.backtest_rendering.figures import indented, section, source
from executor.backtest_rendering.orders import (
    compared_view,
    execution_view,
    markets_view,
    money_view,
    tables_view,
)
from executor.backtest_rendering.signals import (
    funnel_view,
    size_view,
    trust_view,
    waiting_view,
    worth_view,
)
from executor.backtest_rendering.swept import sweep_view
from executor.rendering import BAD, CARE, GOOD, facts_table, plain

_STYLES: Final = {VerdictKind.EDGE_SHOWN: f"bold {GOOD}", VerdictKind.LOSS_SHOWN: BAD}


def report_view(report: BacktestReport, sweep: SweepResult | None = None) -> Group:
    """All of it, the verdict first; a group a section."""
    return Group(
        _verdict(report.verdict),
        _what(report),
        worth_view(report.worth),
        trust_view(report.trust),
        funnel_view(report.funnel),
        money_view(report.money),
        execution_view(report.execution),
        compared_view(report.compared),
        tables_view(report.tables),
        waiting_view(report.waiting),
        size_view(report.sizes),
        markets_view(report.markets),
        *(() if sweep is None else (sweep_view(sweep),)),
        _warnings(report.warnings),
        _assumptions(report),
    )


def _verdict(verdict: Verdict) -> RenderableType:
    style = _STYLES.get(verdict.kind, f"bold {CARE}")
    return Group(
        Text.assemble(("VERDICT", "bold"), "  ", (verdict.kind.upper(), style)),
        indented(plain(verdict.sentence)),
    )


def _what(report: BacktestReport) -> RenderableType:
    rows = facts_table()
    values = ", ".join(f"{name}={value}" for name, value in report.parameters.items())
    rows.add_row("strategy", plain(f"{report.strategy}: {values}" if values else report.strategy))
    rows.add_row("books", source(report.feed))
    rows.add_row("unchanged", "an order meets the last book before it arrives: optimistic")
    rows.add_row("next", "the first one after: pessimistic. In between nobody knows the book.")
    rows.add_row(
        "+5 [-1, +9]", "a value and its 95% interval, drawn over whole markets, never over trades"
    )
    return Group("", indented(rows))


def _warnings(warnings: list[str]) -> RenderableType:
    if not warnings:
        return Group()
    return section("WARNINGS", "", *(plain(each, CARE) for each in warnings))


def _assumptions(report: BacktestReport) -> RenderableType:
    rows = facts_table()
    rows.add_column(overflow="fold", style="dim")
    for each in report.assumptions:
        rows.add_row(plain(each.name), plain(each.value), plain(each.text))
    values = ", ".join(f"{name}={value}" for name, value in report.settings.items())
    account = facts_table()
    account.add_row("account", plain(values))
    return section("ASSUMPTIONS", "settings are the defaults, and what --set says", rows, account)
