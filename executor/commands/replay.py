"""`executor replay`: a recording's decisions made again, in lines for a person.

Raises RecordingError and StrategyNotUsableError; `executor.commands.replay_line` makes one line of
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType

from backtest.replay.answers import Strategies
from backtest.replay.replay import ReplayReport, replay
from backtest.replay.told import lines_of, verdict_line
from executor.rendering import BAD, CARE, GOOD, plain
from functions.strategy_loading import load_strategy
from strategies.interface import Strategy


def replayed(recording: Path, own: Sequence[str]) -> ReplayReport:
    """Read all of it; the strategies that `own` name (files, say) replace those of their names."""
    loaded: dict[str, type[Strategy]] = {}
    for each in own:
        strategy = load_strategy(each)
        loaded[strategy.name] = strategy
    return replay(recording, Strategies(loaded))


def replay_view(report: ReplayReport) -> RenderableType:
    """`executor replay`."""
    style = GOOD if report.ok else BAD if report.different else CARE
    return Group(plain(verdict_line(report), style), *map(plain, _lines(report)))


def _lines(report: ReplayReport) -> Iterator[str]:
    # Of a recording without a decision the one line says it all.
    if report.decisions:
        yield from lines_of(report)
