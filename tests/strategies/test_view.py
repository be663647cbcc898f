"""Costs and edges, against exact arithmetic."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fee import taker_fee_e6
from protocol.market import DOWN, UP
from strategies.view import MarketView
from tests.support.generated_views import views
from tests.support.strategies import view_of
from tests.support.trading_builders import snapshot

ONE_SHARE_E6 = 1_000_000
outcomes = st.sampled_from([UP, DOWN])


@given(view=views(), price_e4=st.integers(1, 9_999))
def test_the_fee_is_the_venues(view: MarketView, price_e4: int) -> None:
    fee, tick_e4 = view.market.fee, view.market.tick_size_e4
    price = Decimal(price_e4) / 10_000
    exact = fee.rate * (price * (1 - price)) ** fee.exponent * 10_000 / tick_e4
    assert view.fee_ticks(price_e4) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)
    # What is booked is rounded up to the next 1e-6 USD.
    booked_ticks = taker_fee_e6(fee, price_e4, ONE_SHARE_E6) / 100 / tick_e4
    assert 0 <= booked_ticks - view.fee_ticks(price_e4) + 1e-9 <= 0.01 / tick_e4 + 2e-9


@given(view=views(), outcome=outcomes, value_e4=st.integers(0, 10_000))
def test_an_edge_is_what_a_share_is_worth_less_ask_and_fee(
    view: MarketView, outcome: str, value_e4: int
) -> None:
    book, tick_e4 = view.book(outcome), view.market.tick_size_e4
    costs, edge = view.costs_ticks(outcome), view.edge_after_costs_ticks(outcome, value_e4)
    if not book.bids or not book.asks:
        assert costs is None
        assert edge is None
        assert view.edge_after_costs_ticks(outcome) is None
        return
    ask_e4, bid_e4 = book.asks[0][0], book.bids[0][0]
    fee, ask = view.market.fee, Decimal(ask_e4) / 10_000
    fee_ticks = fee.rate * (ask * (1 - ask)) ** fee.exponent * 10_000 / tick_e4
    assert costs == pytest.approx(float(Decimal(ask_e4 - bid_e4) / 2 / tick_e4 + fee_ticks))
    exact = Decimal(value_e4 - ask_e4) / tick_e4 - fee_ticks
    assert edge == pytest.approx(float(exact), abs=1e-6)
    # Without a view of one's own a share is worth the mid.
    assert view.edge_after_costs_ticks(outcome) == -costs


def test_a_plain_book_costs_half_a_tick_and_a_fee_of_one_and_three_quarters() -> None:
    view = view_of(snapshot())  # 0.49 to 0.50, ticks of 0.01, 7%
    assert view.costs_ticks(UP) == pytest.approx(0.5 + 1.75)
    assert view.edge_after_costs_ticks(UP, 5_300) == pytest.approx(3 - 1.75)


def test_each_outcome_has_its_own_book_and_no_other_outcome_has_any() -> None:
    view = view_of(snapshot())
    assert view.book(UP) is view.up
    assert view.book(DOWN) is view.down
    for asked in (view.book, view.costs_ticks, view.edge_after_costs_ticks):
        with pytest.raises(KeyError):
            asked("Yes")


def test_a_view_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        view_of(snapshot()).time_to_close_ms = 1  # type: ignore[misc]
