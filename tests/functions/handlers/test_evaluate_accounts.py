"""Several accounts asked about one book: what they share, and what stays each one's own."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest
from pydantic import field_validator

from functions.core.hold import HoldReason
from functions.core.strategy_failures import FAILURES_MAX
from functions.core.trade import Trade, trade_on
from functions.handlers import evaluate
from functions.handlers.evaluate import BookLook
from protocol.snapshot import BookSnapshot
from runtime.instant import Instant
from strategies.interface import Signal
from strategies.parameters import StrategyParameters, parameter
from strategies.view import MarketView
from tests.support.metrics_builders import counted
from tests.support.strategies import AlwaysBuy
from tests.support.trading_builders import market, snapshot
from tests.support.trading_desk import Desk


class Saying(AlwaysBuy):
    """Says its one parameter, in the one dict that it has."""

    class Parameters(StrategyParameters):
        number: float = parameter(1.0, "What it says.", ge=-9, le=9)

    asked: ClassVar[list[float]] = []
    numbers: ClassVar[dict[str, float]] = {}

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Any:
        Saying.asked.append(parameters.number)
        Saying.numbers["said"] = parameters.number
        return Signal(outcome="Up", numbers=Saying.numbers)


class Failing(AlwaysBuy):
    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Any:
        raise ValueError("no")


def look_at(desks: list[Desk], book: BookSnapshot) -> list[Trade | None]:
    """What each of them would buy, asked one after the other about the same view."""
    delivered = Instant()
    desks[0].memories.note(book)
    look = BookLook(book, desks[0].memories.view(book, delivered.now_ns() // 1_000_000), delivered)
    return [desk.account.evaluator.consider(look, desk.account.configuration) for desk in desks]


def with_parameters(desk: Desk, parameters: StrategyParameters) -> Desk:
    in_force = desk.account.opened.in_force
    in_force.put(msgspec.structs.replace(in_force.now, parameters=parameters))
    return desk


async def test_accounts_of_one_strategy_ask_it_once_a_book_for_each_that_has_other_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Saying, "asked", [])
    numbers = (0.0, 1.0, -0.0, 1.0, 0.0)
    parameters = (Saying.Parameters(number=each) for each in numbers)
    desks = [with_parameters(Desk(strategy=Saying), each) for each in parameters]
    trades = look_at(desks, snapshot())
    assert list(map(str, Saying.asked)) == ["0.0", "1.0", "-0.0"]  # equal, and not the same
    said = [trade.numbers["said"] for trade in trades if trade is not None]
    assert list(map(str, said)) == list(map(str, numbers))
    look_at(desks[:2], snapshot())
    assert len(Saying.asked) == 5  # another book is another question


async def test_an_account_whose_parameters_change_asks_by_the_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Saying, "asked", [])
    desks = [Desk(strategy=Saying) for _ in range(2)]
    for desk in desks:
        with_parameters(desk, Saying.Parameters())
    look_at(desks, snapshot())
    with_parameters(desks[1], Saying.Parameters(number=2.0))
    look_at(desks, snapshot())
    assert Saying.asked == [1.0, 1.0, 2.0]


async def test_each_account_orders_by_its_own_size_what_one_strategy_has_answered() -> None:
    desks = [Desk(strategy=AlwaysBuy) for _ in range(2)]
    in_force = desks[1].account.opened.in_force
    order = msgspec.structs.replace(in_force.now.order, spend_e6=2_000_000)
    in_force.put(msgspec.structs.replace(in_force.now, order=order, version=7))
    trades = look_at(desks, snapshot())
    assert [(each.spend_e6, each.config_version) for each in trades if each is not None] == [
        (1_100_000, 0),
        (2_000_000, 7),
    ]


async def test_a_strategy_that_raises_fails_for_each_account_that_has_it() -> None:
    desks = [Desk(strategy=Failing) for _ in range(3)]
    for _ in range(FAILURES_MAX):
        assert look_at(desks, snapshot()) == [None] * 3
    failed = [
        counted(desk.metrics, "holds_total", reason=HoldReason.STRATEGY_ERROR) for desk in desks
    ]
    assert failed == [FAILURES_MAX] * 3
    assert all(desk.account.evaluator.problem() for desk in desks)


async def test_one_whose_parameters_cannot_be_written_down_is_asked_for_each_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unwritable(StrategyParameters):
        number: float = 1.0
        what: Any = None

    monkeypatch.setattr(Saying, "asked", [])
    parameters = Unwritable(what=object())
    desks = [with_parameters(Desk(strategy=Saying), parameters) for _ in range(2)]
    assert None not in look_at(desks, snapshot())
    assert Saying.asked == [1.0, 1.0]


async def test_a_validator_that_would_make_two_numbers_one_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Halved(StrategyParameters):
        number: int = 8

        @field_validator("number")
        @classmethod
        def _half(cls, number: int) -> int:
            return number // 2

    monkeypatch.setattr(Saying, "asked", [])
    parameters = (Halved(number=each) for each in (8, 10))
    assert None not in look_at(
        [with_parameters(Desk(strategy=Saying), each) for each in parameters], snapshot()
    )
    assert Saying.asked == [4, 5]


async def test_of_a_refusal_that_is_only_counted_no_order_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, made = Desk(strategy=AlwaysBuy), list[Trade]()

    def making(*arguments: Any) -> Trade:
        made.append(trade_on(*arguments))
        return made[-1]

    monkeypatch.setattr(evaluate, "trade_on", making)
    info = market()
    for _ in range(10):
        await desk.handle(snapshot(of=info))
    assert [(each.result, each.reason) for each in desk.told] == [
        ("executed", "matched"),
        ("refused", "cooldown"),
    ]
    assert len(made) == 2
    assert counted(desk.metrics, "signals_refused_by_hint_total", reason="cooldown") == 9
