"""From what a run has seen to its report. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from backtest.engine.assumptions import Bracket
from backtest.engine.observations import Observations
from backtest.measures.comparisons import comparisons
from backtest.measures.execution import execution
from backtest.measures.markout import worth
from backtest.measures.money import money
from backtest.measures.prepared import filled_orders, prepare
from backtest.measures.sections import Both
from backtest.measures.tables import tables
from backtest.measures.verdict import verdict
from backtest.measures.waiting import sizes, waiting
from backtest.measures.warnings import warnings
from backtest.report.facts import (
    assumption_lines,
    funnel,
    market_lines,
    median_book_every_ms,
    trust,
)
from backtest.report.report import BacktestReport
from functions.core.configuration import shown


def report_of(seen: Observations) -> BacktestReport:
    """All sections; the same observations give the same report, to the last digit."""
    run = prepare(seen)
    filled = Both(*(filled_orders(run, seen.lane(each).orders) for each in Bracket))
    earned = Both(*(money(run, filled.of(each)) for each in Bracket))
    compared = Both(*(comparisons(run, each, filled.of(each)) for each in Bracket))
    worth_it = worth(run, filled)
    return BacktestReport(
        feed=seen.feed,
        strategy=seen.strategy,
        strength_name=seen.strength_name,
        parameters=_as_texts(seen.configuration.parameters),
        settings=_as_texts(seen.configuration.settings),
        verdict=verdict(run, worth_it, earned, filled),
        worth=worth_it,
        trust=trust(run),
        funnel=funnel(run),
        money=earned,
        execution=Both(*(execution(run, seen.lane(each), filled.of(each)) for each in Bracket)),
        compared=compared,
        tables=tables(run, filled),
        waiting=waiting(run),
        sizes=sizes(run),
        markets=market_lines(run),
        warnings=warnings(run, earned, compared, median_book_every_ms(run)),
        assumptions=assumption_lines(seen),
    )


def _as_texts(model: BaseModel) -> dict[str, str]:
    """As a person writes them, and as `executor config show` shows them."""
    values: Mapping[str, object] = model.model_dump()
    return {name: shown(value) for name, value in values.items()}
