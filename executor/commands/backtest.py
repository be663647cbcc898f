"""`executor backtest`: books through the production code, and what is made of what it saw.

Raises BadInputError and FailedError; `executor.commands.backtest_line` makes one line of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import RenderableType

from backtest.engine.observations import Observations
from backtest.engine.run import run as run_feed
from backtest.feed.events import Feed, FeedError
from backtest.feed.of_series import SeriesFeed
from backtest.feed.open_feed import open_feed
from backtest.report.build import report_of
from backtest.report.report import BacktestReport
from backtest.sweep.grid import SweepError
from backtest.sweep.held_feed import HeldFeed
from backtest.sweep.result import SweepDisagreesError, SweepResult
from executor.answers import WIDTH_REPORT, answer_json, say
from executor.backtest_rendering import report_view
from executor.commands.backtest_options import (
    STDOUT,
    Asked,
    BacktestPlan,
    BadInputError,
    plan_of,
)
from executor.commands.backtest_outputs import check_outputs, write_whole
from executor.commands.backtest_trades import trades_csv
from executor.progress import progress_bar
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
        feed = opened() if plan.sweep is None else HeldFeed(opened)
        seen = _run(feed, plan)
        found = BacktestFound(report=report_of(seen), sweep=_swept(feed, plan))
    except (FeedError, SweepError) as error:
        raise BadInputError(str(error)) from None
    view = report_view(found.report, found.sweep)
    if asked.json == STDOUT:
        answer_json(found)
    else:
        say(view, width_piped=WIDTH_REPORT)
    # After the answer: a disk that is full shall not cost it.
    unwritten = _unwritten(asked, seen, found, view)
    if seen.strategy_error:
        raise FailedError(f"the strategy raised: {seen.strategy_error}")
    if unwritten:
        raise FailedError("; ".join(unwritten))


def _unwritten(
    asked: Asked, seen: Observations, found: BacktestFound, view: RenderableType
) -> list[str]:
    """Writes the files. Which could not be, and why; the others are there."""

    def page() -> bytes:
        # Here, because matplotlib takes half a second.
        from backtest.pictures.page import html_of  # noqa: PLC0415 - see above

        return html_of(found.report, view, found.sweep).encode("utf-8", "backslashreplace")

    contents: tuple[tuple[Path | None, Callable[[], bytes]], ...] = (
        (asked.trades, lambda: trades_csv(seen)),
        (asked.json, lambda: encoded(msgspec.json.encode, found) + b"\n"),
        (asked.html, page),
    )
    unwritten: list[str] = []
    for path, content in contents:
        if path is None or path == STDOUT:
            continue
        try:
            write_whole(path, content())
        except OSError as error:
            unwritten.append(f"{path} cannot be written: {error.strerror or error}")
    return unwritten


def _run(feed: Feed, plan: BacktestPlan) -> Observations:
    with progress_bar() as tell:
        return run_feed(
            feed,
            plan.strategy,
            plan.configuration,
            plan.assumptions,
            lambda moments: tell(None, f"{moments:,} books"),
        )


def _swept(feed: Feed, plan: BacktestPlan) -> SweepResult | None:
    if plan.sweep is None:
        return None
    # Here, because only a sweep needs them.
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - see above

    from backtest.sweep.run import sweep  # noqa: PLC0415 - see above

    try:
        with progress_bar() as tell:
            return sweep(
                lambda: feed,
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
    except BrokenProcessPool:
        text = "a process of the sweep was killed, for want of memory perhaps: fewer --procs"
        raise FailedError(text) from None
