"""A worker's loop with several accounts: what one of them does never stops another."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

import msgspec

from functions.adapters.paper_exchange import PaperExchange
from functions.core.account import Limits
from functions.core.clock_doubt import ClockDoubt
from functions.core.fencing import Fence
from functions.core.gate import GateConfig
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.trading_account import (
    OpenedAccount,
    TradingAccount,
    WorkerParts,
    trading_account,
)
from functions.handlers.verify_markets import MarketVerifier
from functions.worker_clock import WorkerClock
from functions.worker_loop import ORDERS_IN_FLIGHT_MAX, Worker
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision
from strategies.book_imbalance import BookImbalance
from strategies.interface import Hold, Signal, Strategy
from strategies.parameters import StrategyParameters
from strategies.view import MarketView
from tests.functions.test_worker import Books
from tests.support.configuration_builders import a_configuration
from tests.support.fake_ports import MemoryStore, ScriptedClob, ScriptedExchange
from tests.support.strategies import AlwaysBuy
from tests.support.trading_builders import market, snapshot

GATE = GateConfig(book_age_max_ms=5_000)
LIMITS = Limits(
    max_positions=100,
    cooldown_ms=60_000,
    daily_loss_limit_e6=1_000_000,
    daily_spend_cap_e6=10**9,
)


class Raises(Strategy):
    name = "raises"
    Parameters = BookImbalance.Parameters
    Reason = BookImbalance.Reason
    asked = 0

    @staticmethod
    def decide(view: MarketView, parameters: StrategyParameters, now_ms: int) -> Signal | Hold:
        Raises.asked += 1
        raise ZeroDivisionError


class Seen(Strategy):
    """Keeps the views that it was asked with."""

    name = "seen"
    Parameters = BookImbalance.Parameters

    class Reason(StrEnum):
        LOOKED = "looked"

    views: list[MarketView] = []  # noqa: RUF012 - for one test

    @staticmethod
    def decide(view: MarketView, parameters: StrategyParameters, now_ms: int) -> Signal | Hold:
        Seen.views.append(view)
        return Hold(Seen.Reason.LOOKED)


class Floor:
    """A worker with an account for each strategy, each with a store and an exchange of its own
    unless they share `live`."""

    def __init__(self, live: ScriptedExchange | None = None, **strategies: type[Strategy]) -> None:
        self.books, self.fence = Books(), Fence()
        self.metrics = WorkerMetrics({name: each.Reason for name, each in strategies.items()})
        self.verifier = MarketVerifier(ScriptedClob(), self.metrics)
        self.told: dict[str, list[Decision]] = {name: [] for name in strategies}
        self.stores = {name: MemoryStore() for name in strategies}
        self.exchanges = {name: live or ScriptedExchange([]) for name in strategies}
        parts = WorkerParts("w", self.fence, ClockDoubt(), self.verifier, self.metrics)
        self.accounts: dict[str, TradingAccount] = {}
        for name, strategy in strategies.items():
            configuration = a_configuration(limits=LIMITS, gate=GATE, strategy=strategy)
            opened = OpenedAccount(
                name,
                strategy,
                self.stores[name],
                self.exchanges[name],
                ConfigurationInForce(configuration),
            )
            self.accounts[name] = trading_account(opened, parts, self.told[name].append)
        self.worker = Worker(
            self.books,
            list(self.accounts.values()),
            verifier=self.verifier,
            clock=WorkerClock(5_000, self.metrics),
            metrics=self.metrics,
            fence=self.fence,
        )

    async def handle_all(self) -> None:
        running = asyncio.create_task(self.worker.run())
        for _ in range(40):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def reasons(self) -> dict[str, list[str]]:
        return {name: [each.reason for each in told] for name, told in self.told.items()}

    def sample(self, name: str, **labels: Any) -> float | None:
        return self.metrics.registry.get_sample_value(f"worker_{name}", labels)


async def test_a_market_is_bought_by_two_accounts_at_once_and_each_has_its_claim() -> None:
    live = ScriptedExchange([])
    floor = Floor(live, a=AlwaysBuy, b=AlwaysBuy)
    floor.books.give(snapshot(of=market()))
    await floor.handle_all()
    assert floor.reasons() == {"a": ["matched"], "b": ["matched"]}
    assert [len(store.claims) for store in floor.stores.values()] == [1, 1]
    assert len({order.order_id for order in live.posted}) == 2
    assert {each.strategy for told in floor.told.values() for each in told} == {"a", "b"}


async def test_all_accounts_see_one_view_of_a_book() -> None:
    class SeenToo(Seen):
        """Another strategy: of accounts with the same one, only the first is asked."""

    class SeenAsWell(Seen):
        """A third one."""

    Seen.views.clear()
    floor = Floor(a=Seen, b=SeenToo, c=SeenAsWell)
    floor.books.give(snapshot(of=market()))
    await floor.handle_all()
    assert len(Seen.views) == 3
    assert len({id(view) for view in Seen.views}) == 1
    assert floor.sample("books_total") == 1
    assert floor.sample("holds_total", strategy="b", reason="looked") == 1


async def test_a_strategy_that_raises_stops_only_its_own_account() -> None:
    Raises.asked = 0
    floor = Floor(bad=Raises, good=AlwaysBuy)
    for number in range(30):
        floor.books.give(snapshot(of=market(f"0x{number}")))
        await floor.handle_all()
    assert len(floor.told["good"]) == 30
    assert floor.told["bad"] == []
    assert Raises.asked == 20
    assert floor.sample("strategies_disabled_total", strategy="bad") == 1
    assert floor.sample("strategies_disabled_total", strategy="good") == 0
    assert floor.accounts["bad"].evaluator.problem() is not None
    assert floor.accounts["good"].evaluator.problem() is None


async def test_a_store_that_does_not_answer_one_account_leaves_the_others_trading() -> None:
    floor = Floor(away=AlwaysBuy, well=AlwaysBuy)
    floor.stores["away"].failures["claim"] = 100
    for number in range(3):
        floor.books.give(snapshot(of=market(f"0x{number}")))
    await floor.handle_all()
    assert floor.reasons()["well"] == ["matched"] * 3
    assert floor.reasons()["away"] == ["store_error"] * 3
    assert floor.sample("store_errors_total", strategy="well") == 0


async def test_orders_of_one_account_that_hang_leave_the_others_their_own() -> None:
    floor = Floor(hangs=AlwaysBuy, goes=AlwaysBuy)
    answering = asyncio.Event()
    floor.exchanges["hangs"].during_post = answering.wait  # type: ignore[assignment]
    count = 2 * ORDERS_IN_FLIGHT_MAX + 5  # as many wait, and then books pass
    for number in range(count):
        floor.books.give(snapshot(of=market(f"0x{number}")))
        await floor.handle_all()
    assert len(floor.exchanges["hangs"].posted) == ORDERS_IN_FLIGHT_MAX
    assert floor.reasons()["goes"] == ["matched"] * count
    assert floor.sample("books_busy_total", strategy="hangs") == count + 5  # all were warmed first
    assert floor.sample("orders_in_flight") == 2 * ORDERS_IN_FLIGHT_MAX
    answering.set()
    await floor.worker.finish()


async def test_however_many_accounts_hang_the_last_one_goes_on() -> None:
    hanging: dict[str, type[Strategy]] = {f"hangs{number}": AlwaysBuy for number in range(12)}
    floor = Floor(goes=AlwaysBuy, **hanging)
    answering = asyncio.Event()
    for name in hanging:
        floor.exchanges[name].during_post = answering.wait  # type: ignore[assignment]
    count = 2 * ORDERS_IN_FLIGHT_MAX + 5
    running = asyncio.create_task(floor.worker.run())
    for number in range(count):
        floor.books.give(snapshot(of=market(f"0x{number}")))
        for _ in range(40):
            await asyncio.sleep(0)
    assert floor.reasons()["goes"] == ["matched"] * count
    answering.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await floor.worker.finish()


async def test_paper_orders_that_wait_for_books_do_not_keep_the_worker_from_taking_them() -> None:
    paper = PaperExchange(0, lambda: GATE, lambda _: 0)
    floor = Floor(paper, a=AlwaysBuy)  # type: ignore[arg-type]
    names = [f"0x{number}" for number in range(ORDERS_IN_FLIGHT_MAX + 2)]
    running = asyncio.create_task(floor.worker.run())
    for asks in ([("0.51", 90)], [("0.51", 80)]):
        for name in names:
            floor.books.give(snapshot(asks=asks, of=market(name)))
        for _ in range(400):
            await asyncio.sleep(0)
    assert floor.reasons() == {"a": ["matched"] * len(names)}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_while_one_account_buys_a_market_another_still_looks_at_it() -> None:
    Seen.views.clear()
    floor = Floor(buys=AlwaysBuy, looks=Seen)
    answering = asyncio.Event()
    floor.exchanges["buys"].during_post = answering.wait  # type: ignore[assignment]
    for _ in range(2):
        floor.books.give(snapshot(of=market()))
        await floor.handle_all()
    assert len(Seen.views) == 2
    assert len(floor.exchanges["buys"].posted) == 1
    answering.set()
    await floor.worker.finish()


async def test_an_account_that_joins_has_its_exchange_warmed_and_then_trades() -> None:
    floor = Floor(first=AlwaysBuy, late=AlwaysBuy)
    floor.worker = Worker(
        floor.books,
        [floor.accounts["first"]],
        verifier=floor.verifier,
        clock=WorkerClock(5_000, floor.metrics),
        metrics=floor.metrics,
        fence=floor.fence,
    )
    info = market()
    floor.books.give(snapshot(of=info))
    await floor.handle_all()
    floor.worker.add(floor.accounts["late"])
    floor.books.give(snapshot(of=info))
    await floor.handle_all()
    assert floor.reasons() == {"first": ["matched", "cooldown"], "late": ["matched"]}


async def test_a_superseded_book_is_held_for_every_account() -> None:
    floor = Floor(a=AlwaysBuy, b=AlwaysBuy)
    info = market()
    quiet = snapshot(of=info, epoch=2)
    floor.books.give(quiet)
    floor.books.give(msgspec.structs.replace(quiet, epoch=1))
    await floor.handle_all()
    for name in ("a", "b"):
        assert floor.sample("holds_total", strategy=name, reason="superseded") == 1
