"""The whole of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from backtest.engine.assumptions import PLAN_POLLING, Assumptions
from backtest.engine.latency import Latency
from backtest.feed.bundled import BundledFeed
from backtest.feed.events import FeedEvent
from backtest.sweep import features
from backtest.sweep.features.book_imbalance import BookImbalanceTwin
from backtest.sweep.grid import Point, SweepError, axes_of, grid
from backtest.sweep.held_feed import HeldFeed
from backtest.sweep.result import SweepDisagreesError, SweepResult
from backtest.sweep.run import sweep
from backtest.sweep.shares import SweepProgress
from recordings.loader import bundled
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy
from strategies.order_flow_imbalance import OrderFlowImbalance
from tests.support.made_up_feeds import ListFeed, configuration_of

ASSUMPTIONS = Assumptions(latency=Latency.constant(10), poll=PLAN_POLLING)
POINTS = grid(
    axes_of(["levels=2..8:3", "imbalance_min=0.3..0.7:0.2"], BookImbalance.Parameters),
)


@pytest.fixture(scope="module")
def events() -> list[FeedEvent]:
    return list(BundledFeed(bundled()[2:5]))


def swept(
    events: list[FeedEvent],
    points: Sequence[Point] = POINTS,
    strategy: type[Strategy] = BookImbalance,
    **options: Any,
) -> SweepResult:
    configuration = configuration_of(strategy)
    return sweep(lambda: ListFeed(events), strategy, configuration, ASSUMPTIONS, points, **options)


def test_every_point_has_both_halves(events: list[FeedEvent]) -> None:
    result = swept(events, train_share=0.7)
    assert result.trials == len(result.points) == 9
    assert result.is_grid
    assert [(axis.name, axis.values, axis.default) for axis in result.axes] == [
        ("levels", (2, 5, 8), 5),
        ("imbalance_min", (0.3, 0.5, 0.7), 0.5),
    ]
    assert (result.train_markets, result.test_markets) == (2, 1)
    assert (result.train_blocks, result.test_blocks) == (2, 1)
    starts = sorted({each.market.start_ms for each in events if hasattr(each, "market")})
    assert result.split_at_ms == starts[2]
    # The default is among the points, and is nevertheless told by itself.
    middle = result.points[POINTS.index({"levels": 5, "imbalance_min": 0.5})]
    assert (middle.train, middle.test) == (result.default.train, result.default.test)
    assert middle.train.next.orders > 0 < middle.test.next.orders
    best = [point.train.next.pnl_e6 for point in result.best_points]
    assert best == sorted(best, reverse=True)
    assert result.agreement.points == 6
    assert result.agreement.orders > 20
    assert result.luck is not None
    assert result.luck.next.best_pnl_e6 == best[0]
    assert result.twin
    assert msgspec.json.decode(msgspec.json.encode(result), type=SweepResult) == result


def test_the_same_bytes_whatever_the_processes(events: list[FeedEvent]) -> None:
    one, two = (msgspec.json.encode(swept(events, procs=procs)) for procs in (1, 2))
    assert one == two


def test_points_that_are_no_grid(events: list[FeedEvent]) -> None:
    assert not swept(events, [{"levels": 2}, {"levels": 3, "hurdle_ticks": 1.0}]).is_grid


def test_a_twin_that_is_wrong_is_found_out(
    events: list[FeedEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(BookImbalanceTwin):
        def wants(self, parameters: BookImbalance.Parameters) -> np.ndarray[Any, Any]:
            return np.roll(super().wants(parameters), 1)

    monkeypatch.setitem(features.TWINS, BookImbalance, Careless)
    with pytest.raises(SweepDisagreesError, match=r"^the sweep and production disagree at .*USD"):
        swept(events)


def test_a_strategy_without_a_twin_is_asked_and_that_is_said(events: list[FeedEvent]) -> None:
    told: list[SweepProgress] = []
    result = swept(events[:1_900], [{"levels": 2}], OrderFlowImbalance, progress=told.append)
    assert not result.twin
    assert result.default.train.next.orders > 0
    assert all("no vectorised twin" in each.text for each in told)


@pytest.mark.parametrize(
    ("points", "train_share", "says"),
    [
        ([], 0.5, "an empty sweep: there is no point"),
        ([{"cooldown_s": 3}], 0.5, "cooldown_s: not marked tunable"),
        ([{"levels": 41}], 0.5, "levels=41: levels: Input should be less than or equal to 40"),
        ([{"levels": 4}], 1.0, "train 1: a share between 0 and 1 is wanted, e.g. 0.5"),
    ],
)
def test_what_cannot_be_swept(
    events: list[FeedEvent], points: list[Point], train_share: float, says: str
) -> None:
    with pytest.raises(SweepError) as raised:
        swept(events, points, train_share=train_share)
    assert str(raised.value) == says


def test_one_market_cannot_choose_and_test() -> None:
    with pytest.raises(SweepError, match="a sweep needs two at least"):
        swept(list(BundledFeed(bundled()[:1]))[:50])


def test_a_small_feed_is_read_once_and_a_large_one_each_time() -> None:
    read = []

    class Counted(ListFeed):
        def __iter__(self) -> Iterator[FeedEvent]:
            read.append(len(self.events))
            return super().__iter__()

    events = list(BundledFeed(bundled()[:1]))[:20]
    small, large = (HeldFeed(lambda: Counted(events), held_max=most) for most in (20, 19))
    for feed in (small, small, large, large):
        assert list(feed) == events
    assert len(read) == 3
