from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.core.paper_fill import take_asks
from protocol.book import Book
from protocol.units import cost_e6
from tests.support.trading_builders import levels


def book(*asks: tuple[str, int]) -> Book:
    return Book(token_id="t", bids=(), asks=levels(list(asks)))


def test_a_fill_walks_the_levels_up_to_the_limit() -> None:
    taken = take_asks(book(("0.50", 1), ("0.52", 1), ("0.60", 9)), 5_000_000, 5_200)
    assert taken == ((5_000, 1_000_000), (5_200, 1_000_000))


def test_the_last_level_is_taken_as_far_as_the_money_goes() -> None:
    taken = take_asks(book(("0.50", 1), ("0.80", 9)), 900_000, 9_900)
    assert taken == ((5_000, 1_000_000), (8_000, 500_000))


def test_nothing_fills_below_the_best_ask() -> None:
    assert take_asks(book(("0.50", 100)), 1_000_000, 4_900) == ()


@given(
    asks=st.lists(st.tuples(st.integers(1, 99), st.integers(1, 50)), max_size=8),
    spend=st.integers(0, 20_000_000),
    limit=st.integers(1, 99),
)
def test_a_fill_never_spends_more_than_it_may_nor_pays_more_than_the_limit(
    asks: list[tuple[int, int]], spend: int, limit: int
) -> None:
    side = sorted(dict(asks).items())
    offered = book(*((f"0.{price:02d}", size) for price, size in side))
    taken = take_asks(offered, spend, limit * 100)
    assert 0 <= sum(cost_e6(price_e4, size_e6) for price_e4, size_e6 in taken) <= spend
    assert all(price_e4 <= limit * 100 for price_e4, _ in taken)
    levels_of_book = dict(offered.asks)
    assert all(0 < size_e6 <= levels_of_book[price_e4] for price_e4, size_e6 in taken)
