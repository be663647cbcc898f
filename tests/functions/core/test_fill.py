from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from functions.core.fill import take_asks
from protocol.book import Book
from protocol.market import NO_FEE, FeeSchedule
from tests.functions.builders import levels

FEE = FeeSchedule(rate=Decimal("0.07"), exponent=1)


def book(*asks: tuple[str, int]) -> Book:
    return Book(token_id="t", bids=(), asks=levels(list(asks)))


def test_a_fill_walks_the_levels_up_to_the_limit() -> None:
    fill = take_asks(book(("0.50", 1), ("0.52", 1), ("0.60", 9)), 5_000_000, 5_200, NO_FEE)
    assert (fill.spend_e6, fill.size_e6) == (1_020_000, 2_000_000)


def test_the_fee_is_charged_by_level() -> None:
    fill = take_asks(book(("0.50", 100)), 50_000_000, 5_000, FEE)
    assert fill.fee_e6 == 1_750_000  # the venue's own example: 1.75 USD per 100 shares at 0.50


def test_nothing_fills_below_the_best_ask() -> None:
    fill = take_asks(book(("0.50", 100)), 1_000_000, 4_900, FEE)
    assert (fill.spend_e6, fill.size_e6, fill.fee_e6) == (0, 0, 0)


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
    fill = take_asks(offered, spend, limit * 100, FEE)
    assert 0 <= fill.spend_e6 <= spend
    assert fill.size_e6 <= sum(size for price, size in side if price <= limit) * 1_000_000
    assert fill.spend_e6 <= fill.size_e6 * limit / 100 + len(side)  # rounded up once a level
