"""A twin wants what its strategy wants, on any book that a worker may be shown."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.sweep.features import TWINS
from protocol.book import Book, Level
from protocol.market import DOWN, UP
from protocol.units import AMOUNT_E6_MAX
from strategies.book_imbalance import BookImbalance
from strategies.interface import Signal, Strategy
from strategies.memory import MarketMemory
from strategies.parameters import StrategyParameters
from strategies.view import MarketView
from tests.support.generated_views import parameters_of, views
from tests.support.made_up_feeds import made_up_market


def wanted(strategy: type[Strategy], view: MarketView, parameters: StrategyParameters) -> int:
    answer = strategy.decide(view, parameters, view.now_ms)
    if not isinstance(answer, Signal):
        return 0
    return 1 if answer.outcome == UP else -1


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("strategy", TWINS, ids=lambda strategy: strategy.name)
def test_generated_books(strategy: type[Strategy], data: st.DataObject) -> None:
    seen = data.draw(st.lists(views(), min_size=1, max_size=3))
    points = data.draw(st.lists(parameters_of(strategy.Parameters), min_size=1, max_size=3))
    twin = TWINS[strategy](seen, points)
    for point in points:
        assert twin.wants(point).tolist() == [wanted(strategy, view, point) for view in seen]


def side(chance: random.Random, best_e4: int, step_e4: int, largest_e6: int) -> tuple[Level, ...]:
    prices = range(best_e4, best_e4 + step_e4 * chance.randint(0, 12), step_e4)
    return tuple((price, chance.randint(1, largest_e6)) for price in prices if 0 < price < 10_000)


def test_book_imbalance_at_its_thresholds_and_with_sizes_beyond_a_float() -> None:
    chance, market = random.Random(14), made_up_market(0)
    seen: list[MarketView] = []
    for _ in range(400):
        largest_e6 = chance.choice((3, 10**9, 10**12, 10**14, AMOUNT_E6_MAX))
        books = [
            Book(
                token_id=market.token_of(outcome),
                bids=side(chance, bid_e4 := chance.randrange(3_000, 6_000, 100), -100, largest_e6),
                asks=side(chance, bid_e4 + chance.choice((-100, 0, 100, 200)), 100, largest_e6),
            )
            for outcome in (UP, DOWN)
        ]
        seen.append(MarketView(market, books[0], books[1], 1_000, MarketMemory()))
    points = [
        BookImbalance.Parameters(
            levels=levels, imbalance_min=least, hurdle_ticks=hurdle, spread_max_e4=spread_max_e4
        )
        for levels in (1, 5, 40)
        for least in (0, 1 / 3, 0.5, 1)
        for hurdle in (0, 0.01, 1)
        for spread_max_e4 in (100, 200)
    ]
    # Thresholds that are met exactly: what one view shows, asked of the others.
    for view in seen[:20]:
        signal = BookImbalance.decide(view, points[0], 0)
        if isinstance(signal, Signal):
            least, edge = (
                abs(signal.numbers["imbalance"]),
                view.edge_after_costs_ticks(signal.outcome, signal.value_e4),
            )
            hurdle = edge if edge is not None and 0 < edge <= 100 else 0.0
            points.append(
                BookImbalance.Parameters(levels=1, imbalance_min=least, hurdle_ticks=hurdle)
            )
    twin = TWINS[BookImbalance](seen, points)
    different = set[int]()
    for point in points:
        answers = [wanted(BookImbalance, view, point) for view in seen]
        assert twin.wants(point).tolist() == answers
        different |= set(answers)
    assert different == {-1, 0, 1}
