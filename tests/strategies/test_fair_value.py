"""The barrier model: on markets whose truth is known."""

from __future__ import annotations

import random
from math import sqrt
from statistics import NormalDist, fmean

import pytest

from functions.core.trade import check_signal
from protocol.book import Book
from protocol.market import DOWN, UP
from strategies.fair_value import FairValue, _measure
from strategies.interface import Hold, Signal
from strategies.memory import MarketMemory
from strategies.view import MarketView
from tests.support.generated_views import mirrored_book
from tests.support.trading_builders import market

START_MS, WINDOW_MS, LEFT_MS = 1_790_000_000_000, 900_000, 400_000
NORMAL, SIZE_E6 = NormalDist(), 100_000_000
Parameters, Reason = FairValue.Parameters, FairValue.Reason
# Ticks of 0.001: rounding is small beside what the price does.
INFO = market(start_ms=START_MS, end_ms=START_MS + WINDOW_MS, tick_size_e4=10)


def book_at(mid: float, spread_e4: int = 20) -> Book:
    """Its mid on the grid, as near as can be."""
    bid_e4 = min(max(10, round(mid * 1_000) * 10 - spread_e4 // 2), 9_990 - spread_e4)
    return Book(token_id="u", bids=((bid_e4, SIZE_E6),), asks=((bid_e4 + spread_e4, SIZE_E6),))


def priced(
    ratio: float,
    *,
    seed: int = 1,
    distance: float = 10.0,
    count: int = 100,
    gap_ms: int = 2_000,
    until_ms: int = START_MS + WINDOW_MS - LEFT_MS,
) -> MarketView:
    """A market whose price moves `ratio` as much as its mids say, ending at `distance`."""
    chance, w, seen = random.Random(seed), distance, []
    memory = MarketMemory()
    for number in range(count):
        at_ms = until_ms - number * gap_ms
        left_s = (INFO.end_ms - at_ms) / 1_000
        seen.append((at_ms, book_at(NORMAL.cdf(w / sqrt(left_s)))))
        w += chance.gauss(0, ratio * sqrt(gap_ms / 1_000))
    seen.reverse()
    for number, (at_ms, book) in enumerate(seen):
        memory.note(INFO, book, at_ms, 1, number)
    up = seen[-1][1]
    return MarketView(INFO, up, mirrored_book(up), INFO.end_ms - until_ms, memory)


def decide(view: MarketView, **parameters: float) -> Signal | Hold:
    return FairValue.decide(view, Parameters(**parameters), 0)


# All that is measured, and signals whatever the edge.
PLAIN = {"window_s": 900, "prior_s": 0, "smoothing_s": 0, "edge_min_ticks": 0}


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.5])
def test_the_volatility_that_is_measured_is_the_one_that_was(ratio: float) -> None:
    ratios = []
    for seed in range(30):
        measured = _measure(priced(ratio, seed=seed), Parameters(**PLAIN))
        assert measured is not None
        assert measured.samples == 96
        ratios.append(measured.volatility_ratio)
    assert fmean(ratios) == pytest.approx(ratio, rel=0.05)


def test_the_fair_value_is_the_models() -> None:
    view = priced(0.5, seed=3)
    answer = decide(view, **PLAIN)
    assert isinstance(answer, Signal)
    assert view.up.mid_e4 is not None
    left_s = LEFT_MS / 1_000
    distance = NORMAL.inv_cdf(view.up.mid_e4 / 10_000) * sqrt(left_s)
    assert answer.numbers["distance_sqrt_s"] == pytest.approx(distance)
    assert answer.numbers["volatility_ratio"] == 0.6  # the floor
    fair_e4 = NORMAL.cdf(distance / (0.6 * sqrt(left_s))) * 10_000
    assert answer.numbers["fair_up_e4"] == pytest.approx(fair_e4)
    assert (answer.outcome, answer.value_e4) == (UP, pytest.approx(fair_e4))
    edge_ticks = (fair_e4 - view.up.asks[0][0]) / 10 - view.fee_ticks(view.up.asks[0][0])
    assert answer.numbers["edge_ticks"] == pytest.approx(edge_ticks)


@pytest.mark.parametrize(
    ("ratio", "distance", "outcome"),
    [(0.5, 10, UP), (0.5, -10, DOWN), (2.5, 10, DOWN), (2.5, -10, UP)],
)
def test_a_calm_market_makes_the_favourite_cheap_and_a_wild_one_the_outsider(
    ratio: float, distance: float, outcome: str
) -> None:
    answer = decide(priced(ratio, distance=distance, seed=5), **PLAIN)
    assert isinstance(answer, Signal)
    assert answer.outcome == outcome


def test_with_a_long_prior_the_market_is_right() -> None:
    assert decide(priced(0.5), **PLAIN | {"prior_s": 3_600}) == Hold(Reason.NO_EDGE)


def test_smoothing_averages_the_newest_distances() -> None:
    plain, smoothed = (
        decide(priced(0.5), **PLAIN),
        decide(priced(0.5), **PLAIN | {"smoothing_s": 60}),
    )
    assert isinstance(plain, Signal)
    assert isinstance(smoothed, Signal)
    assert plain.numbers["distance_sqrt_s"] != smoothed.numbers["distance_sqrt_s"]
    assert plain.numbers["volatility_ratio"] == smoothed.numbers["volatility_ratio"]


def test_books_nearer_than_a_step_are_one_and_those_from_before_the_window_none() -> None:
    parameters = Parameters(**PLAIN | {"samples_min": 3, "seen_min_s": 1})
    dense = _measure(priced(0.5, gap_ms=100, count=200), parameters)
    assert dense is not None
    # 19.9 s in steps of 2, of which the memory keeps the first 7 s by the second.
    assert (dense.samples, dense.seen_s) == (10, 18.9)
    early = priced(0.5, until_ms=START_MS + 20_000)
    measured = _measure(early, parameters)
    assert measured is not None
    assert (measured.samples, measured.seen_s) == (11, 20.0)
    assert decide(early, **PLAIN) == Hold(Reason.TOO_FEW_BOOKS)


def test_a_market_of_fifty_books_a_second_is_measured_over_its_window_too() -> None:
    busy = _measure(priced(0.5, gap_ms=20, count=6_000), Parameters())
    assert busy is not None
    assert busy.seen_s > 85


def same_prices() -> MarketView:
    view = priced(0.5)
    view.memory.note(INFO, view.up, INFO.end_ms - LEFT_MS + 1, 2, 1)
    return view


@pytest.mark.parametrize(
    ("reason", "view", "parameters"),
    [
        (Reason.CROSSED, priced(0.5), {}),
        (Reason.OUTSIDE_PRICE_ZONE, priced(0.5, distance=40), {}),
        (Reason.SPREAD_TOO_WIDE, priced(0.5), {"spread_max_e4": 10}),
        (Reason.TOO_CLOSE_TO_CLOSE, priced(0.5), {"time_to_close_min_s": 401}),
        (Reason.TOO_FEW_BOOKS, priced(0.5, count=14), {}),
        (Reason.TOO_FEW_BOOKS, priced(0.5, gap_ms=2), {}),
        (Reason.SAME_PRICES, same_prices(), {}),
        (Reason.NO_EDGE, priced(0.5), {"edge_min_ticks": 100}),
    ],
)
def test_each_refusal_has_its_reason(
    reason: Reason, view: MarketView, parameters: dict[str, float]
) -> None:
    if reason is Reason.CROSSED:
        crossed = Book(token_id="u", bids=((5_000, 1),), asks=((5_000, 1),))
        view = MarketView(INFO, crossed, view.down, view.time_to_close_ms, view.memory)
    assert decide(view, **parameters) == Hold(reason)


def test_a_missing_side_of_either_outcome_is_one_sided() -> None:
    view, half = priced(0.5), Book(token_id="d", bids=(), asks=((5_000, 1),))
    for up, down in ((half, view.down), (view.up, half)):
        answer = decide(MarketView(INFO, up, down, LEFT_MS, view.memory))
        assert answer == Hold(Reason.ONE_SIDED)


def test_no_value_is_certain() -> None:
    """Shortly before the close the model's own answer is smaller than what a decision can store."""
    view = priced(0.5, distance=-50)
    answer = decide(
        MarketView(INFO, view.up, view.down, 11_000, view.memory),
        **PLAIN,
        mid_min_e4=0,
        time_to_close_min_s=1,
    )
    assert isinstance(answer, Signal)
    assert (answer.outcome, answer.value_e4) == (DOWN, 9_999)
    assert answer.numbers["fair_up_e4"] == 1
    check_signal(answer)
