"""A run that was recorded, made again from its recording (invariant 10)."""

from __future__ import annotations

from backtest.replay.answers import Strategies
from backtest.replay.replay import replay
from backtest.replay.told import lines_of, verdict_line
from feeder.recording.errors import RecordingError
from functions.strategy_loading import load_strategy
from sandbox.services import Options


def replayed(options: Options) -> tuple[list[str], list[str]]:
    """What to say of it, and a sentence where one decision is not again as it was logged; nothing
    of a run that was not recorded."""
    if options.record is None:
        return [], []
    own = [load_strategy(each.strategy) for each in options.accounts]
    try:
        report = replay(options.record, Strategies({each.name: each for each in own}))
    except RecordingError as error:
        return [], [f"the recording of the run cannot be replayed: {error}"]
    verdict = verdict_line(report)
    # Here nothing is from before the recording.
    as_logged = report.equal == report.decisions
    unlike = [] if as_logged else [f"made again from its own recording: {verdict}"]
    return [f"replayed: {verdict}", *lines_of(report)], unlike
