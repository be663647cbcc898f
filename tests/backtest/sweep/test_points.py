"""A swept point trades as production does: every order, in both brackets, to the micro-USD."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine.assumptions import Assumptions
from backtest.engine.latency import Latency
from backtest.engine.run import run
from backtest.feed.bundled import BundledFeed
from backtest.feed.events import FeedEvent
from backtest.sweep.points import played, sums_of
from functions.core.configuration import Configuration
from protocol.snapshot import BookSnapshot, with_bids
from recordings.loader import bundled
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy
from tests.support.made_up_feeds import (
    Failing,
    Leaning,
    ListFeed,
    assumptions_of,
    configuration_of,
    made_up_configuration,
    made_up_events,
)

LATENCIES = (Latency.constant(10), Latency.between(0, 5_000), Latency.between(0, 120_000))
SETTINGS: tuple[dict[str, str], ...] = (
    {},
    {"max_entries_per_market": "1"},
    {"cooldown_s": "2", "max_positions": "100", "min_time_to_close_s": "0"},
    {"cooldown_s": "20", "size_usd": "40", "max_positions": "1", "daily_spend_cap_usd": "400"},
)


@pytest.fixture(scope="module")
def one_market() -> list[FeedEvent]:
    return list(BundledFeed(bundled()[2:3]))


def with_parameters(configuration: Configuration, rng: random.Random) -> Configuration:
    """All six of them, anywhere that trades now and then."""
    parameters = BookImbalance.Parameters(
        levels=rng.randint(1, 40),
        imbalance_min=rng.choice((0.0, rng.random())),
        mid_min_e4=rng.randrange(0, 5_000, 50),
        mid_max_e4=rng.randrange(5_000, 10_050, 50),
        spread_max_e4=rng.choice((10, 100, 200, 400)),
        hurdle_ticks=rng.choice((0.0, 0.0, rng.uniform(0, 2))),
    )
    return msgspec.structs.replace(configuration, parameters=parameters)


def assert_agree(
    events: list[FeedEvent],
    strategy: type[Strategy],
    assumptions: Assumptions,
    points: list[Configuration],
    batch_books: int,
) -> int:
    """How many orders there were."""
    assumptions = msgspec.structs.replace(assumptions, poll=None)
    markets = {each.market.condition_id for each in events if isinstance(each, BookSnapshot)}
    is_train = [number % 2 == 0 for number in range(len(markets))]
    swept, _ = played(events, strategy, assumptions, points, is_train, batch_books=batch_books)
    orders = 0
    for point, sums in zip(points, swept, strict=True):
        production = sums_of(run(ListFeed(events), strategy, point, assumptions), is_train)
        for ours, theirs in zip(sums, production, strict=True):
            assert (ours.train, ours.test) == (theirs.train, theirs.test), point.parameters
            orders += ours.train.orders + ours.test.orders
    return orders


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_26_points_on_recorded_books(one_market: list[FeedEvent], number: int) -> None:
    rng = random.Random(number)
    configuration = configuration_of(BookImbalance, **SETTINGS[number])
    points = [with_parameters(configuration, rng) for _ in range(26)]  # 104 in all
    assumptions = Assumptions(latency=rng.choice(LATENCIES), taker_delay_ms=rng.choice((0, 250)))
    assert assert_agree(one_market, BookImbalance, assumptions, points, 300) > 20


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), batch_books=st.sampled_from([1, 7, 50, 10_000]))
def test_overlapping_markets_and_damaged_books(seed: int, batch_books: int) -> None:
    rng = random.Random(seed)
    configuration = made_up_configuration(seed, BookImbalance)
    points = [with_parameters(configuration, rng) for _ in range(3)]
    events = made_up_events(seed)
    if seed % 2:  # as recorded of feeders that were told to publish fewer bids
        events = [
            with_bids(each, rng.choice((10, 20, 40))) if isinstance(each, BookSnapshot) else each
            for each in events
        ]
    assert_agree(events, BookImbalance, assumptions_of(seed), points, batch_books)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    strategy=st.sampled_from([Leaning, Failing]),
    batch_books=st.sampled_from([5, 10_000]),
)
def test_a_strategy_without_a_twin(seed: int, strategy: type[Strategy], batch_books: int) -> None:
    points = [made_up_configuration(seed, strategy)] * 2
    assert_agree(made_up_events(seed), strategy, assumptions_of(seed), points, batch_books)
