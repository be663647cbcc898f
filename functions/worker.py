"""The worker process: pull books, decide, execute. Stateless; run as many as wanted.

    python -m functions.worker

SIGTERM or SIGINT: stop pulling, finish the orders under way, exit 0 within ten seconds.
"""

from __future__ import annotations

if __name__ == "__main__":
    import runtime.starting  # noqa: F401 - first: it takes signals while the rest is imported

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, TypeAlias

import structlog
from nats.aio.client import Client

from functions.adapters.book_pull import BookPull, Delivery
from functions.adapters.clob_markets import VenueClobMarkets
from functions.adapters.configuration_nudge import follow_nudges
from functions.adapters.decision_publisher import DecisionPublisher
from functions.adapters.durable_consumer import DurableConsumer
from functions.adapters.dynamodb.store import DynamoStore
from functions.adapters.paper_exchange import PaperExchange
from functions.bootstrap import configured, opened_store, trader_login
from functions.core.clock_doubt import ClockDoubt
from functions.core.fencing import Fence
from functions.core.hold import HoldReason
from functions.core.market_memories import MarketMemories
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.trading_account import (
    OpenedAccount,
    TradingAccount,
    WorkerParts,
    trading_account,
)
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import Exchange
from functions.settings import WorkerSettings
from functions.worker_clock import WorkerClock
from functions.worker_consumers import decision_consumer, fill_consumer
from functions.worker_metrics import WorkerMetrics
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot, ProtocolError, decode_snapshot
from protocol.subjects import BOOKS, DECISIONS, FILLS
from runtime.addresses import origins
from runtime.cloudwatch import reporting_to_cloudwatch
from runtime.health import health_server
from runtime.instant import Instant
from runtime.line_throttle import LineThrottle
from runtime.log import configure_logging
from runtime.nats import close, connect, declare_stream
from runtime.process import first_failure, freeze_heap, run_service, stop_tasks
from runtime.proxies import ignore_proxies
from runtime.retry import until_reachable
from runtime.settings import load_settings, refuse_to_start
from strategies.builtin import BUILTIN

ORDERS_IN_FLIGHT_MAX: Final = 16
"""More orders than this at once and the worker stops taking books until one is answered."""
FINISH_S: Final = 6.0
"""How long orders under way may take after SIGTERM: a POST's timeout and a write. All that follows
is bounded too, so that the process ends within ten seconds."""
_log = structlog.get_logger()

Problem: TypeAlias = Callable[[], str | None]
"""What is wrong, in one sentence for a person, None when nothing is."""


class Worker:
    """The pull loop: each book is considered at once, each trade executes beside the loop."""

    def __init__(
        self,
        pull: BookPull,
        *,
        account: TradingAccount,
        exchange: Exchange,
        verifier: MarketVerifier,
        clock: WorkerClock,
        metrics: WorkerMetrics,
        fence: Fence,
    ) -> None:
        self._pull = pull
        self._account = account
        self._exchange = exchange
        self._verifier = verifier
        self._clock = clock
        self._metrics = metrics
        self._fence = fence
        self._memories = MarketMemories()
        self._executing: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(ORDERS_IN_FLIGHT_MAX)
        self._warming: dict[str, asyncio.Task[None]] = {}
        self._warmed: set[str] = set()
        self._held: dict[str, tuple[BookSnapshot, Instant]] = {}
        # By condition id, all three: of the markets that the verifier knows, so no more than those.
        verifier.on_forgotten = self._forget
        self._malformed, self._too_many = LineThrottle(), LineThrottle()

    async def run(self) -> None:
        """Handle books until cancelled; orders under way go on (see `finish`)."""
        conflated = 0
        while True:
            delivery = await self._pull.next()
            self._handle(delivery)
            # Whatever came of it: by the time of a second delivery the book would be too old.
            await self._pull.ack(delivery)
            if self._pull.conflated != conflated:
                self._metrics.conflated.inc(self._pull.conflated - conflated)
                conflated = self._pull.conflated
            if len(self._executing) >= ORDERS_IN_FLIGHT_MAX:
                await asyncio.wait(self._executing.values(), return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait for the orders under way, at most FINISH_S; then leave them to reconciliation."""
        for task in list(self._warming.values()):
            task.cancel()
        if self._executing:
            _, late = await asyncio.wait(self._executing.values(), timeout=FINISH_S)
            for task in late:
                task.cancel()
            if late:
                _log.error("orders_abandoned", count=len(late))
                await asyncio.wait(late, timeout=0.5)

    def _handle(self, delivery: Delivery) -> None:
        started_ns = time.time_ns()
        try:
            snapshot = decode_snapshot(delivery.payload)
        except ProtocolError as error:
            self._metrics.malformed.inc()
            if (unlogged := self._malformed.admit()) is not None:
                _log.warning("book_malformed", error=str(error), unlogged_before=unlogged)
            return
        self._metrics.decode.observe((time.time_ns() - started_ns) / 1e9)
        self._clock.note(snapshot, delivery)
        condition_id = snapshot.market.condition_id
        if self._verifier.is_over(snapshot.market):
            self._evaluate(snapshot, delivery.delivered)  # refused and counted, and nothing kept
            return
        if not self._verifier.takes(condition_id):
            self._refuse_market(snapshot.market)
            return
        # Before all else: what is held, waits or is decided on from here is the newest there is.
        if not self._fence.admits(snapshot, time.monotonic_ns() // 1_000_000):
            self._metrics.holds[HoldReason.SUPERSEDED].inc()
            return
        self._memories.note(snapshot)
        self._exchange.observe(snapshot)
        self._verifier.note(snapshot.market)
        if condition_id not in self._warmed:
            self._warm(snapshot.market)
        if condition_id in self._warming:
            self._metrics.busy.inc()
            self._held[condition_id] = (snapshot, delivery.delivered)
        elif condition_id in self._executing:
            # One order a market at a time; whatever becomes of it, a cooldown has begun.
            self._metrics.busy.inc()
        else:
            self._evaluate(snapshot, delivery.delivered)

    def _evaluate(self, snapshot: BookSnapshot, delivered: Instant) -> None:
        snapshot = self._verifier.as_traded(snapshot)
        now_ns = delivered.now_ns()
        self._metrics.books.inc()
        self._metrics.book_age.observe((now_ns - snapshot.received_at_ns) / 1e9)
        view = self._memories.view(snapshot, now_ns // 1_000_000)
        account, configuration = self._account, self._account.configuration
        trade = account.evaluator.consider(snapshot, view, delivered, configuration)
        if trade is None:
            return

        async def execute() -> None:
            async with self._slots:
                await account.executor.execute(snapshot, trade, delivered, configuration)

        self._start(self._executing, snapshot.market.condition_id, execute())

    def _warm(self, market: MarketInfo) -> None:
        """Make a new market's first order as fast as its tenth, and have the CLOB confirm it; its
        newest book waits for both.

        Windows appear minutes before they may be traded, so only a worker that has just started
        ever waits, by milliseconds.
        """
        self._warmed.add(market.condition_id)
        self._account.evaluator.note_market(market, self._account.configuration.gate)

        async def warm() -> None:
            await self._verifier.verify(market)
            try:
                async with self._verifier.questions:
                    await self._exchange.warm(market)
            except Exception as error:  # noqa: BLE001 - warming only helps; the book still counts
                _log.error("warming_failed", market=market.slug, exc_info=error)
            while (held := self._held.pop(market.condition_id, None)) is not None:
                self._evaluate(*held)
            # Here and not when the task has ended: a book in between would be held for ever.
            del self._warming[market.condition_id]

        self._start(self._warming, market.condition_id, warm())

    def _refuse_market(self, market: MarketInfo) -> None:
        self._metrics.holds[HoldReason.TOO_MANY_MARKETS].inc()
        if (unlogged := self._too_many.admit()) is not None:
            _log.error("too_many_markets", market=market.slug, unlogged_before=unlogged)

    def _forget(self, condition_id: str) -> None:
        """Of a market that the verifier has forgotten; an order under way goes on."""
        self._warmed.discard(condition_id)
        self._held.pop(condition_id, None)
        self._memories.forget(condition_id)
        if (warming := self._warming.pop(condition_id, None)) is not None:
            warming.cancel()
        self._exchange.forget(condition_id)

    def _start(
        self,
        tasks: dict[str, asyncio.Task[None]],
        condition_id: str,
        coroutine: Coroutine[Any, Any, None],
    ) -> None:
        task = asyncio.create_task(coroutine)
        tasks[condition_id] = task
        self._metrics.orders_in_flight.set(len(self._executing))

        def ended(task: asyncio.Task[None]) -> None:
            if tasks.get(condition_id) is task:
                del tasks[condition_id]
            self._metrics.orders_in_flight.set(len(self._executing))
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.critical("task_failed", exc_info=error)

        task.add_done_callback(ended)


async def serve(settings: WorkerSettings, worker_name: str) -> None:
    """Compose a worker and run it until cancelled. Exits 2 on what only a person can mend."""
    metrics = WorkerMetrics(BUILTIN[settings.strategy].Reason)
    clock = WorkerClock(settings.max_book_age_ms, metrics)
    verifier: MarketVerifier
    nats_url = origins(settings.nats_url)
    nc: Client | None = None
    store: DynamoStore | None = None
    exchange: Exchange | None = None
    problem_of_streams: Problem | None = None

    def problem() -> str | None:
        if nc is None or not nc.is_connected:
            return f"not connected to NATS at {nats_url}"
        if store is None:
            return f"waiting for the state table {settings.state_table}"
        if exchange is None:
            return f"waiting for the venue at {settings.clob_url}"
        if problem_of_streams is None:
            return f"waiting for JetStream at {nats_url}"
        each = (problem_of_streams, store.problem, exchange.problem, verifier.problem)
        return next(filter(None, (ask() for ask in (*each, clock.problem))), None)

    def started(problem_of_those: Problem) -> None:
        nonlocal problem_of_streams
        problem_of_streams = problem_of_those
        _log.info("worker_started", execution=settings.execution, metrics_port=metrics_port)

    async with AsyncExitStack() as stack:
        # Metrics and health first: a worker that waits for a dependency can be asked for which.
        metrics_port = await stack.enter_async_context(
            health_server(settings.metrics_host, settings.metrics_port, metrics.registry, problem)
        )
        await stack.enter_async_context(
            reporting_to_cloudwatch(settings.cloudwatch_stage, "worker", metrics.cloudwatch)
        )
        nc = await connect(settings.nats_url, worker_name, settings.nats_login())
        stack.push_async_callback(close, nc)
        store = await stack.enter_async_context(opened_store(settings))
        clob_markets = VenueClobMarkets(settings.clob_url, settings.gamma_url)
        stack.push_async_callback(clob_markets.close)
        verifier = MarketVerifier(clob_markets, metrics)
        in_force = ConfigurationInForce(await configured(store, settings, worker_name))
        exchange = await open_exchange(settings, verifier, in_force)
        stack.push_async_callback(exchange.close)
        await run_worker(
            settings,
            worker_name,
            nc,
            OpenedAccount(settings.account, BUILTIN[settings.strategy], store, exchange, in_force),
            verifier=verifier,
            clock=clock,
            metrics=metrics,
            started=started,
        )


async def run_worker(
    settings: WorkerSettings,
    worker_name: str,
    nc: Client,
    opened: OpenedAccount,
    *,
    verifier: MarketVerifier,
    clock: WorkerClock,
    metrics: WorkerMetrics,
    started: Callable[[Problem], None] = lambda _: None,
) -> None:
    """Run a worker on the given collaborators until cancelled, then finish what is under way.

    `started` is called once books can be taken, with what says whether any of the streams is lost.
    """
    publisher = DecisionPublisher(nc, settings.account, metrics)
    fence = Fence()
    parts = WorkerParts(worker_name, fence, ClockDoubt(), verifier, metrics)
    account = trading_account(opened, parts, publisher.offer)
    store, exchange = opened.store, opened.exchange
    opened.in_force.tell(lambda now: clock.set_book_age_max(now.gate.book_age_max_ms))
    replicas = settings.stream_replicas
    pull = BookPull(nc, settings.account, replicas)
    worker = Worker(
        pull,
        account=account,
        exchange=exchange,
        verifier=verifier,
        clock=clock,
        metrics=metrics,
        fence=fence,
    )
    where = f"JetStream at {origins(settings.nats_url)}"
    live = settings.execution == "live"  # the venue reports no trades of paper orders
    # All of them here: what only a person can mend would otherwise be said while it trades.
    for stream in (BOOKS, DECISIONS, FILLS) if live else (BOOKS, DECISIONS):
        declare = partial(declare_stream, nc, stream, replicas)
        await until_reachable(f"stream {stream.name} of {where}", declare)
    await until_reachable(where, pull.start)
    consumers: list[DurableConsumer[Any]] = [
        decision_consumer(nc, settings.account, store, metrics, replicas)
    ]
    if live:
        wallet = settings.wallet or ""
        consumers.append(fill_consumer(nc, settings.account, store, metrics, replicas, wallet))
    await follow_nudges(nc, settings.account, account.follower.look)
    freeze_heap()
    problems: list[Problem] = [
        account.follower.problem,
        pull.problem,
        *(each.problem for each in consumers),
    ]
    started(lambda: next(filter(None, (ask() for ask in problems)), None))
    beside = [publisher.run(), *(each.run() for each in consumers)]
    background = asyncio.create_task(first_failure(*beside))
    try:
        await first_failure(
            *(pull.run(), worker.run(), exchange.upkeep(), store.upkeep()),
            *(verifier.upkeep(), clock.run(), account.follower.run(), _watch(background)),
        )
    finally:
        await worker.finish()
        await publisher.drain(timeout_s=0.5)
        await stop_tasks(background)
        _log.info("worker_stopped")


async def _watch(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


async def open_exchange(
    settings: WorkerSettings, verifier: MarketVerifier, in_force: ConfigurationInForce
) -> Exchange:
    """Paper, or the venue with a logged-in client; waits for the venue. Exits 2 (see `log_in`)."""
    login = trader_login(settings, order_usd=in_force.now.settings.size_usd)
    if login is None:
        return PaperExchange(
            settings.paper_delay_ms, lambda: in_force.now.gate, verifier.taker_delay_ms
        )
    # Here, because they cost what all the rest costs together, and on paper nobody needs them.
    from functions.adapters.live_exchange import LiveExchange  # noqa: PLC0415 - see above
    from venue.trading.login import log_in  # noqa: PLC0415 - see above

    client = await until_reachable(f"the venue at {settings.clob_url}", lambda: log_in(login))
    return LiveExchange(client)


def main(arguments: list[str]) -> int:
    """Entry point of `python -m functions.worker`."""
    if arguments:
        refuse_to_start("the worker takes no arguments: the environment says all")
    worker_name = f"{socket.gethostname()}-{os.getpid()}"
    configure_logging(service="worker", worker=worker_name)
    ignore_proxies()
    settings = load_settings(WorkerSettings)
    return run_service(serve(settings, worker_name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
