"""Medians, quartiles and ratios of repeats."""

from __future__ import annotations

import pytest

from benchmarks.stats import Quartiles, quartiles, ratios


def test_quartiles_are_those_of_the_repeats() -> None:
    assert quartiles([5.0, 1.0, 3.0, 2.0, 4.0]) == Quartiles(low=2.0, median=3.0, high=4.0)
    assert quartiles([7.0]) == Quartiles(low=7.0, median=7.0, high=7.0)


def test_a_ratio_is_taken_within_each_repeat_and_not_of_medians() -> None:
    """The machine was twice as slow in the second one, for both."""
    assert ratios([1.0, 2.0, 1.0], [2.0, 4.0, 2.0]) == Quartiles(low=0.5, median=0.5, high=0.5)
    ratio = ratios([1.0, 8.0, 3.0], [1.0, 2.0, 6.0])
    assert ratio is not None
    assert ratio.median == 1.0


def test_what_cannot_be_divided_has_no_ratio() -> None:
    assert ratios([], []) is None
    assert ratios([1.0], [0.0]) is None
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])


def test_quartiles_stand_in_brackets_behind_the_median() -> None:
    assert Quartiles(low=1.0, median=2.25, high=3.0).text(1) == "2.2 (1.0-3.0)"
    assert Quartiles(low=2.0, median=2.0, high=2.0).text() == "2.00"
