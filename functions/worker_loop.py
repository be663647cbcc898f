"""What a worker does with each book: one decode, one fence, one memory, and every account's look.

    book ─▶ decode ─▶ fence ─▶ memory ─┬─▶ account: evaluate ─▶ execute, beside the loop
                                       └─▶ account: ...

All of it up to the orders is without awaiting. What only one account does never stops another: its
orders under way are its own, and so is how many they may be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextvars import Context, copy_context
from typing import Any, Final, TypeVar

import structlog
from structlog.contextvars import bind_contextvars

from functions.adapters.book_pull import BookPull, Delivery
from functions.adapters.paper_exchange import PaperExchange
from functions.core.configuration import Configuration
from functions.core.fencing import Fence
from functions.core.hold import HoldReason
from functions.core.market_memories import MarketMemories
from functions.core.trade import Trade
from functions.handlers.evaluate import BookLook
from functions.handlers.trading_account import TradingAccount
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import Exchange
from functions.rehearsal import Rehearsal
from functions.worker_clock import WorkerClock
from functions.worker_metrics import WorkerMetrics
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot, ProtocolError, SnapshotDecoder
from runtime.instant import Instant
from runtime.line_throttle import LineThrottle

ORDERS_IN_FLIGHT_MAX: Final = 16
"""Of one account, signed and claimed and posted at once."""
UNDER_WAY_MAX: Final = 2 * ORDERS_IN_FLIGHT_MAX
"""Of one account: as many may wait for their turn, which its book must be young enough for; with
more it lets books pass. When all accounts have so many, the worker stops taking books until one is
answered, and leaves them to others; but not where one is on paper, whose orders are filled from the
books that come. Not sooner: most books are no signal, and deciding on one waits for no order. No
number over all of them stops it: orders of some would keep the others from theirs."""
FINISH_S: Final = 6.0
"""How long orders under way may take after SIGTERM: a POST's timeout and a write. All that follows
is bounded too, so that the process ends within ten seconds."""
_Key = TypeVar("_Key")
_log = structlog.get_logger()


class Worker:
    """The pull loop: each book is considered at once, each trade executes beside the loop."""

    def __init__(
        self,
        pull: BookPull,
        accounts: Sequence[TradingAccount] = (),
        *,
        verifier: MarketVerifier,
        clock: WorkerClock,
        metrics: WorkerMetrics,
        fence: Fence,
    ) -> None:
        self._pull = pull
        self._accounts: tuple[TradingAccount, ...] = ()
        self._exchanges: tuple[Exchange, ...] = ()
        self._verifier = verifier
        self._clock = clock
        self._metrics = metrics
        self._fence = fence
        self._decoder, self._memories = SnapshotDecoder(), MarketMemories()
        self.rehearsal = Rehearsal(self._decoder, self._memories)
        self._ordered = False
        """Whether an order has begun since the last look."""
        self._executing: dict[tuple[str, str], asyncio.Task[None]] = {}
        """By account and condition id."""
        self._begun: set[tuple[str, str]] = set()
        """Which of them have had their turn: what they wait for is an answer."""
        self._under_way: dict[str, int] = {}
        """How many of them, by account."""
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._contexts: dict[str, Context] = {}
        """What an order's task begins with: lines of its log name the account."""
        metrics.orders_in_flight.set_function(lambda: len(self._executing))
        self._warming: dict[str, asyncio.Task[None]] = {}
        self._warmed: dict[str, MarketInfo] = {}
        self._held: dict[str, tuple[BookSnapshot, Instant]] = {}
        # By condition id, all three: of the markets that the verifier knows, so no more than those.
        verifier.on_forgotten = self._forget
        self._malformed, self._too_many = LineThrottle(), LineThrottle()
        for account in accounts:
            self.add(account)

    def add(self, account: TradingAccount) -> None:
        """One more account, from the next book on."""
        self._accounts += (account,)
        self._under_way[account.name] = 0
        self._slots[account.name] = asyncio.Semaphore(ORDERS_IN_FLIGHT_MAX)
        self._contexts[account.name] = copy_context()
        self._contexts[account.name].run(bind_contextvars, account=account.name)
        for market in self._warmed.values():
            account.evaluator.note_market(market, account.configuration.gate)
        if not any(account.opened.exchange is each for each in self._exchanges):
            self._exchanges += (account.opened.exchange,)
            self._warmed.clear()  # for the new one all markets are; asking again does no harm
        self.rehearsal.add(account)

    async def run(self) -> None:
        """Handle books until cancelled; orders under way go on (see `finish`)."""
        conflated = 0
        while True:
            self._ordered = False
            await self._pull.take(self._handle)
            if self._ordered:
                await asyncio.sleep(0)  # it is signed before the books that wait are looked at
            if self._pull.conflated != conflated:
                self._metrics.conflated.inc(self._pull.conflated - conflated)
                conflated = self._pull.conflated
            while self._executing and self._full():
                await asyncio.wait(self._executing.values(), return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait for the orders under way, at most FINISH_S; then leave them to reconciliation."""
        for task in list(self._warming.values()):
            task.cancel()
        if self._executing:
            _, late = await asyncio.wait(self._executing.values(), timeout=FINISH_S)
            # Those that only waited for their turn are at no venue, and in no store.
            begun = sum(self._executing[key] in late for key in self._begun)
            for task in late:
                task.cancel()
            if begun:
                _log.error("orders_abandoned", count=begun)
            if late:
                await asyncio.wait(late, timeout=0.5)

    def _handle(self, delivery: Delivery) -> None:
        started_ns = time.time_ns()
        try:
            snapshot = self._decoder.decode(delivery.payload)
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
            self._hold_all(HoldReason.SUPERSEDED)
            return
        self._memories.note(snapshot)
        self.rehearsal.book = delivery
        for exchange in self._exchanges:
            exchange.observe(snapshot)
        self._verifier.note(snapshot.market)
        if condition_id not in self._warmed and condition_id not in self._warming:
            self._warm(snapshot.market)
        if condition_id in self._warming:
            for account in self._accounts:
                account.metrics.busy.inc()
            self._held[condition_id] = (snapshot, delivery.delivered)
        else:
            self._evaluate(snapshot, delivery.delivered)

    def _evaluate(self, snapshot: BookSnapshot, delivered: Instant) -> None:
        """One view for all accounts; each that trades orders beside the loop."""
        condition_id = snapshot.market.condition_id
        accounts = self._accounts
        if self._executing:
            accounts = tuple(each for each in accounts if self._is_free(each, condition_id))
            if not accounts:
                return
        published, snapshot = snapshot.market, self._verifier.as_traded(snapshot)
        traded_as = None if snapshot.market is published else snapshot.market
        now_ns = delivered.now_ns()
        self._metrics.books.inc()
        self._metrics.book_age.observe((now_ns - snapshot.received_at_ns) / 1e9)
        view = self._memories.view(snapshot, now_ns // 1_000_000)
        look = BookLook(snapshot, view, delivered, traded_as)
        for account in accounts:
            configuration = account.configuration
            trade = account.evaluator.consider(look, configuration)
            if trade is not None:
                self._order(account, snapshot, trade, delivered, configuration)

    def _is_free(self, account: TradingAccount, condition_id: str) -> bool:
        """Whether it may order now; a book that it lets pass is counted."""
        # One order a market at a time; whatever becomes of it, a cooldown has begun.
        full = self._under_way[account.name] >= UNDER_WAY_MAX
        if full or (account.name, condition_id) in self._executing:
            account.metrics.busy.inc()
            return False
        return True

    def _full(self) -> bool:
        """Whether nobody could order on a further book."""
        if any(isinstance(each, PaperExchange) for each in self._exchanges):
            return False
        return min(self._under_way.values()) >= UNDER_WAY_MAX

    def _order(
        self,
        account: TradingAccount,
        snapshot: BookSnapshot,
        trade: Trade,
        delivered: Instant,
        configuration: Configuration,
    ) -> None:
        name = account.name
        key = name, snapshot.market.condition_id

        async def execute() -> None:
            async with self._slots[name]:
                self._begun.add(key)
                try:
                    await account.executor.execute(snapshot, trade, delivered, configuration)
                finally:
                    self._begun.discard(key)

        self._start(self._executing, key, execute(), self._contexts[name].copy())
        self._under_way[name] += 1
        self._ordered = True

    def _count_orders(self) -> None:
        self._under_way = dict.fromkeys(self._under_way, 0)
        for name, _ in self._executing:
            self._under_way[name] += 1

    def _warm(self, market: MarketInfo) -> None:
        """Make a new market's first order as fast as its tenth, and have the CLOB confirm it; its
        newest book waits for both.

        Windows appear minutes before they may be traded, so only a worker that has just started
        ever waits, by milliseconds.
        """
        self._warmed[market.condition_id] = market
        for account in self._accounts:
            account.evaluator.note_market(market, account.configuration.gate)

        async def warm() -> None:
            await self._verifier.verify(market)
            await asyncio.gather(*(self._warm_at(each, market) for each in self._exchanges))
            while (held := self._held.pop(market.condition_id, None)) is not None:
                self._evaluate(*held)
            # Here and not when the task has ended: a book in between would be held for ever.
            del self._warming[market.condition_id]

        self._start(self._warming, market.condition_id, warm())

    async def _warm_at(self, exchange: Exchange, market: MarketInfo) -> None:
        try:
            async with self._verifier.questions:
                await exchange.warm(market)
        except Exception as error:  # noqa: BLE001 - warming only helps; the book still counts
            _log.error("warming_failed", market=market.slug, exc_info=error)

    def _refuse_market(self, market: MarketInfo) -> None:
        self._hold_all(HoldReason.TOO_MANY_MARKETS)
        if (unlogged := self._too_many.admit()) is not None:
            _log.error("too_many_markets", market=market.slug, unlogged_before=unlogged)

    def _hold_all(self, reason: HoldReason) -> None:
        """Whatever the accounts would say to it."""
        for account in self._accounts:
            account.metrics.holds[reason].inc()

    def _forget(self, condition_id: str) -> None:
        """Of a market that the verifier has forgotten; orders under way go on."""
        self._warmed.pop(condition_id, None)
        self._held.pop(condition_id, None)
        self._memories.forget(condition_id)
        if (warming := self._warming.pop(condition_id, None)) is not None:
            warming.cancel()
        for exchange in self._exchanges:
            exchange.forget(condition_id)

    def _start(
        self,
        tasks: dict[_Key, asyncio.Task[None]],
        key: _Key,
        coroutine: Coroutine[Any, Any, None],
        context: Context | None = None,
    ) -> None:
        task = asyncio.create_task(coroutine, context=context)
        tasks[key] = task

        def ended(task: asyncio.Task[None]) -> None:
            if tasks.get(key) is task:
                del tasks[key]
            self._count_orders()
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.critical("task_failed", exc_info=error)

        task.add_done_callback(ended)
