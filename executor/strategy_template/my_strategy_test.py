"""`my_strategy`, asked about books that are made up here: `pytest test_my_strategy.py`."""
# isort: skip_file

from __future__ import annotations

from executor.strategy_template.my_strategy import MyStrategy
from strategies.interface import Hold, Signal
from strategies.made_up import NOW_MS, made_up_view

# Levels, best first: (price in 1e-4 USD, size in 1e-6 shares).
BIDS = ((5_000, 90_000_000), (4_900, 50_000_000))
ASKS = ((5_100, 80_000_000), (5_200, 50_000_000))
LOWER_BIDS = ((4_600, 90_000_000),)
LOWER_ASKS = ((4_700, 80_000_000),)

# Books that came before: (milliseconds ago, bids, asks).
WAS_SAME = (10_000, BIDS, ASKS)
WAS_LOWER = (10_000, LOWER_BIDS, LOWER_ASKS)

# Said here, so that other defaults make no test fail.
PARAMETERS = MyStrategy.Parameters(window_s=15, move_min_ticks=3, spread_max_ticks=2)


def test_what_has_risen_is_bought() -> None:
    view = made_up_view(BIDS, ASKS, before=[WAS_LOWER])
    answer = MyStrategy.decide(view, PARAMETERS, NOW_MS)
    assert answer == Signal(outcome="Up", numbers={"moved_ticks": 4.0})


def test_what_has_fallen_is_bought_as_down() -> None:
    view = made_up_view(LOWER_BIDS, LOWER_ASKS, before=[WAS_SAME])
    answer = MyStrategy.decide(view, PARAMETERS, NOW_MS)
    assert answer == Signal(outcome="Down", numbers={"moved_ticks": -4.0})


def test_a_quiet_market_is_held() -> None:
    view = made_up_view(BIDS, ASKS, before=[WAS_SAME])
    answer = MyStrategy.decide(view, PARAMETERS, NOW_MS)
    assert answer == Hold(MyStrategy.Reason.QUIET)


def test_a_move_that_is_too_small_for_its_parameter_is_held() -> None:
    view = made_up_view(BIDS, ASKS, before=[WAS_LOWER])
    parameters = PARAMETERS.model_copy(update={"move_min_ticks": 5})
    answer = MyStrategy.decide(view, parameters, NOW_MS)
    assert answer == Hold(MyStrategy.Reason.QUIET)


def test_a_book_without_asks_is_held() -> None:
    answer = MyStrategy.decide(made_up_view(BIDS, ()), PARAMETERS, NOW_MS)
    assert answer == Hold(MyStrategy.Reason.ONE_SIDED)
