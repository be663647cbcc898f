"""What a further strategy costs a worker a book: `Worker._handle` itself, without a network.

Processor time of decode, fence, memory and every account's decision, of books that nobody trades
on: held by the strategy once it has looked at all that it looks at, or at the gate. The same books
go to a worker with 1, 10 and 30 accounts in turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from benchmarks.stats import Quartiles, quartiles
from benchmarks.strategy_books import MARKETS, Books
from benchmarks.stub_worker import GrantingStore, UnaskingVerifier
from functions.adapters.book_pull import BookPull, Delivery
from functions.adapters.clob_markets import VenueClobMarkets
from functions.adapters.paper_exchange import PaperBooks, PaperExchange
from functions.core.clock_doubt import ClockDoubt
from functions.core.configuration import AccountConfiguration, Configuration
from functions.core.fencing import Fence
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.trading_account import OpenedAccount, WorkerParts, trading_account
from functions.worker_clock import WorkerClock
from functions.worker_loop import Worker
from functions.worker_metrics import WorkerMetrics
from runtime.instant import Instant
from runtime.process import freeze_heap
from strategies.builtin import BUILTIN
from strategies.interface import Strategy

ACCOUNTS: Final = (1, 10, 30)
BOOKS_A_ROUND: Final = 500
_WARM_UP_BOOKS: Final = MARKETS * 300
"""So that the markets' memories are full."""
_NEVER_BUYS: Final[dict[str, dict[str, float]]] = {
    "book_imbalance_crypto": {"imbalance_min": 1.0},
    "order_flow_imbalance": {"flow_min_ticks": 100.0},
    "fair_value": {"edge_min_ticks": 100.0},
}
_REPLY: Final = "$JS.ACK.BOOKS.bench.1.1.1.1790000000000000000.0"


class HandlingWorker:
    """A worker with so many accounts of one strategy, all on paper and in memory."""

    def __init__(self, strategy: type[Strategy], accounts: int, *, at_gate: bool) -> None:
        names = [f"a{number:02d}-paper" for number in range(accounts)]
        metrics = self.metrics = WorkerMetrics(dict.fromkeys(names, strategy.Reason))
        clob = VenueClobMarkets("http://127.0.0.1:9", "http://127.0.0.1:9")  # never asked
        verifier, fence = UnaskingVerifier(clob, metrics), Fence()
        parts = WorkerParts("bench", fence, ClockDoubt(), verifier, metrics)
        books, configuration = PaperBooks(), _configuration(strategy, at_gate=at_gate)
        self._worker = Worker(
            BookPull.__new__(BookPull),  # nothing is pulled
            verifier=verifier,
            clock=WorkerClock(1_000, metrics),
            metrics=metrics,
            fence=fence,
        )
        for name in names:
            exchange = PaperExchange(0, lambda: configuration.gate, lambda _: 0, books)
            in_force = ConfigurationInForce(configuration)
            opened = OpenedAccount(name, strategy, GrantingStore(), exchange, in_force)
            self._worker.add(trading_account(opened, parts, lambda _: None))

    def handle(self, payloads: Sequence[bytes]) -> float:
        """Microseconds of processor time a book."""
        handle, began_ns = self._worker._handle, time.thread_time_ns()
        for payload in payloads:
            handle(Delivery(payload, _REPLY, Instant()))
        return (time.thread_time_ns() - began_ns) / len(payloads) / 1e3

    def held_for(self) -> dict[str, float]:
        """By reason, how many books an account has held."""
        counters = next(iter(self.metrics.accounts.values())).holds
        counts = {reason.value: each._value.get() for reason, each in counters.items()}
        return {reason: count for reason, count in counts.items() if count}


async def run(rounds: int) -> dict[str, Quartiles]:
    """Microseconds a book by strategy and accounts, and added by each further account."""
    books, figures = Books(), {}
    for name, strategy in BUILTIN.items():
        for at_gate in (False, True) if name == "book_imbalance_crypto" else (False,):
            where = "gate" if at_gate else name
            figures |= await _measured(where, strategy, books, rounds, at_gate=at_gate)
    return figures


async def _measured(
    where: str, strategy: type[Strategy], books: Books, rounds: int, *, at_gate: bool
) -> dict[str, Quartiles]:
    workers = [HandlingWorker(strategy, count, at_gate=at_gate) for count in ACCOUNTS]
    for _ in range(_WARM_UP_BOOKS // BOOKS_A_ROUND):
        for worker in workers:
            worker.handle(_some(books))
            await asyncio.sleep(0)  # a new market is warmed
    freeze_heap()
    taken: list[list[float]] = []
    for _ in range(rounds):
        payloads = _some(books)
        taken.append([worker.handle(payloads) for worker in workers])
    held = workers[0].held_for()
    print(f"  {where}: held for {_shares(held)}", flush=True)
    added = [(row[-1] - row[0]) / (ACCOUNTS[-1] - ACCOUNTS[0]) for row in taken]
    by_accounts = zip(ACCOUNTS, zip(*taken, strict=True), strict=True)
    return {
        **{f"{where}_us_a_book_at_{count}": quartiles(each) for count, each in by_accounts},
        f"{where}_us_added_a_strategy": quartiles(added),
    }


def _some(books: Books) -> list[bytes]:
    return [books.next()[1] for _ in range(BOOKS_A_ROUND)]


def _shares(counts: dict[str, float]) -> str:
    total = sum(counts.values())
    most = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{reason} {count / total:.0%}" for reason, count in most)


def _configuration(strategy: type[Strategy], *, at_gate: bool) -> Configuration:
    # Rounds are made ahead: none of their books may be too old by its turn.
    closed_s = 86_400.0 if at_gate else 0.0
    settings = AccountConfiguration(max_book_age_ms=10_000, min_time_to_close_s=closed_s)
    return Configuration(
        version=1,
        strategy=strategy.name,
        settings=settings,
        parameters=strategy.Parameters(**_NEVER_BUYS.get(strategy.name, {})),
        limits=settings.limits(config_version=1),
        gate=settings.gate_config(),
        order=settings.order_config(),
    )
