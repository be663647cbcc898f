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
from executor.progress import progress_bar
from executor.rendering import BAD, CARE, GOOD, plain
from functions.core.strategy_rules import StrategyNotUsableError
from functions.strategy_loading import load_strategy
from strategies.interface import Strategy


def strategies_of(own: Sequence[str]) -> Strategies:
    """The code at hand; what `own` name (files, say) replaces the strategies of those names."""
    loaded: dict[str, type[Strategy]] = {}
    for each in own:
        try:
            strategy = load_strategy(each)
        except StrategyNotUsableError as error:
            raise StrategyNotUsableError(f"--strategy: {error}") from None
        loaded[strategy.name] = strategy
    return Strategies(loaded)


def replayed(recording: Path, own: Sequence[str]) -> ReplayReport:
    """Read all of it. Raises StrategyNotUsableError, also where one of `own` took no one's place:
    the verdict would be about other code than was meant."""
    strategies = strategies_of(own)
    with progress_bar() as tell:
        report = replay(recording, strategies, lambda share: tell(share, "read"))
    for name in sorted(strategies.own - strategies.asked):
        there = ", ".join(sorted(strategies.asked)) or "none"
        raise StrategyNotUsableError(
            f"--strategy: {name}: no account of {recording} has a strategy of that name; "
            f"there is: {there}"
        )
    return report


def replay_view(report: ReplayReport) -> RenderableType:
    """`executor replay`."""
    style = GOOD if report.ok else BAD if report.different else CARE
    return Group(plain(verdict_line(report), style), *map(plain, _lines(report)))


def _lines(report: ReplayReport) -> Iterator[str]:
    # Of a recording without a decision the one line says it all.
    if report.decisions:
        yield from lines_of(report)
