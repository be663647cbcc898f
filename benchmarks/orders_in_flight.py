"""A worker with 16 orders under way: how old are the books of the other markets that it decides on?

    python -m benchmarks.orders_in_flight [--books-per-s 500] [--repeats 5]

`Worker` itself with one live account, without a network: 16 markets signal on each book, and each
of their POSTs is open for half a second; signing blocks for 0.45 ms, as the official client does.
The other 34 markets are held, and it is their books that are counted: from when one is made to when
its decision begins, while all 16 POSTs are open. `age_p99_running_ms` leaves out the time in which
the worker could run and had no processor (the kernel's `schedstat`): what is left is the worker's
own, and the difference is the machine's load. Milliseconds; quartiles of repeats. What an order
costs is told by `benchmarks.whole_order`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from typing import Final, cast

import structlog
import uvloop

from benchmarks.stats import quartiles
from benchmarks.strategies_in_process import _ALWAYS_BUYS, _REPLY, _configuration
from benchmarks.strategy_books import Books
from benchmarks.stub_worker import GrantingStore, UnaskingVerifier
from functions.adapters.book_pull import BookPull, Delivery
from functions.core.claim import NOBODY
from functions.core.clock_doubt import ClockDoubt
from functions.core.fencing import Fence
from functions.core.trade import Trade
from functions.handlers.evaluate import BookLook
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.trading_account import OpenedAccount, WorkerParts, trading_account
from functions.ports import ClobMarkets, Exchange, PreparedOrder
from functions.worker_clock import WorkerClock
from functions.worker_loop import ORDERS_IN_FLIGHT_MAX, Worker
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision, encode_decision
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from runtime.instant import Instant
from runtime.process import freeze_heap
from strategies.book_imbalance import BookImbalance
from strategies.interface import Hold, Signal
from strategies.view import MarketView
from tests.support.arguments import count, rate
from venue.wire.order_answer import Accepted, Answer

POST_S: Final = 0.5
SIGN_S: Final = 0.00045
SECONDS: Final = 4.0
ACCOUNT: Final = "bench"


class ConflatingPull:
    """The newest book of each market, as `BookPull` hands them out."""

    conflated = 0

    def __init__(self) -> None:
        self._waiting: dict[int, Delivery] = {}
        self._given = asyncio.Event()

    def give(self, market: int, payload: bytes) -> None:
        self._waiting[market] = Delivery(payload, _REPLY, Instant())
        self._given.set()

    async def next(self) -> Delivery:
        await asyncio.sleep(0)
        while not self._waiting:
            self._given.clear()
            await self._given.wait()
        return self._waiting.pop(next(iter(self._waiting)))


class HoldingExchange:
    """Holds each POST open; how many are."""

    def __init__(self, post_s: float, sign_s: float) -> None:
        self._post_s, self._sign_s = post_s, sign_s
        self.open = self.prepared = 0

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        until_s = time.perf_counter() + self._sign_s
        while time.perf_counter() < until_s:
            pass
        self.prepared += 1
        return PreparedOrder(
            order_id=f"0x{self.prepared:064x}",
            trader=NOBODY,
            salt=str(self.prepared),
            order_timestamp_ms=1,
            spend_e6=trade.spend_e6,
            size_e6=trade.spend_e6 * 10_000 // trade.max_price_e4,
            payload=None,
        )

    async def post(self, order: PreparedOrder) -> Answer:
        self.open += 1
        await asyncio.sleep(self._post_s)
        self.open -= 1
        return Accepted(status="matched", spend_e6=order.spend_e6, size_e6=order.size_e6)

    def observe(self, snapshot: BookSnapshot) -> None:
        pass

    def forget(self, condition_id: str) -> None:
        pass

    def rehearsal(self) -> None:
        pass

    async def warm(self, market: MarketInfo) -> None:
        pass


class SomeMarkets(BookImbalance):
    """Signals in the first 16 markets, and looks as carefully at the others."""

    @staticmethod
    def decide(
        view: MarketView, parameters: BookImbalance.Parameters, now_ms: int
    ) -> Signal | Hold:
        answer = BookImbalance.decide(view, parameters, now_ms)
        if int(view.market.condition_id, 16) >= ORDERS_IN_FLIGHT_MAX:
            return Hold(BookImbalance.Reason.NO_IMBALANCE)
        return answer


class OneAccount:
    """A worker with it; `ages_ms` of books that were decided on while all POSTs were open."""

    def __init__(self, exchange: HoldingExchange) -> None:
        self.exchange, self.pull = exchange, ConflatingPull()
        self.ages_ms: list[float] = []
        self.running_ms: list[float] = []
        """The same, without the time without a processor."""
        self.waited_ns: dict[int, int] = {}
        """How long there was none when a book was made, by its sequence."""
        metrics = WorkerMetrics({ACCOUNT: SomeMarkets.Reason})
        verifier = UnaskingVerifier(cast(ClobMarkets, None), metrics)  # asks nobody
        fence = Fence()
        configuration = _configuration(BookImbalance, **_ALWAYS_BUYS)
        opened = OpenedAccount(
            ACCOUNT,
            SomeMarkets,
            GrantingStore(),
            cast(Exchange, exchange),
            ConfigurationInForce(configuration),
        )
        parts = WorkerParts("bench", fence, ClockDoubt(), verifier, metrics)
        self.account = trading_account(opened, parts, self._publish)
        self.configuration = configuration
        self.worker = Worker(
            cast(BookPull, self.pull),
            [self.account],
            verifier=verifier,
            clock=WorkerClock(1_000, metrics),
            metrics=metrics,
            fence=fence,
        )
        consider = self.account.evaluator.consider

        def noted(*arguments: object) -> Trade | None:
            book = cast(BookLook, arguments[0]).snapshot
            if exchange.open >= ORDERS_IN_FLIGHT_MAX:
                age_ns = time.time_ns() - book.received_at_ns
                waited_ns = _waited_ns() - self.waited_ns.get(book.sequence, 0)
                self.ages_ms.append(age_ns / 1e6)
                self.running_ms.append(max(0, age_ns - waited_ns) / 1e6)
            self.account.evaluator._refusals._cooldown_until_ms.clear()  # buys again at once
            return consider(*arguments)  # type: ignore[arg-type]

        self.account.evaluator.consider = noted  # type: ignore[method-assign, assignment]

    def _publish(self, decision: Decision) -> None:
        encode_decision(decision)


def _waited_ns() -> int:
    """How long this thread has been ready to run so far, and had no processor."""
    return int(os.pread(_SCHEDSTAT, 100, 0).split()[1])


_SCHEDSTAT: Final = os.open("/proc/thread-self/schedstat", os.O_RDONLY)


async def ages(books: Books, books_per_s: float) -> tuple[float, float, float, float, float]:
    """p50 and p99 of the ages, p99 without what was waited for a processor, how many books were
    decided on, and for how many seconds of them all POSTs were open."""
    one, loop = OneAccount(HoldingExchange(POST_S, SIGN_S)), asyncio.get_running_loop()
    running = asyncio.create_task(one.worker.run())
    began_s, given, open_s, last_s = loop.time(), 0, 0.0, loop.time()
    while (now_s := loop.time()) < began_s + SECONDS:
        open_s += (now_s - last_s) * (one.exchange.open >= ORDERS_IN_FLIGHT_MAX)
        last_s = now_s
        while given < (now_s - began_s) * books_per_s:
            waited_ns = _waited_ns()
            one.pull.give(*books.next())
            one.waited_ns[books.made] = waited_ns
            given += 1
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await one.worker.finish()
    seen, ran = sorted(one.ages_ms), sorted(one.running_ms)
    if not seen:
        return float("nan"), float("nan"), float("nan"), 0.0, open_s
    rank = int(len(seen) * 0.99)
    return seen[len(seen) // 2], seen[rank], ran[rank], float(len(seen)), open_s


async def _run(repeats: int, books_per_s: float) -> dict[str, list[float]]:
    books = Books()
    names = (
        *("age_p50_ms", "age_p99_ms", "age_p99_running_ms"),
        *("books_decided", "seconds_with_16_open"),
    )
    figures: dict[str, list[float]] = {}
    freeze_heap()
    for _ in range(repeats):
        row = dict(zip(names, await ages(books, books_per_s), strict=True))
        for name, value in row.items():
            figures.setdefault(name, []).append(value)
    return figures


def main() -> int:
    """Print every figure by name; its unit is part of the name."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.orders_in_flight")
    arguments.add_argument("--repeats", type=count, default=5)
    arguments.add_argument("--books-per-s", type=rate, default=500.0)
    told = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # critical
    for name, values in uvloop.run(_run(told.repeats, told.books_per_s)).items():
        each = quartiles(values)
        print(f"{name:<24}  {each.low:10,.2f}  {each.median:10,.2f}  {each.high:10,.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
