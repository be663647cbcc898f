"""Whatever a signal asks for, an order stays within the account's and can be bought."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.core.hold import HoldReason
from functions.core.trade import (
    NUMBER_NAME_LENGTH_MAX,
    NUMBERS_MAX,
    MalformedSignalError,
    OrderConfig,
    Trade,
    check_signal,
    trade_of,
)
from protocol.book import Book
from protocol.decision import decode_decision, encode_decision
from protocol.market import DOWN, UP
from protocol.units import AMOUNT_E6_MAX, cost_e6
from strategies.interface import Hold, Signal
from strategies.memory import MarketMemory
from strategies.view import MarketView
from tests.support.generated_views import markets, mirrored_book, views
from tests.support.message_builders import decision
from tests.support.strategies import view_of
from tests.support.trading_builders import snapshot

CENT_E6 = 10_000
sizes_e6 = st.integers(1, 1_000).map(lambda cents: cents * CENT_E6)
orders = st.builds(
    OrderConfig,
    spend_e6=sizes_e6,
    spend_min_e6=sizes_e6,
    slippage_max_bps=st.integers(0, 5_000),
    enforce_min_order_size=st.booleans(),
)
signals = st.builds(
    Signal,
    outcome=st.sampled_from([UP, DOWN]),
    numbers=st.dictionaries(
        st.sampled_from(["imbalance", "edge_ticks"]),
        st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
    ),
    limit_price_e4=st.none() | st.integers(1, 10_000),
    spend_e6=st.none() | st.integers(1, 20_000_000),
    value_e4=st.none() | st.floats(1, 10_000),
)


@st.composite
def fillable_views(draw: st.DrawFn) -> MarketView:
    """Up's best ask on the grid and deep enough, more often than not."""
    market = draw(markets())
    tick = market.tick_size_e4
    ask = draw(st.integers(2, 10_000 // tick - 1)) * tick
    deep = draw(st.integers(1, 10**4)) * 10**6
    asks = tuple((ask + n * tick, deep) for n in range(5) if ask + n * tick < 10_000)
    up = Book(token_id="1" * 77, bids=((ask - tick, deep),), asks=asks)
    return MarketView(market, up, mirrored_book(up), 600_000, MarketMemory())


@given(view=fillable_views() | fillable_views() | views(), signal=signals, order=orders)
@settings(max_examples=300)
def test_an_order_is_on_the_grid_and_within_the_slippage_the_signals_limit_and_the_size(
    view: MarketView, signal: Signal, order: OrderConfig
) -> None:
    trade, book = trade_of(signal, view, order), view.book(signal.outcome)
    ask_e4, spread_e4, tick_e4 = book.best_ask_e4, book.spread_e4, view.market.tick_size_e4
    if spread_e4 is None or ask_e4 is None:
        assert trade == Hold(HoldReason.ONE_SIDED)
        return
    if spread_e4 <= 0:
        assert trade == Hold(HoldReason.CROSSED)
        return
    if isinstance(trade, Hold):
        assert trade.reason in (HoldReason.BELOW_MINIMUM, HoldReason.THIN_ASKS)
        return
    assert (trade.outcome, trade.token_id) == (signal.outcome, book.token_id)
    assert trade.numbers == signal.numbers
    assert trade.signal_price_e4 == ask_e4

    assert trade.max_price_e4 % tick_e4 == 0
    assert 0 < trade.max_price_e4 <= 10_000 - tick_e4
    slipped = Decimal(ask_e4) * (10_000 + order.slippage_max_bps) / 10_000
    assert trade.max_price_e4 <= slipped
    assert trade.max_price_e4 <= (signal.limit_price_e4 or 10_000)

    assert order.spend_min_e6 <= trade.spend_e6 <= order.spend_e6
    assert trade.spend_e6 <= (signal.spend_e6 or order.spend_e6)
    assert trade.spend_e6 % CENT_E6 == 0
    depth_e6 = sum(cost_e6(p, s) for p, s in book.asks if p <= trade.max_price_e4)
    assert trade.spend_e6 <= depth_e6
    if order.enforce_min_order_size:
        bought = Decimal(trade.spend_e6) / trade.max_price_e4 * 10_000
        assert bought >= view.market.min_order_size_e6
    assert abs(trade.edge_after_costs_ticks) <= 10_000


def test_a_signals_limit_below_the_ask_buys_nothing() -> None:
    signal = Signal(outcome=UP, numbers={}, limit_price_e4=4_999)
    assert trade_of(signal, view_of(snapshot()), OrderConfig()) == Hold(HoldReason.THIN_ASKS)


def test_a_signal_may_spend_less_than_the_account_but_not_more() -> None:
    view, order = view_of(snapshot()), OrderConfig(spend_e6=5_000_000)
    spent = {}
    for asked_e6 in (2_009_999, 5_000_000, 9_000_000):
        trade = trade_of(Signal(outcome=UP, numbers={}, spend_e6=asked_e6), view, order)
        assert isinstance(trade, Trade)
        spent[asked_e6] = trade.spend_e6
    assert spent == {2_009_999: 2_000_000, 5_000_000: 5_000_000, 9_000_000: 5_000_000}
    too_small = Signal(outcome=UP, numbers={}, spend_e6=999_999)
    assert trade_of(too_small, view, order) == Hold(HoldReason.BELOW_MINIMUM)


# -- what is no signal ---------------------------------------------------------------------------


class Sly(str):
    """Equal to what it is not."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == UP

    __hash__ = str.__hash__


garbage = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.sampled_from([0.0, -0.0, 1e-300, 5e-324, 1e300, float("nan"), float("inf"), -float("inf")]),
    st.floats(),
    st.text(max_size=80),
    st.sampled_from(
        ["Up", "Down", "", "\ud800", "ü", "a\n", "a" * 65, b"Up", object(), Decimal(1)]
    ),
    st.lists(st.integers(), max_size=2),
)
numbers = st.one_of(
    garbage,
    st.dictionaries(
        st.one_of(st.text(max_size=70), st.sampled_from(["n", "a" * 64, "", "\ud800"])),
        garbage,
        max_size=NUMBERS_MAX + 2,
    ),
    st.dictionaries(st.integers(), st.floats(), max_size=2),
)


@given(
    outcome=st.sampled_from([UP, DOWN]) | garbage,
    given_numbers=st.just({"n": 1.0}) | numbers,
    limit=st.none() | garbage,
    spend=st.none() | garbage,
    value=st.none() | garbage,
)
@settings(max_examples=500)
def test_what_is_taken_for_a_signal_can_be_stored_and_read_again(
    outcome: Any, given_numbers: Any, limit: Any, spend: Any, value: Any
) -> None:
    signal = Signal(
        outcome=outcome,
        numbers=given_numbers,
        limit_price_e4=limit,
        spend_e6=spend,
        value_e4=value,
    )
    try:
        check_signal(signal)
    except MalformedSignalError as error:
        assert str(error)
        return
    assert outcome in (UP, DOWN)
    assert limit is None or (type(limit) is int and 0 < limit <= 10_000)
    assert spend is None or (type(spend) is int and 0 < spend <= AMOUNT_E6_MAX)
    trade = trade_of(signal, view_of(snapshot()), OrderConfig())
    if isinstance(trade, Trade):
        stored(trade.numbers)


def stored(by_name: dict[str, float]) -> None:
    """As a decision goes to the stream and to the table."""
    told = msgspec.structs.replace(decision(), numbers=by_name)
    assert decode_decision(encode_decision(told)).numbers == by_name
    for name, number in by_name.items():
        assert 0 < len(name) <= NUMBER_NAME_LENGTH_MAX
        # DynamoDB takes 38 digits and exponents from -130 to 125.
        assert number == 0 or 1e-130 < abs(number) < 1e125


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "up"},
        {"outcome": None},
        {"numbers": None},
        {"numbers": [("n", 1.0)]},
        {"numbers": {str(n): 1.0 for n in range(NUMBERS_MAX + 1)}},
        {"numbers": {"": 1.0}},
        {"numbers": {"n" * 65: 1.0}},
        {"numbers": {"größe": 1.0}},
        {"numbers": {1: 1.0}},
        {"numbers": {Sly("n"): 1.0}},
        {"numbers": {"n": True}},
        {"numbers": {"n": "1"}},
        {"numbers": {"n": float("nan")}},
        {"numbers": {"n": 1e-300}},
        {"numbers": {"n": 10**400}},
        {"limit_price_e4": 0},
        {"limit_price_e4": 10_001},
        {"limit_price_e4": 5_000.0},
        {"limit_price_e4": True},
        {"spend_e6": 0},
        {"spend_e6": -1},
        {"spend_e6": AMOUNT_E6_MAX + 1},
        {"value_e4": float("inf")},
        {"value_e4": "5000"},
    ],
    ids=repr,
)
def test_what_is_no_signal_is_refused_by_name(wrong: dict[str, Any]) -> None:
    (field,) = wrong
    right: dict[str, Any] = {"outcome": UP, "numbers": {"n": 1.0}}
    check_signal(Signal(**right))
    with pytest.raises(MalformedSignalError, match=f"^{field}"):
        check_signal(Signal(**right | wrong))


def test_numbers_of_a_librarys_own_kind_become_plain_ones() -> None:
    class Float(float):
        pass

    signal = Signal(outcome=UP, numbers={"n": Float(1.5), "count": 3})
    trade = trade_of(signal, view_of(snapshot()), OrderConfig())
    assert isinstance(trade, Trade)
    assert {name: type(number) for name, number in trade.numbers.items()} == {
        "n": float,
        "count": float,
    }


def test_the_edge_is_a_plain_number_whatever_kind_of_number_the_value_is() -> None:
    class Float(float):  # stays what it is, as a library's does
        def __sub__(self, other: float) -> Float:
            return Float(float(self) - other)

        def __truediv__(self, other: float) -> Float:
            return Float(float(self) / other)

    signal = Signal(outcome=UP, numbers={}, value_e4=Float(5_300))
    trade = trade_of(signal, view_of(snapshot()), OrderConfig())
    assert isinstance(trade, Trade)
    assert type(trade.edge_after_costs_ticks) is float
