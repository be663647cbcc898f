"""What a further strategy costs a worker a book: `Worker._handle` itself, without a network.

Processor time of decode, fence, memory and every account's decision, of books that nobody trades
on: held by the strategy, however far it has looked; held at the gate; or with a signal on each,
which a cooldown refuses. All accounts have the same parameters, so that the strategy is asked once,
or (`own_`) each has its own. The same books go to a worker with 1, 10 and 30 accounts in turn.
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
from protocol.bounds import COUNT_MAX
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
    # Books come quicker here than they do: what is measured by must be there all the same.
    "fair_value": {"edge_min_ticks": 100.0, "step_s": 0.1, "samples_min": 3, "seen_min_s": 1.0},
}
_ALWAYS_BUYS: Final = {
    "imbalance_min": 0.0, "mid_min_e4": 0, "mid_max_e4": 10_000, "spread_max_e4": 10_000
}  # fmt: skip
_REPLY: Final = "$JS.ACK.BOOKS.bench.1.1.1.1790000000000000000.0"


class HandlingWorker:
    """A worker with an account for each configuration, all of one strategy, on paper and in
    memory."""

    def __init__(self, configurations: Sequence[Configuration], books: Books) -> None:
        strategy = BUILTIN[configurations[0].strategy]
        names = [f"a{number:02d}-paper" for number in range(len(configurations))]
        metrics = self.metrics = WorkerMetrics(dict.fromkeys(names, strategy.Reason))
        clob = VenueClobMarkets("http://127.0.0.1:9", "http://127.0.0.1:9")  # never asked
        verifier, fence = UnaskingVerifier(clob, metrics), Fence()
        parts = WorkerParts("bench", fence, ClockDoubt(), verifier, metrics)
        paper_books = PaperBooks()
        self._worker = Worker(
            BookPull.__new__(BookPull),  # nothing is pulled
            verifier=verifier,
            clock=WorkerClock(1_000, metrics),
            metrics=metrics,
            fence=fence,
        )
        gate = configurations[0].gate
        for name, configuration in zip(names, configurations, strict=True):
            exchange = PaperExchange(0, lambda: gate, lambda _: 0, paper_books)
            in_force = ConfigurationInForce(configuration)
            opened = OpenedAccount(name, strategy, GrantingStore(), exchange, in_force)
            account = trading_account(opened, parts, lambda _: None)
            for condition_id in books.condition_ids:
                account.evaluator._refusals.learn_claimed(condition_id, COUNT_MAX, 0)
            self._worker.add(account)

    def handle(self, payloads: Sequence[bytes]) -> float:
        """Microseconds of processor time a book."""
        handle, began_ns = self._worker._handle, time.thread_time_ns()
        for payload in payloads:
            handle(Delivery(payload, _REPLY, Instant()))
        return (time.thread_time_ns() - began_ns) / len(payloads) / 1e3

    def shares(self) -> str:
        """What became of an account's books."""
        metrics = next(iter(self.metrics.accounts.values()))
        counts = {
            reason.value: counter._value.get()
            for reason, counter in (*metrics.holds.items(), *metrics.refused_from_cache.items())
        }
        total, most = sum(counts.values()), sorted(counts.items(), key=lambda each: -each[1])
        return ", ".join(f"{reason} {count / total:.0%}" for reason, count in most if count)


async def run(rounds: int) -> tuple[dict[str, Quartiles], dict[str, str]]:
    """Microseconds a book by strategy and accounts and added by each further account; and what
    became of the books."""
    imbalance, books = BUILTIN["book_imbalance_crypto"], Books()
    same = {
        "gate": _configuration(imbalance, min_time_to_close_s=86_400.0),
        **{name: _configuration(each, **_NEVER_BUYS[name]) for name, each in BUILTIN.items()},
        "signal": _configuration(imbalance, **_ALWAYS_BUYS),
    }
    cases = {name: [each] * ACCOUNTS[-1] for name, each in same.items()} | {
        "own_book_imbalance_crypto": _each_its_own(_NEVER_BUYS["book_imbalance_crypto"]),
        "own_signal": _each_its_own(_ALWAYS_BUYS),
    }
    figures: dict[str, Quartiles] = {}
    became: dict[str, str] = {}
    for name, configurations in cases.items():
        workers = [HandlingWorker(configurations[:count], books) for count in ACCOUNTS]
        for _ in range(_WARM_UP_BOOKS // BOOKS_A_ROUND):
            for worker in workers:
                worker.handle(_some(books))
                await asyncio.sleep(0)  # a new market is warmed
        freeze_heap()
        taken: list[list[float]] = []
        for _ in range(rounds):
            payloads = _some(books)
            taken.append([worker.handle(payloads) for worker in workers])
        added = [(row[-1] - row[0]) / (ACCOUNTS[-1] - ACCOUNTS[0]) for row in taken]
        for count, each in zip(ACCOUNTS, zip(*taken, strict=True), strict=True):
            figures[f"{name}_us_a_book_at_{count}"] = quartiles(each)
        figures[f"{name}_us_added_a_strategy"] = quartiles(added)
        became[name] = workers[0].shares()
    return figures, became


def _some(books: Books) -> list[bytes]:
    return [books.next()[1] for _ in range(BOOKS_A_ROUND)]


def _each_its_own(parameters: dict[str, float]) -> list[Configuration]:
    """The same of `book_imbalance_crypto`, but for a spread that no book has."""
    strategy = BUILTIN["book_imbalance_crypto"]
    own = ({**parameters, "spread_max_e4": 9_000 + number} for number in range(ACCOUNTS[-1]))
    return [_configuration(strategy, **each) for each in own]


def _configuration(
    strategy: type[Strategy], *, min_time_to_close_s: float = 0.0, **parameters: float
) -> Configuration:
    # Rounds are made ahead: none of their books may be too old by its turn.
    settings = AccountConfiguration(max_book_age_ms=10_000, min_time_to_close_s=min_time_to_close_s)
    return Configuration(
        version=1,
        strategy=strategy.name,
        settings=settings,
        parameters=strategy.Parameters(**parameters),
        limits=settings.limits(config_version=1),
        gate=settings.gate_config(),
        order=settings.order_config(),
    )
