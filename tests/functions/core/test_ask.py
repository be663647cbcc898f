"""How many bids a strategy wants published, whatever it says."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from functions.core.ask import bids_wanted
from protocol.book import PUBLISHED_LEVELS_MAX
from strategies.interface import Strategy
from strategies.parameters import StrategyParameters


def saying(seen: Any) -> type[Strategy]:
    class Saying(Strategy):
        @staticmethod
        def bids_seen(parameters: Any) -> Any:
            return seen

    return Saying


@pytest.mark.parametrize(("seen", "wanted"), [(None, PUBLISHED_LEVELS_MAX), (0, 0), (99, 40)])
def test_as_many_as_it_says_at_most_all_that_travel(seen: int | None, wanted: int) -> None:
    assert bids_wanted(saying(seen), StrategyParameters()) == wanted


@pytest.mark.parametrize("seen", [12.5, nan, "12", -1])
def test_what_is_no_number_of_bids_is_an_error_and_never_enough(seen: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        bids_wanted(saying(seen), StrategyParameters())
