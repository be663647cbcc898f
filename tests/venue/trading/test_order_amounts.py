"""The amounts of a BUY against the official client's own arithmetic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.context import _ROUNDING_BY_TICK
from polymarket._internal.actions.orders.market import (
    _build_protected_market_order_draft,
    validate_market_order_params,
)
from polymarket._internal.actions.orders.market_data import MarketInfo, PlatformFeeInfo
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket.errors import UserInputError

from protocol.units import AMOUNT_E6_MAX, price_decimal, to_price_e4, usd_decimal
from venue.trading.order_amounts import TICKS_E4, OrderAmountError, buy_amounts

ADDRESS = "0x" + "11" * 20
CONTEXT: Any = SimpleNamespace(
    environment_config=PRODUCTION_CONFIG, wallet=ADDRESS, signer=SimpleNamespace(address=ADDRESS)
)
FREE = PlatformFeeInfo(rate=price_decimal(0), exponent=price_decimal(0))


def by_the_client(spend_e6: int, max_price_e4: int, tick_e4: int) -> tuple[int, int] | None:
    """None: it refuses."""
    market = MarketInfo(
        fee_info=FREE, neg_risk=False, tick_size=price_decimal(tick_e4), token_ids=frozenset()
    )
    try:
        params = validate_market_order_params(
            asset_id="1",
            side="BUY",
            amount=usd_decimal(spend_e6),
            max_price=price_decimal(max_price_e4),
        )
        draft = _build_protected_market_order_draft(
            CONTEXT, params, metadata=market, builder_taker_fee_rate=price_decimal(0)
        )
    except UserInputError:
        return None
    return draft.offered_amount, draft.requested_amount


def by_us(spend_e6: int, max_price_e4: int, tick_e4: int) -> tuple[int, int] | None:
    try:
        return buy_amounts(spend_e6, max_price_e4, tick_e4)
    except OrderAmountError:
        return None


@st.composite
def limits(draw: st.DrawFn) -> tuple[int, int]:
    """A price and a tick; mostly the price is on the tick."""
    tick_e4 = draw(st.sampled_from(sorted(TICKS_E4)))
    steps = st.integers(1, 10_000 // tick_e4 - 1).map(lambda n: n * tick_e4)
    return draw(st.one_of(steps, steps, steps, st.integers(-1, 10_001))), tick_e4


@given(
    spend_e6=st.one_of(
        st.integers(1, 10_000).map(lambda cents: cents * 10_000),
        st.integers(-1, 3_000_000),
        st.integers(1, AMOUNT_E6_MAX),
    ),
    limit=limits(),
)
@example(spend_e6=1_000_000, limit=(9_999, 1))
@example(spend_e6=AMOUNT_E6_MAX, limit=(1, 1))
@example(spend_e6=10_000, limit=(9_000, 1_000))
@example(spend_e6=160000, limit=(3000, 1000))  # would be a hair too dear
@settings(max_examples=150)
def test_the_amounts_are_those_of_the_official_client(
    spend_e6: int, limit: tuple[int, int]
) -> None:
    assert by_us(spend_e6, *limit) == by_the_client(spend_e6, *limit)


def test_the_ticks_are_those_that_the_official_client_knows() -> None:
    known = {to_price_e4(tick): 10 ** (6 - cut.amount) for tick, cut in _ROUNDING_BY_TICK.items()}
    assert known == TICKS_E4


@pytest.mark.parametrize("tick_e4", [0, 2, 20, 500])
def test_another_tick_is_refused(tick_e4: int) -> None:
    with pytest.raises(OrderAmountError, match="tick size"):
        buy_amounts(1_000_000, 5_000, tick_e4)


def test_more_than_is_money_is_refused() -> None:
    with pytest.raises(OrderAmountError, match="money"):
        buy_amounts(AMOUNT_E6_MAX + 1, 5_000, 100)
