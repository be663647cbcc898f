"""A sweep: many points of a strategy's parameters on one feed, each as production would trade them.

What decides is vectorised or asked once a moment (`signals`); what executes is the run's desk, which
remembers (`desk`), on the few signals that are not refused (`play`). Points are chosen by the first
part of the time and tested on the rest, and production runs the best and the default again over the
whole feed: whatever it does not agree to is no result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from pydantic import ValidationError

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.engine.observations import Observations
from backtest.engine.run import run
from backtest.feed.events import Feed
from backtest.measures.sections import Both
from backtest.sweep.desk import BRACKETS
from backtest.sweep.features import TWINS
from backtest.sweep.grid import Number, Point, SweepError
from backtest.sweep.held_feed import HeldFeed
from backtest.sweep.luck import luck_of
from backtest.sweep.moments import Collector
from backtest.sweep.play import HalfSums, LaneSums, PointLane, Signals
from backtest.sweep.result import (
    Agreement,
    Half,
    SweepDisagreesError,
    SweepResult,
    SweptAxis,
    SweptPoint,
)
from backtest.sweep.shares import ShareProgress, SweepProgress, in_shares
from backtest.sweep.signals import AskedSignals, Asking, TwinSignals
from backtest.sweep.split import Split, split_of
from functions.core.configuration import Configuration, mistakes_in
from strategies.interface import Strategy

BEST: Final = 5
"""So many are run again by production, and the default."""


def sweep(
    open_feed: Callable[[], Feed],
    strategy: type[Strategy],
    configuration: Configuration,
    assumptions: Assumptions,
    points: Sequence[Point],
    train_share: float = 0.5,
    procs: int = 1,
    progress: Callable[[SweepProgress], None] | None = None,
) -> SweepResult:
    """Try the points, by `procs` processes: the result is the same with any number of them.

    `open_feed` is called anew for each reading, in other processes, too. Without `--poll`: a sweep
    has no scanner. Raises SweepError, FeedError, SweepDisagreesError.
    """
    assumptions = msgspec.structs.replace(assumptions, poll=None)
    tried = [_configuration_of(configuration, strategy, point) for point in points]
    if not tried:
        raise SweepError("an empty sweep: there is no point")
    feed = HeldFeed(open_feed)
    default = run(feed, strategy, configuration, assumptions)
    split = split_of(default.markets, train_share)
    one = _Sweep(feed, strategy, assumptions, [*tried, configuration], split, default.moments)
    sums, errors = one.played(procs, progress)
    order = _best_first(sums[:-1])
    best = order[:BEST]
    orders = one.agreed(default, len(tried), sums)
    for number, seen in zip(best, one.again(best, procs), strict=True):
        orders += one.agreed(seen, number, sums)
    swept = [_swept(point, each) for point, each in zip(points, sums, strict=False)]
    names = list(dict.fromkeys(name for point in points for name in point))
    defaults = {name: getattr(configuration.parameters, name) for name in names}
    axes = [_axis(name, points, defaults[name]) for name in names]
    return SweepResult(
        strategy=strategy.name,
        axes=axes,
        is_grid=_is_grid(axes, points),
        trials=len(points),
        train_share=train_share,
        train_blocks=split.train_blocks,
        test_blocks=split.test_blocks,
        train_markets=sum(split.is_train),
        test_markets=len(split.is_train) - sum(split.is_train),
        split_at_ms=split.at_ms,
        points=swept,
        best=order,
        default=_swept(defaults, sums[-1]),
        luck=_luck(sums[:-1], assumptions.seed),
        agreement=Agreement(points=len(best) + 1, orders=orders),
        twin=strategy in TWINS,
        strategy_error=default.strategy_error or next(filter(None, errors), ""),
    )


class _Sweep:
    def __init__(
        self,
        feed: HeldFeed,
        strategy: type[Strategy],
        assumptions: Assumptions,
        points: list[Configuration],
        split: Split,
        moments: int,
    ) -> None:
        self._feed = feed
        self._strategy = strategy
        self._assumptions = assumptions
        self._points = points
        self._split = split
        self._moments = moments

    def played(
        self, procs: int, progress: Callable[[SweepProgress], None] | None
    ) -> tuple[list[tuple[LaneSums, ...]], list[str]]:
        """(by point: its sums by bracket, what the strategy raised)."""
        count = len(self._points)
        shares = min(procs, count)
        bounds = [count * share // shares for share in range(shares + 1)]

        def play(share: int, tell: ShareProgress) -> tuple[list[tuple[LaneSums, ...]], str]:
            return self._play(self._points[bounds[share] : bounds[share + 1]], tell)

        text = f"{count - 1} points"
        if self._strategy not in TWINS:
            text += f", {self._strategy.name} asked itself: it has no vectorised twin"
        parts = in_shares(play, shares, text, progress)
        return [each for sums, _ in parts for each in sums], [error for _, error in parts]

    def _play(
        self, points: list[Configuration], tell: ShareProgress
    ) -> tuple[list[tuple[LaneSums, ...]], str]:
        is_train = self._split.is_train
        lanes = [
            [PointLane(bracket, point.limits, is_train) for bracket in BRACKETS]
            for point in points
        ]
        asking = None if self._strategy in TWINS else Asking(self._strategy, points)
        ask = None if asking is None else asking.ask
        collector = Collector(points[0].gate, self._assumptions, ask)
        for batch in collector.batches(self._told(tell, len(points) if asking else 0)):
            signals: TwinSignals | AskedSignals
            if asking is None:
                signals = TwinSignals(batch, self._strategy, points)
            else:
                signals = asking.signals(batch)
            for number, of_point in enumerate(lanes):
                _play(of_point, batch, signals.of(number))
        sums = [tuple(lane.finish() for lane in of_point) for of_point in lanes]
        return sums, "" if asking is None else asking.error
