"""A sweep as a person writes it, and the points that come of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.sweep.grid import (
    POINTS_MAX,
    Axis,
    SweepError,
    axes_of,
    grid,
    parse_sweep,
    random_points,
)
from strategies.book_imbalance import BookImbalance
from strategies.parameters import StrategyParameters, parameter

Imbalance = BookImbalance.Parameters


class Odd(StrategyParameters):
    """What the built-ins do not have."""

    fixed: int = parameter(1, "Not to be swept.", ge=0)
    word: str = parameter("a", "No number.", tunable=True)
    shift: float = parameter(0.0, "May be negative.", ge=-1, le=1, tunable=True)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("imbalance_min=0.3..0.7:0.1", (0.3, 0.4, 0.5, 0.6, 0.7)),
        ("imbalance_min=0.3..0.6:0.2", (0.3, 0.5)),
        ("imbalance_min=0..1", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        ("imbalance_min=.5...6:.05", (0.5, 0.55, 0.6)),
        ("imbalance_min=0.5..0.5", (0.5,)),
        ("levels=1..4", (1, 2, 3, 4)),
        ("levels=1..21", (1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21)),
        ("levels=1..10:4", (1, 5, 9)),
    ],
)
def test_a_range_gives_exactly_the_values_that_were_written(
    text: str, values: tuple[float, ...]
) -> None:
    axis = parse_sweep(text, Imbalance)
    assert axis.values == values
    assert {type(each) for each in axis.values} == {type(values[0])}
    assert (axis.name, axis.text) == tuple(text.split("=", 1))


def test_a_range_may_begin_below_zero() -> None:
    assert parse_sweep("shift=-0.5..0.5:0.5", Odd).values == (-0.5, 0.0, 0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("levels", "'levels': name=a..b or name=a..b:step is wanted, e.g. levels=1..10:1"),
        ("levels=1-10", "is wanted"),
        ("levels=1..10:", "is wanted"),
        ("levels=1..nan", "is wanted"),
        ("levels=1..1e3", "is wanted"),
        ("levels=\u0661..\u0663", "is wanted"),  # digits, but not ours
        ("levels=10..1", "levels=10..1: an empty sweep: 1 is below 10"),
        ("levels=1..10:0", "levels=1..10:0: an empty sweep: the step must be above 0"),
        ("levels=1..10:-1", "the step must be above 0"),
        ("levels=1..10:0.5", "levels takes whole numbers"),
        ("levels=1.5..10:1", "levels takes whole numbers"),
        ("levels=0..5", "levels: 0: Input should be greater than or equal to 1"),
        ("levels=1..41", "levels: 41: Input should be less than or equal to 40"),
        ("imbalance_min=0..1:0.000001", "1,000,001 values; a sweep has at most 100,000 points"),
        (
            "cooldown_s=1..2",
            "cooldown_s: a setting of the account, which only --set can change; tunable are: ",
        ),
    ],
)
def test_what_cannot_be_swept_is_one_line(text: str, says: str) -> None:
    with pytest.raises(SweepError, match=r"^[^\n]+$") as caught:
        parse_sweep(text, Imbalance)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fixed=1..2", "fixed: not marked tunable; tunable are: word, shift"),
        ("word=1..2", "word: only a parameter that is a number can be swept"),
    ],
)
def test_only_tunable_numbers_are_swept(text: str, says: str) -> None:
    with pytest.raises(SweepError) as caught:
        parse_sweep(text, Odd)
    assert str(caught.value) == says


def test_a_parameter_is_swept_once() -> None:
    with pytest.raises(SweepError, match=r"^levels: swept twice$"):
        axes_of(["levels=1..2", "levels=3..4"], Imbalance)


def test_the_grid_is_every_combination() -> None:
    axes = axes_of(["levels=1..2", "imbalance_min=0.4..0.5:0.1"], Imbalance)
    assert grid(axes) == [
        {"levels": 1, "imbalance_min": 0.4},
        {"levels": 1, "imbalance_min": 0.5},
        {"levels": 2, "imbalance_min": 0.4},
        {"levels": 2, "imbalance_min": 0.5},
    ]


def test_a_grid_of_too_many_points_is_refused_before_it_is_made() -> None:
    values = tuple(range(1_000))
    huge = Axis(name="a", text="", values=values, first=0, last=999, stepped=True)
    with pytest.raises(SweepError, match=r"^1,000,000 points; a sweep has at most 100,000"):
        grid([huge, huge])


def test_no_axis_is_no_sweep() -> None:
    for make in (grid, lambda axes: random_points(axes, 1, 1)):
        with pytest.raises(SweepError, match="an empty sweep"):
            make([])


def test_drawn_points_are_of_the_ranges_and_each_is_drawn_once() -> None:
    axes = axes_of(["levels=1..40", "imbalance_min=0.3..0.7"], Imbalance)
    points = random_points(axes, 500, seed=7)
    assert len({tuple(point.items()) for point in points}) == 500
    assert all(isinstance(point["levels"], int) for point in points)
    assert {point["levels"] for point in points} == set(range(1, 41))  # not the ten steps alone
    assert all(0.3 <= point["imbalance_min"] <= 0.7 for point in points)
    assert all(len(repr(point["imbalance_min"])) <= 8 for point in points)  # can be typed again
    assert points == random_points(axes, 500, seed=7)
    assert points != random_points(axes, 500, seed=8)


def test_of_an_axis_with_a_step_only_its_values_are_drawn_all_if_so_many_are_wanted() -> None:
    axes = axes_of(["levels=1..10:3", "imbalance_min=0.3..0.7:0.1"], Imbalance)
    drawn = random_points(axes, 20, seed=1)
    assert sorted(map(repr, drawn)) == sorted(map(repr, grid(axes)))


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (21, "--random: 21 points are wanted, and there are only 20"),
        (0, "--random: from 1 to 100,000 points are wanted"),
        (POINTS_MAX + 1, "--random: from 1 to 100,000 points are wanted"),
    ],
)
def test_more_points_than_there_are_cannot_be_drawn(count: int, says: str) -> None:
    axes = axes_of(["levels=1..10:3", "imbalance_min=0.3..0.7:0.1"], Imbalance)
    with pytest.raises(SweepError) as caught:
        random_points(axes, count, seed=1)
    assert str(caught.value) == says


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 50))
def test_values_rise_and_stay_between_the_ends(first: int, more: int, step: int) -> None:
    text = f"imbalance_min={first / 200}..{(first + more) / 200}:{step / 1000}"
    values = parse_sweep(text, Imbalance).values
    assert values[0] == first / 200
    assert list(values) == sorted(set(values))
    assert values[-1] <= (first + more) / 200 < values[-1] + step / 1000 + 1e-9
