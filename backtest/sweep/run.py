"""A sweep: many points of a strategy's parameters on one feed, each traded as production would.

What decides is vectorised, or asked once a moment (`signals`); what executes is the run's desk,
which remembers (`desk`), on the few signals that are not refused (`play`). Points are chosen by the
first part of the time and tested on the rest, and production runs the best and the default again
over the whole feed: where it does not agree there is no result.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
from pydantic import ValidationError

from backtest.engine.assumptions import Assumptions
from backtest.engine.observations import MarketSeen
from backtest.engine.run import run
from backtest.feed.events import Feed
from backtest.measures.sections import Both
from backtest.sweep.desk import BRACKETS
from backtest.sweep.features import TWINS
from backtest.sweep.grid import Point, SweepError
from backtest.sweep.held_feed import HeldFeed
from backtest.sweep.luck import luck_of
from backtest.sweep.play import HalfSums
from backtest.sweep.points import PointSums, Told, played, sums_of
from backtest.sweep.result import (
    Agreement,
    Half,
    Luck,
    SweepDisagreesError,
    SweepResult,
    SweptAxis,
    SweptPoint,
)
from backtest.sweep.shares import ShareProgress, SweepProgress, in_shares
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
    *,
    train_share: float = 0.5,
    procs: int = 1,
    progress: Callable[[SweepProgress], None] | None = None,
) -> SweepResult:
    """Try the points, by `procs` processes: the result is the same with any number of them.

    `open_feed` is called for each reading of what is too much to be held, in other processes, too.
    There is no scanner in a sweep, whatever the assumptions say. Raises SweepError, FeedError,
    SweepDisagreesError.
    """
    assumptions = msgspec.structs.replace(assumptions, poll=None)
    tried = [_configuration_of(configuration, strategy, point) for point in points]
    if not tried:
        raise SweepError("an empty sweep: there is no point")
    feed = HeldFeed(open_feed)
    default = run(feed, strategy, configuration, assumptions)
    split = split_of(default.markets, train_share)
    one = _Sweep(
        feed,
        strategy,
        assumptions,
        [*tried, configuration],
        split,
        default.moments + len(default.markets),
    )
    with _held_books_set_aside():
        sums, error = one.played(procs, progress)
        ranked = _best_first(sums[:-1])
        again = one.again(ranked[:BEST], procs)
    orders = _check("the default", sums[-1], sums_of(default, split.is_train))
    for number, production in zip(ranked, again, strict=False):
        orders += _check(_named(points[number]), sums[number], production)
    axes = _axes(points, configuration)
    defaults = {axis.name: axis.default for axis in axes}
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
        points=[_swept(point, each) for point, each in zip(points, sums[:-1], strict=True)],
        best=ranked,
        default=_swept(defaults, sums[-1]),
        luck=_luck(sums[:-1], assumptions.seed, default.markets),
        agreement=Agreement(points=len(again) + 1, orders=orders),
        twin=strategy in TWINS,
        strategy_error=default.strategy_error or error,
    )


@contextmanager
def _held_books_set_aside() -> Iterator[None]:
    """They stay as long as the sweep: the collector of garbage, which would look at each of them
    again and again, takes a fifth of the time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Sweep:
    def __init__(
        self,
        feed: HeldFeed,
        strategy: type[Strategy],
        assumptions: Assumptions,
        points: list[Configuration],
        split: Split,
        events: int,
    ) -> None:
        self._feed = feed
        self._strategy = strategy
        self._assumptions = assumptions
        self._points = points
        self._split = split
        self._events = events
        """About so many; for the progress."""

    def played(
        self, procs: int, progress: Callable[[SweepProgress], None] | None
    ) -> tuple[list[PointSums], str]:
        """(by point: its sums by bracket, the first thing that the strategy raised)."""
        count = len(self._points)
        shares = min(procs, count)
        bounds = [count * share // shares for share in range(shares + 1)]

        def play(share: int, tell: ShareProgress) -> tuple[list[PointSums], str]:
            return played(
                self._feed,
                self._strategy,
                self._assumptions,
                self._points[bounds[share] : bounds[share + 1]],
                self._split.is_train,
                told=Told(tell, self._events),
            )

        text = f"{count - 1} points"
        if self._strategy not in TWINS:
            text += f", {self._strategy.name} asked itself: it has no vectorised twin"
        parts = in_shares(play, shares, text, progress)
        errors = [error for _, error in parts if error]
        return [each for sums, _ in parts for each in sums], errors[0] if errors else ""

    # -- production's word -------------------------------------------------------------------------

    def again(self, numbers: Sequence[int], procs: int) -> list[PointSums]:
        """What production makes of these points over the whole feed."""
        shares = min(procs, len(numbers)) or 1

        def rerun(share: int, _: ShareProgress) -> list[PointSums]:
            return [self._rerun(number) for number in numbers[share::shares]]

        parts = in_shares(rerun, shares, "", None)
        return [parts[place % shares][place // shares] for place in range(len(numbers))]

    def _rerun(self, number: int) -> PointSums:
        seen = run(self._feed, self._strategy, self._points[number], self._assumptions)
        return sums_of(seen, self._split.is_train)


def _check(point: str, swept: PointSums, production: PointSums) -> int:
    """How many orders agree. Raises SweepDisagreesError unless all do."""
    orders = 0
    for bracket, ours, theirs in zip(BRACKETS, swept, production, strict=True):
        for half, our, their in (
            ("train", ours.train, theirs.train),
            ("test", ours.test, theirs.test),
        ):
            orders += our.orders
            if our != their:
                raise SweepDisagreesError(
                    f"the sweep and production disagree at {point} ({bracket}, {half} half):"
                    f" {our.orders} orders and {our.pnl_e6 / 1e6:+.6f} USD against"
                    f" {their.orders} and {their.pnl_e6 / 1e6:+.6f}; no number of it can be used"
                )
    return orders


# -- numbers ---------------------------------------------------------------------------------------


def _configuration_of(
    configuration: Configuration, strategy: type[Strategy], point: Point
) -> Configuration:
    """Raises SweepError for what is not tunable, and for values that the strategy refuses."""
    for name in point:
        if name not in strategy.Parameters.tunable():
            raise SweepError(f"{name}: not marked tunable")
    values = configuration.parameters.model_dump() | point
    try:
        parameters = strategy.Parameters.model_validate(values)
    except ValidationError as error:
        raise SweepError(f"{_named(point)}: {mistakes_in(error)}") from None
    except Exception as error:
        # A strategy's parameters have validators of its own.
        raise SweepError(f"{_named(point)}: raises {type(error).__name__}") from error
    return msgspec.structs.replace(configuration, parameters=parameters)


def _named(point: Point) -> str:
    return " ".join(f"{name}={value:g}" for name, value in point.items())


def _best_first(sums: Sequence[PointSums]) -> list[int]:
    """By train P&L, `next` first; points without a settled order there are not ranked."""

    def goodness(number: int) -> tuple[int, int, int]:
        unchanged, after = sums[number]
        return after.train.pnl_e6, unchanged.train.pnl_e6, -number

    ranked = [number for number, (_, after) in enumerate(sums) if after.train.settled]
    return sorted(ranked, key=goodness, reverse=True)


def _swept(parameters: Point, sums: PointSums) -> SweptPoint:
    return SweptPoint(
        parameters=parameters,
        train=Both(*(_half(each.train) for each in sums)),
        test=Both(*(_half(each.test) for each in sums)),
    )


def _half(sums: HalfSums) -> Half:
    return Half(
        orders=sums.orders,
        filled=sums.filled,
        settled=sums.settled,
        spent_e6=sums.spent_e6,
        pnl_e6=sums.pnl_e6,
        return_on_stake=sums.pnl_e6 / sums.spent_e6 if sums.spent_e6 else None,
    )


def _axes(points: Sequence[Point], configuration: Configuration) -> list[SweptAxis]:
    names = dict.fromkeys(name for point in points for name in point)
    return [
        SweptAxis(
            name=name,
            values=tuple(sorted({point[name] for point in points if name in point})),
            default=getattr(configuration.parameters, name),
        )
        for name in names
    ]


def _is_grid(axes: Sequence[SweptAxis], points: Sequence[Point]) -> bool:
    """Whether the points are all combinations of the axes' values, each once."""
    different = {tuple(sorted(point.items())) for point in points}
    combinations = math.prod(len(axis.values) for axis in axes)
    whole = all(len(point) == len(axes) for point in points)
    return whole and len(different) == len(points) == combinations


def _luck(sums: Sequence[PointSums], seed: int, markets: Sequence[MarketSeen]) -> Both[Luck] | None:
    both: list[Luck] = []
    windows = [(each.start_ms, each.end_ms) for each in markets]
    for bracket in range(len(BRACKETS)):
        lanes = [each[bracket] for each in sums if each[bracket].train.settled]
        best = max((lane.train.pnl_e6 for lane in lanes), default=0)
        luck = luck_of([lane.bought for lane in lanes], best, seed, windows)
        if luck is None:
            return None
        both.append(luck)
    return Both(*both)
