"""Whatever a strategy does is a hold of its own account's, and nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.gate import hold_reason_of
from functions.core.hold import HoldReason, hold
from functions.core.market_memories import row_of
from functions.core.market_memories import view_of as shown
from functions.core.strategy_failures import FAILURES_MAX, WITHIN_MS
from functions.core.trade import Trade, trade_of
from functions.handlers.evaluate import ERROR_LENGTH_MAX, STRATEGY_CALLS, BookLook
from protocol.book import PUBLISHED_LEVELS_MAX
from protocol.snapshot import BookSnapshot, with_bids
from runtime import line_throttle
from runtime.instant import Instant
from strategies.book_imbalance import BookImbalance
from strategies.interface import Hold, Signal, Strategy
from strategies.memory import MarketMemory, digest_of
from strategies.seen_books import seen_of
from strategies.view import MarketView
from tests.functions.handlers.conftest import Clock
from tests.support.strategies import AlwaysBuy
from tests.support.trading_builders import market, snapshot, stale
from tests.support.trading_desk import HOT_PATH, Desk


class Scripted(AlwaysBuy):
    """Does what a test says."""

    does: ClassVar[Callable[[MarketView], Any]]

    @staticmethod
    def decide(view: MarketView, parameters: Any, now_ms: int) -> Any:
        return Scripted.does(view)


class Dumb(Exception):  # noqa: N818 - not one of ours
    def __str__(self) -> str:
        raise ValueError("no text")


class Deadly(Exception):  # noqa: N818 - not one of ours
    def __str__(self) -> str:
        raise SystemExit(3)


def raising(error: BaseException) -> Callable[[MarketView], Any]:
    def does(view: MarketView) -> Any:
        raise error

    return does


def endless(view: MarketView) -> Any:
    return endless(view)


class AnotherHold(Hold, frozen=True):
    pass


MISBEHAVIOURS = {
    "exception": raising(ValueError("no")),
    "exit": raising(SystemExit(0)),
    "interrupt": raising(KeyboardInterrupt()),
    "cancelled": raising(asyncio.CancelledError()),
    "generator_exit": raising(GeneratorExit()),
    "memory": raising(MemoryError()),
    "text_raises": raising(Dumb()),
    "text_exits": raising(Deadly()),
    "long_text": raising(ValueError("x" * 10**6)),
    "recursion": endless,
    "division": lambda view: 1 / 0,
    "nothing": lambda view: None,
    "text": lambda view: "Up",
    "type": lambda view: Signal,
    "foreign_reason": lambda view: hold(HoldReason.CROSSED),
    "reason_of_another": lambda view: Hold(BookImbalance.Reason.CROSSED),
    "reason_as_text": lambda view: Hold("never"),  # type: ignore[arg-type]
    "no_reason": lambda view: Hold(None),  # type: ignore[arg-type]
    "subclass": lambda view: AnotherHold(AlwaysBuy.Reason.NEVER),
    "no_outcome": lambda view: Signal(outcome="Yes", numbers={}),
    "wrong_number": lambda view: Signal(outcome="Up", numbers={"n": float("nan")}),
    "wrong_limit": lambda view: Signal(outcome="Up", numbers={}, limit_price_e4=0),
    "changes_the_view": lambda view: setattr(view, "time_to_close_ms", 0),
}


def held(desk: Desk, reason: str) -> float | None:
    labels = {"strategy": "s", "reason": reason}
    return desk.metrics.registry.get_sample_value("worker_holds_total", labels)


def book_at(clock: Clock) -> BookSnapshot:
    """One that has just come, of a market that runs."""
    info = market(start_ms=clock.now_ms - 300_000, end_ms=clock.now_ms + 600_000)
    return snapshot(of=info, received_at_ns=clock.time_ns())


@pytest.fixture
def minutes(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The same clock for lines that are said once a minute."""
    still = SimpleNamespace(monotonic=lambda: clock.now_ms / 1000)
    monkeypatch.setattr(line_throttle, "time", still)
    return clock


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_whatever_a_strategy_does_is_a_hold(
    name: str, minutes: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "does", staticmethod(MISBEHAVIOURS[name]), raising=False)
    desk, other = Desk(strategy=Scripted), Desk(strategy=AlwaysBuy)
    with capture_logs() as lines:
        for _ in range(2):
            assert not await desk.handle(book_at(minutes))
    assert (desk.calls, desk.told) == ([], [])
    assert held(desk, HoldReason.STRATEGY_ERROR) == 2
    (line,) = lines
    assert (line["event"], line["account"], line["log_level"]) == ("strategy_failed", "s", "error")
    assert 0 < len(line["error"]) <= ERROR_LENGTH_MAX
    assert await other.handle(book_at(minutes))
    assert other.calls == HOT_PATH


async def test_a_failure_is_logged_once_a_minute_with_the_number_of_the_others(
    minutes: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "does", staticmethod(raising(ValueError("no"))), raising=False)
    desk = Desk(strategy=Scripted)
    with capture_logs() as lines:
        for _ in range(3):
            for _ in range(5):
                desk.consider(book_at(minutes), Instant())
            minutes.now_ms += 60_000
    assert [(line["event"], line["unlogged_before"]) for line in lines] == [
        ("strategy_failed", 0),
        ("strategy_failed", 4),
        ("strategy_failed", 4),
    ]


async def test_one_that_fails_twenty_times_within_a_minute_is_asked_no_more_and_others_go_on(
    minutes: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "does", staticmethod(raising(ValueError("no"))), raising=False)
    desk, other = Desk(strategy=Scripted), Desk(strategy=AlwaysBuy)
    with capture_logs() as lines:
        for _ in range(FAILURES_MAX):
            assert desk.account.evaluator.problem() is None
            assert desk.consider(book_at(minutes), Instant()) is None
            minutes.now_ms += WITHIN_MS // FAILURES_MAX
    disabled = [line for line in lines if line["event"] == "strategy_disabled"]
    assert [(line["log_level"], line["account"]) for line in disabled] == [("critical", "s")]
    problem = desk.account.evaluator.problem()
    assert problem is not None
    assert "s is disabled" in problem
    assert (
        desk.metrics.registry.get_sample_value(
            "worker_strategies_disabled_total", {"strategy": "s"}
        )
        == 1
    )

    asked: list[MarketView] = []
    monkeypatch.setattr(Scripted, "does", staticmethod(asked.append), raising=False)
    minutes.now_ms += 10 * WITHIN_MS
    assert desk.consider(book_at(minutes), Instant()) is None
    assert asked == []
    assert held(desk, HoldReason.STRATEGY_DISABLED) == 1
    assert held(desk, HoldReason.STRATEGY_ERROR) == FAILURES_MAX
    assert other.consider(book_at(minutes), Instant()) is not None


async def test_one_that_fails_now_and_then_is_asked_again(
    minutes: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "does", staticmethod(raising(ValueError("no"))), raising=False)
    desk = Desk(strategy=Scripted)
    for _ in range(3 * FAILURES_MAX):
        desk.consider(book_at(minutes), Instant())
        minutes.now_ms += WITHIN_MS // (FAILURES_MAX - 1) + 1  # the twentieth is a minute late
    assert desk.account.evaluator.problem() is None
    monkeypatch.setattr(Scripted, "does", staticmethod(buy), raising=False)
    assert desk.consider(book_at(minutes), Instant()) is not None


def buy(view: MarketView) -> Signal:
    return Signal(outcome="Up", numbers={})


async def test_its_own_hold_is_counted_by_its_own_reason_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = Hold(AlwaysBuy.Reason.NEVER)
    monkeypatch.setattr(Scripted, "does", staticmethod(lambda view: never), raising=False)
    desk = Desk(strategy=Scripted)
    for _ in range(2 * FAILURES_MAX):
        assert not await desk.handle(snapshot())
    assert held(desk, "never") == 2 * FAILURES_MAX
    assert held(desk, HoldReason.STRATEGY_ERROR) == 0
    assert desk.account.evaluator.problem() is None


class Deep(AlwaysBuy):
    """Looks at 20 bids."""

    @staticmethod
    def bids_seen(parameters: Any) -> int:
        return 20


@pytest.mark.parametrize(("strategy", "enough"), [(Deep, 20), (AlwaysBuy, PUBLISHED_LEVELS_MAX)])
async def test_it_is_never_asked_about_fewer_bids_than_it_looks_at(
    strategy: type[Strategy], enough: int, minutes: Clock
) -> None:
    desk = Desk(strategy=strategy)
    with capture_logs() as lines:
        for _ in range(2):
            assert not await desk.handle(with_bids(book_at(minutes), enough - 1))
    assert (desk.calls, held(desk, HoldReason.TOO_FEW_BIDS)) == ([], 2)
    (line,) = lines
    assert (line["event"], line["account"]) == ("too_few_bids", "s")
    assert line["published"] == enough - 1
    assert f"publishes {enough - 1} bids" in (desk.account.evaluator.problem() or "")
    assert await desk.handle(with_bids(book_at(minutes), enough))  # a feeder that was told more
    assert desk.account.evaluator.problem() is None


async def test_how_many_bids_book_imbalance_looks_at_says_the_configuration_in_force(
    minutes: Clock,
) -> None:
    desk = Desk()
    ask, before = desk.account.evaluator.consider, desk.account.configuration
    book, delivered = with_bids(book_at(minutes), 10), Instant()
    for levels, asked in ((10, True), (11, False)):
        parameters = BookImbalance.Parameters(levels=levels)
        configuration = msgspec.structs.replace(before, parameters=parameters)
        view = desk.memories.view(book, delivered.now_ns() // 1_000_000)
        assert (ask(BookLook(book, view, delivered), configuration) is not None) is asked


async def test_numbers_that_a_strategy_changes_afterwards_stay_as_they_were_decided_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers: dict[str, Any] = {"seen": 1}

    def again(view: MarketView) -> Signal:
        return Signal(outcome="Up", numbers=numbers)

    monkeypatch.setattr(Scripted, "does", staticmethod(again), raising=False)
    trade = Desk(strategy=Scripted).consider(snapshot(), Instant())
    numbers["seen"] = object()
    assert trade is not None
    assert msgspec.json.encode(trade.numbers) == b'{"seen":1.0}'


async def test_the_moment_that_a_strategy_was_asked_with_is_recorded() -> None:
    asked: list[int] = []

    class Asked(AlwaysBuy):
        @staticmethod
        def decide(view: MarketView, parameters: Any, now_ms: int) -> Any:
            asked.append(now_ms)
            assert view.time_to_close_ms == view.market.end_ms - now_ms
            return Signal(outcome="Up", numbers={})

    desk = Desk(strategy=Asked)
    delivered = Instant()
    book = snapshot()
    desk.memories.note(book)
    view = desk.memories.view(book, delivered.now_ns() // 1_000_000 - 7)  # the worker was busy
    look = BookLook(book, view, delivered)
    trade = desk.account.evaluator.consider(look, desk.account.configuration)
    assert trade is not None
    await desk.execute(book, trade, delivered)
    assert [each.asked_at_ms for each in desk.told] == asked


async def test_gate_and_strategy_are_asked_with_the_one_moment_that_is_recorded() -> None:
    desk, delivered = Desk(strategy=AlwaysBuy), Instant()
    book = stale(snapshot(), by_ms=1_300)  # too old by now, and not when it was looked at
    book = msgspec.structs.replace(
        book, published_at_ns=book.received_at_ns, venue_timestamp_ms=book.received_at_ns // 10**6
    )
    desk.memories.note(book)
    view = desk.memories.view(book, delivered.now_ns() // 1_000_000 - 600)
    look = BookLook(book, view, delivered)
    trade = desk.account.evaluator.consider(look, desk.account.configuration)
    assert trade is not None
    await desk.execute(book, trade, delivered)
    (told,) = desk.told  # and it is refused for its age before anything is claimed
    assert (told.result, told.reason) == ("refused", "stale_book")
    gate = desk.account.configuration.gate
    assert hold_reason_of(book, gate, told.asked_at_ms) is None


async def test_a_decision_is_made_again_from_the_books_that_it_names() -> None:
    class Remembers(AlwaysBuy):
        @staticmethod
        def decide(view: MarketView, parameters: Any, now_ms: int) -> Any:
            rows, start = view.memory.rows, view.memory.start
            assert start is not None
            sizes = sum(size for row in rows for _, size in row.bids)
            return Signal(
                outcome="Up",
                numbers={"sizes": sizes, "start": now_ms - start.at_ms},
                value_e4=5_500,
            )

    desk = Desk(strategy=Remembers, cooldown_ms=0)
    info, published = market(), dict[tuple[int, int], BookSnapshot]()
    now_ns = time.time_ns()
    for sequence in range(400):
        book = snapshot(
            [("0.49", sequence % 7 + 1), ("0.48", sequence % 5 + 1)],
            of=info,
            received_at_ns=now_ns + (sequence - 400) * 1_000_000,
            sequence=sequence,
        )
        published[book.epoch, book.sequence] = book
        if sequence < 300:
            desk.memories.note(book)
        else:
            await desk.handle(book)
    assert len(desk.told) > 2
    for each in desk.told:
        assert each.memory_rows > 100
        seen = seen_of(each.memory_versions)
        start = None if seen.start is None else row_of(published[seen.start])
        rows = [row for version in seen.rows if (row := row_of(published[version])) is not None]
        view = shown(published[seen.decided], MarketMemory.of(rows, start), each.asked_at_ms)
        assert view is not None
        assert digest_of(view.memory.rows, view.memory.start) == each.memory_digest
        answer = Remembers.decide(view, None, each.asked_at_ms)
        trade = trade_of(answer, view, desk.account.configuration.order)
        assert isinstance(trade, Trade)
        assert (trade.outcome, trade.numbers, trade.max_price_e4, trade.spend_e6) == (
            *(each.outcome, each.numbers, each.max_price_e4, each.spend_e6),
        )


async def test_a_decision_on_a_book_that_the_memory_did_not_take_names_both() -> None:
    desk = Desk(strategy=AlwaysBuy)
    info = market()
    desk.memories.note(snapshot(of=info, epoch=3, sequence=9))
    await desk.handle(snapshot(of=info, epoch=2, sequence=1))  # that feeder began to count anew
    assert [each.memory_versions for each in desk.told] == ["s3:9|3:9!2:1"]


async def test_one_that_does_not_come_to_its_end_is_interrupted_and_asked_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loops(view: MarketView) -> Any:
        while True:
            with contextlib.suppress(Exception):
                view.book("Up")

    monkeypatch.setattr(Scripted, "does", staticmethod(loops), raising=False)
    bad, good = Desk(strategy=Scripted), Desk(strategy=AlwaysBuy)
    with STRATEGY_CALLS.looking(every_s=0.02):
        assert not await bad.handle(snapshot())
        assert await good.handle(snapshot())
        assert not await bad.handle(snapshot())
    assert STRATEGY_CALLS.call is None
    assert held(bad, HoldReason.STRATEGY_ERROR) == 1
    assert held(bad, HoldReason.STRATEGY_DISABLED) == 1
    assert "disabled" in (bad.account.evaluator.problem() or "")
