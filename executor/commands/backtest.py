"""`executor backtest`: books through the production code, and what is made of what it saw.

Raises BadInputError and FailedError; `executor.commands.backtest_line` makes one line of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from backtest.engine.observations import Observations
from backtest.engine.run import run as run_feed
from backtest.feed.events import Feed, FeedError
from backtest.feed.of_series import SeriesFeed
from backtest.feed.open_feed import open_feed
from backtest.report.build import report_of
from backtest.report.report import BacktestReport
from backtest.sweep.grid import SweepError
from backtest.sweep.result import SweepDisagreesError, SweepResult
from executor.answers import WIDTH_REPORT, answer_json, say
from executor.backtest_rendering import report_view
from executor.commands.backtest_options import (
    STDOUT,
    Asked,
    BacktestPlan,
    BadInputError,
    check_outputs,
    plan_of,
)
from executor.commands.backtest_progress import progress_bar
from executor.commands.backtest_trades import write_trades
from protocol.text import encoded

__all__ = ["BadInputError", "FailedError", "run"]


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

    def opened() -> Feed:
        feed = open_feed(asked.paths, asked.columns)
        return SeriesFeed(feed, plan.series) if plan.series else feed

    try:
        seen = _run(opened(), plan)
        found = BacktestFound(report=report_of(seen), sweep=_swept(opened, plan))
    except (FeedError, SweepError) as error:
        raise BadInputError(str(error)) from None
    view = report_view(found.report, found.sweep)
    if asked.json == STDOUT:
        answer_json(found)
    else:
        say(view, width_piped=WIDTH_REPORT)
    # After the answer: a disk that is full shall not cost it.
    if asked.trades is not None:
        _written(asked.trades, lambda path: write_trades(seen, path))
    if asked.json is not None and asked.json != STDOUT:
        figures = encoded(msgspec.json.encode, found) + b"\n"
        _written(asked.json, lambda path: path.write_bytes(figures))
    if asked.html is not None:
        # Here, because matplotlib takes half a second.
        from backtest.pictures.page import write_html  # noqa: PLC0415 - see above

        _written(asked.html, lambda path: write_html(found.report, view, found.sweep, path))
    if seen.strategy_error:
        raise FailedError(f"the strategy raised: {seen.strategy_error}")


def _written(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as error:
        raise FailedError(f"{path} cannot be written: {error.strerror or error}") from None


def _run(feed: Feed, plan: BacktestPlan) -> Observations:
    with progress_bar() as tell:
        return run_feed(
            feed,
            plan.strategy,
            plan.configuration,
            plan.assumptions,
            lambda moments: tell(None, f"{moments:,} books"),
        )


def _swept(opened: Callable[[], Feed], plan: BacktestPlan) -> SweepResult | None:
    if plan.sweep is None:
        return None
    # Here, because only a sweep needs it.
    from backtest.sweep.run import sweep  # noqa: PLC0415 - see above

    try:
        with progress_bar() as tell:
            return sweep(
                opened,
                plan.strategy,
                plan.configuration,
                plan.assumptions,
                plan.sweep.points,
                train_share=plan.sweep.train_share,
                procs=plan.sweep.procs,
                progress=lambda come: tell(come.done_share, come.text),
            )
    except SweepDisagreesError as error:
        raise FailedError(str(error)) from None
