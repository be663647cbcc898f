"""Points played over a feed, all of them batch by batch; and the same sums of production's run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from backtest.engine.assumptions import Assumptions
from backtest.engine.observations import Observations
from backtest.feed.events import FeedEvent
from backtest.sweep.desk import BRACKETS
from backtest.sweep.features import TWINS
from backtest.sweep.moments import BATCH_BOOKS, Batch, Collector
from backtest.sweep.play import LaneSums, PointLane, Signals
from backtest.sweep.shares import ShareProgress
from backtest.sweep.signals import AskedSignals, Asking, TwinSignals
from functions.core.configuration import Configuration
from strategies.interface import Strategy

PointSums: TypeAlias = tuple[LaneSums, ...]
"""By bracket, as `BRACKETS`."""


class Told(msgspec.Struct, frozen=True):
    """Who is told how much is done."""

    tell: ShareProgress = lambda _: None
    events: int = 1
    """Of the feed, about."""


def played(
    feed: Iterable[FeedEvent],
    strategy: type[Strategy],
    assumptions: Assumptions,
    points: list[Configuration],
    is_train: Sequence[bool],
    *,
    told: Told | None = None,
    batch_books: int = BATCH_BOOKS,
) -> tuple[list[PointSums], str]:
    """(what each point came to, the first thing that the strategy raised).

    The points differ in their parameters only. `is_train`: by market, in order of their first book.
    """
    told = told or Told()
    lanes = [
        [PointLane(bracket, point.limits, is_train) for bracket in BRACKETS] for point in points
    ]
    asking = None if strategy in TWINS else Asking(strategy, points)
    ask = None if asking is None else asking.ask
    collector = Collector(points[0].gate, assumptions, ask, batch_books)
    read = 0
    for batch in collector.batches(feed if asking is None else _telling(feed, told)):
        signals: TwinSignals | AskedSignals = (
            TwinSignals(batch, strategy, points) if asking is None else asking.signals(batch)
        )
        for number, of_point in enumerate(lanes):
            _play(of_point, batch, signals.of(number))
            if asking is None:
                done = read + (collector.events - read) * (number + 1) / len(points)
                told.tell(done / told.events)
        read = collector.events
    sums = [tuple(lane.finish() for lane in of_point) for of_point in lanes]
    return sums, "" if asking is None else asking.error


def _telling(feed: Iterable[FeedEvent], told: Told) -> Iterator[FeedEvent]:
    """Where the strategy is asked, reading on is what takes the time."""
    for number, event in enumerate(feed, start=1):
        yield event
        told.tell(number / told.events)


def _play(lanes: list[PointLane], batch: Batch, signals: Signals) -> None:
    positions = batch.position[signals.moments].tolist()
    bounds = np.searchsorted(signals.moments, batch.bounds).tolist()
    for lane in lanes:
        lane.play(batch, signals, positions, bounds)


def sums_of(seen: Observations, is_train: Sequence[bool]) -> PointSums:
    """What a run of production came to."""
    both: list[LaneSums] = []
    for bracket in BRACKETS:
        sums = LaneSums()
        for order in seen.lane(bracket).orders:
            (sums.train if is_train[order.market] else sums.test).add(order)
        both.append(sums)
    return tuple(both)
