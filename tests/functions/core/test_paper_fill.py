from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.core.paper_fill import Taken, left_of, take_asks, taken_with
from protocol.book import Book
from protocol.units import cost_e6
from tests.support.trading_builders import levels


def book(*asks: tuple[str, int]) -> Book:
    return Book(token_id="t", bids=(), asks=levels(list(asks)))


def test_a_fill_walks_the_levels_up_to_the_limit() -> None:
    taken = take_asks(book(("0.50", 1), ("0.52", 1), ("0.60", 9)).asks, 5_000_000, 5_200)
    assert taken == ((5_000, 1_000_000), (5_200, 1_000_000))


def test_the_last_level_is_taken_as_far_as_the_money_goes() -> None:
    taken = take_asks(book(("0.50", 1), ("0.80", 9)).asks, 900_000, 9_900)
    assert taken == ((5_000, 1_000_000), (8_000, 500_000))


def test_nothing_fills_below_the_best_ask() -> None:
    assert take_asks(book(("0.50", 100)).asks, 1_000_000, 4_900) == ()


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
    taken = take_asks(offered.asks, spend, limit * 100)
    assert 0 <= sum(cost_e6(price_e4, size_e6) for price_e4, size_e6 in taken) <= spend
    assert all(price_e4 <= limit * 100 for price_e4, _ in taken)
    levels_of_book = dict(offered.asks)
    assert all(0 < size_e6 <= levels_of_book[price_e4] for price_e4, size_e6 in taken)


def test_what_was_taken_is_gone_until_its_level_changes() -> None:
    asks = book(("0.50", 3), ("0.52", 1)).asks
    taken: Taken = taken_with({}, asks, ((5_000, 1_000_000),))
    taken = taken_with(taken, asks, ((5_000, 500_000),))
    assert left_of(asks, taken) == ((5_000, 1_500_000), (5_200, 1_000_000))
    taken = taken_with(taken, asks, ((5_000, 1_500_000), (5_200, 250_000)))
    assert left_of(asks, taken) == ((5_200, 750_000),)
    changed = book(("0.50", 2), ("0.52", 1)).asks
    assert left_of(changed, taken) == ((5_000, 2_000_000), (5_200, 750_000))
    assert left_of((), taken) == ()
    assert taken_with(taken, (), ()) == {}


@given(
    sizes=st.dictionaries(st.integers(1, 9), st.integers(1, 5), max_size=5),
    orders=st.lists(st.integers(0, 4_000_000), max_size=6),
)
def test_no_share_is_taken_twice(sizes: dict[int, int], orders: list[int]) -> None:
    asks = tuple((price * 1_000, size * 1_000_000) for price, size in sorted(sizes.items()))
    taken: Taken = {}
    bought: dict[int, int] = {}
    for spend_e6 in orders:
        fills = take_asks(left_of(asks, taken), spend_e6, 9_000)
        taken = taken_with(taken, asks, fills)
        for price_e4, size_e6 in fills:
            bought[price_e4] = bought.get(price_e4, 0) + size_e6
    assert all(bought.get(price_e4, 0) <= size_e6 for price_e4, size_e6 in asks)
    left = dict(left_of(asks, taken))
    assert all(left.get(price, 0) == size - bought.get(price, 0) for price, size in asks)
