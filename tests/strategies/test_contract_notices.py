"""The contract itself: a strategy that breaks it in one way is noticed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, example, given, settings
from msgspec.structs import replace

from functions.core.hold import HoldReason, hold
from strategies.interface import Hold, Signal, Strategy
from strategies.made_up import FEE, START_MS, WINDOW_MS, made_up_market, made_up_view
from strategies.view import MarketView
from tests.support.generated_views import views
from tests.support.strategies import AlwaysBuy
from tests.support.strategy_contract import check_once

_counter = itertools.count()


class Kept(AlwaysBuy):
    seen: ClassVar[int] = 0


def remembers(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    Kept.seen += 1
    return Hold(AlwaysBuy.Reason.NEVER)


def never_the_same(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    return Signal(outcome="Up", numbers={"n": float(next(_counter))})


def divides(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    return Signal(outcome="Up", numbers={"per_ms": 1 / max(view.time_to_close_ms, 0)})


def takes_two_sides_for_granted(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    return Signal(outcome="Up", numbers={"ask": float(view.up.asks[0][0])})


def another_outcome(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    return Signal(outcome="Yes", numbers={})


def a_foreign_reason(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    return hold(HoldReason.CROSSED)


def nothing(view: MarketView, parameters: Any, now_ms: int) -> Any:
    return None


def changes_the_view(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    view.time_to_close_ms += 1
    return Hold(AlwaysBuy.Reason.NEVER)


def looks_at_identity(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    return Signal(outcome="Up", numbers={"id": float(id(view.up))})


def hands_the_fee_on(view: MarketView, parameters: Any, now_ms: int) -> Signal | Hold:
    """Finite for every market but one without a fee and an exponent of zero."""
    return Signal(outcome="Up", numbers={"per_fee": 1 / float(view.market.fee.rate)})


OVER = made_up_view(((4_900, 10**6),), ((5_000, 10**6),), now_ms=START_MS + WINDOW_MS)
ONE_SIDED = made_up_view(((4_900, 10**6),), ())
FREE = made_up_view(
    ((4_900, 10**6),),
    ((5_000, 10**6),),
    market=replace(made_up_market(), fee=replace(FEE, rate=Decimal(0))),
)


def with_decide(decide: Callable[[MarketView, Any, int], Any]) -> type[Strategy]:
    return type("Bent", (Kept,), {"decide": staticmethod(decide)})


@pytest.mark.parametrize(
    "decide",
    [
        remembers,
        never_the_same,
        divides,
        takes_two_sides_for_granted,
        another_outcome,
        a_foreign_reason,
        nothing,
        changes_the_view,
        looks_at_identity,
        hands_the_fee_on,
    ],
)
def test_an_answer_that_breaks_the_contract_is_noticed(decide: Callable[..., Any]) -> None:
    bent, parameters = with_decide(decide), AlwaysBuy.Parameters()

    # What few of the generated ones have comes first; and the first that shows it is enough.
    @example(view=OVER)
    @example(view=ONE_SIDED)
    @example(view=FREE)
    @given(view=views())
    @settings(phases=[Phase.explicit, Phase.generate], database=None)
    def proven(view: MarketView) -> None:
        check_once(bent, parameters, view, 0)

    with pytest.raises(Exception):  # noqa: B017 - whatever it is that shows it
        proven()
