"""Blocks of markets, what is drawn over them, and Wilson's interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.measures.intervals import (
    BLOCKS_MAX,
    Blocks,
    blocks_needed,
    blocks_of,
    mean,
    ratio_of_sums,
    student_t,
    wilson,
)

few = settings(max_examples=30)


def of(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def alone(count: int) -> Blocks:
    """So many markets one after the other, each a block."""
    return blocks_of([(each, each + 1) for each in range(count)], seed=1)


def test_markets_that_are_open_at_the_same_time_are_one_block() -> None:
    windows = [(900, 1_800), (0, 900), (300, 600), (1_700, 1_900), (1_900, 2_000)]
    assert blocks_of(windows, seed=1).of_market.tolist() == [1, 0, 0, 1, 2]


def test_a_long_market_joins_all_that_it_overlaps() -> None:
    windows = [(0, 100), (0, 10), (20, 30), (100, 110)]
    assert blocks_of(windows, seed=1).of_market.tolist() == [0, 0, 0, 1]


@few
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda w: (w[0], w[0] + w[1])),
        max_size=12,
    )
)
def test_two_overlapping_windows_are_never_in_two_blocks(windows: list[tuple[int, int]]) -> None:
    block = blocks_of(windows, seed=1).of_market
    for one, (start, end) in enumerate(windows):
        for other, (other_start, other_end) in enumerate(windows):
            if start < other_end and other_start < end:
                assert block[one] == block[other]


def test_each_draw_takes_as_many_blocks_as_there_are() -> None:
    assert set(alone(18).weights.sum(axis=1)) == {18.0}


def test_of_very_many_blocks_neighbours_are_drawn_together() -> None:
    blocks = alone(2 * BLOCKS_MAX)
    assert blocks.count == BLOCKS_MAX
    assert blocks.of_market[:4].tolist() == [0, 0, 1, 1]


def test_a_mean_is_of_the_rows_that_are_known() -> None:
    estimate = mean(alone(3), np.array([0, 0, 1, 2]), of([1, 2, np.nan, 6]))
    assert (estimate.value, estimate.n, estimate.blocks) == (3.0, 3, 2)


def test_what_never_varies_has_no_width() -> None:
    estimate = mean(alone(10), np.arange(10), np.full(10, 2.5))
    assert (estimate.low, estimate.value, estimate.high) == (2.5, 2.5, 2.5)


def test_one_block_has_no_interval() -> None:
    estimate = mean(alone(5), np.zeros(100, dtype=np.intp), np.arange(100.0))
    assert estimate.value == 49.5
    assert estimate.low is estimate.high is None


def test_below_five_blocks_there_is_no_interval_because_it_would_be_none() -> None:
    few, enough = (
        mean(alone(count), np.arange(count), of([1.0, -1.0, 2.0, -2.0, 3.0][:count]))
        for count in (4, 5)
    )
    assert few.value is not None and few.low is few.high is None
    assert enough.low is not None and enough.high is not None


def test_without_rows_nothing_is_said() -> None:
    assert mean(alone(5), np.zeros(0, dtype=np.intp), of([])).value is None
    assert mean(alone(0), np.zeros(0, dtype=np.intp), of([])).value is None
    assert ratio_of_sums(alone(2), np.array([0, 1]), of([1, 1]), of([0, 0])).value is None


def test_the_same_trades_a_hundred_times_are_no_more_certain() -> None:
    chance = np.random.default_rng(7)
    by_market = chance.normal(0, 1, 20)
    once = mean(alone(20), np.arange(20), by_market)
    often = mean(alone(20), np.arange(20).repeat(100), by_market.repeat(100))
    assert once.low == pytest.approx(often.low)
    assert once.high == pytest.approx(often.high)


def test_the_interval_is_about_two_standard_errors_and_a_little_more() -> None:
    values = np.random.default_rng(3).normal(0, 1, 200)
    estimate = mean(alone(200), np.arange(200), values)
    assert estimate.low is not None and estimate.high is not None
    width = estimate.high - estimate.low
    assert width / (2 * 1.97 * values.std() / np.sqrt(200)) == pytest.approx(1, abs=0.07)


def test_of_a_hundred_experiments_about_five_miss_the_truth() -> None:
    chance, missed = np.random.default_rng(11), 0
    blocks = alone(12)
    for _ in range(200):
        estimate = mean(blocks, np.arange(12), chance.normal(0, 1, 12))
        assert estimate.low is not None and estimate.high is not None
        missed += not estimate.low <= 0 <= estimate.high
    assert 3 <= missed <= 20  # 10 wanted; the plain percentiles miss about 20


def test_a_seed_gives_the_same_interval_and_another_one_another() -> None:
    windows = [(each, each + 1) for each in range(18)]
    values = np.random.default_rng(5).normal(0, 1, 18)
    first, again, other = (
        mean(blocks_of(windows, seed), np.arange(18), values) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(("degrees", "t"), [(9, 2.262), (17, 2.110), (100, 1.984)])
def test_students_t_is_that_of_the_tables(degrees: int, t: float) -> None:
    assert student_t(degrees) == pytest.approx(t, abs=0.001)


def test_how_many_blocks_would_show_an_edge() -> None:
    # Blocks of -1 and +1: sd 1 (and 20 / 19 for the degree of freedom); (2.80 / 0.1)^2 = 785.
    needed = blocks_needed(alone(20), np.arange(20), of([-1, 1] * 10), np.ones(20), 0.1)
    assert needed == pytest.approx(785 * 20 / 19, abs=1)


def test_an_edge_of_nothing_is_never_shown() -> None:
    assert blocks_needed(alone(2), np.arange(2), of([1, 2]), np.ones(2), 0.0) is None
    assert blocks_needed(alone(1), np.zeros(1, dtype=np.intp), of([1]), np.ones(1), 0.1) is None


def test_wilsons_interval_is_that_of_the_books() -> None:
    rate = wilson(8, 10)
    assert rate.low == pytest.approx(0.4902, abs=1e-4)
    assert rate.high == pytest.approx(0.9433, abs=1e-4)


def test_orders_of_one_market_are_one_draw() -> None:
    assert wilson(16, 20, independent=10).low == wilson(8, 10).low
    assert wilson(0, 0).value is None


@few
@given(st.integers(0, 40), st.integers(1, 40))
def test_wilsons_interval_holds_the_rate_and_stays_within_one(hits: int, misses: int) -> None:
    rate = wilson(hits, hits + misses)
    assert rate.value is not None and rate.low is not None and rate.high is not None
    assert 0 <= rate.low <= rate.value + 1e-12 and rate.value <= rate.high + 1e-12 <= 1 + 1e-9
