"""`executor backtest`: books through the production code, and what is made of what it saw.

Raises BadInputError and FailedError; `executor.commands.backtest_line` makes one line of it.
"""

from __future__ import annotations

import os

import msgspec

from backtest.engine.run import run as run_feed
from backtest.feed.events import FeedError
from backtest.feed.of_series import SeriesFeed
from backtest.feed.open_feed import open_feed
from backtest.report.build import report_of
from backtest.report.report import BacktestReport
from backtest.sweep.result import SweepResult
from executor.answers import answer_json, say
from executor.backtest_rendering import report_view
from executor.commands.backtest_options import (
    STDOUT,
    Asked,
    BadInputError,
    check_outputs,
    plan_of,
)
from executor.commands.backtest_progress import progress
from executor.commands.backtest_trades import write_trades
from protocol.text import encoded

__all__ = ["BadInputError", "FailedError", "FeedError", "run"]


class BacktestFound(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` writes."""

    report: BacktestReport
    sweep: SweepResult | None


class FailedError(Exception):
    """What must not pass for a success; one line for a person."""


def run(asked: Asked) -> None:
    """All of it: checks, the run, the files, the report on stdout."""
    check_outputs(asked)
    plan = plan_of(asked, os.environ)
    try:
        feed = open_feed(asked.paths, asked.columns)
        if plan.series:
            feed = SeriesFeed(feed, plan.series)
        with progress("books") as done:
            seen = run_feed(feed, plan.strategy, plan.configuration, plan.assumptions, done)
    except FeedError as error:
        raise BadInputError(str(error)) from None
    found = BacktestFound(report=report_of(seen), sweep=None)
    view = report_view(found.report, found.sweep)
    if asked.trades is not None:
        write_trades(seen, asked.trades)
    if asked.json is not None and asked.json != STDOUT:
        asked.json.write_bytes(encoded(msgspec.json.encode, found) + b"\n")
    if asked.html is not None:
        # Here, because matplotlib takes half a second.
        from backtest.pictures.page import write_html  # noqa: PLC0415 - see above

        write_html(found.report, view, found.sweep, asked.html)
    if asked.json == STDOUT:
        answer_json(found)
    else:
        say(view)
    if seen.strategy_error:
        raise FailedError(f"the strategy raised: {seen.strategy_error}")
