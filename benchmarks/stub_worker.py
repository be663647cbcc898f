"""A worker for benchmarks: the production worker on a store that grants every claim in memory, and
optionally with books that cost it time. `python -m benchmarks.stub_worker`

`BENCH_BOOK_COST_MS` makes each book block the worker for so long (a sleep: the cost of a book is
modelled, not the competition for this machine's few cores), and the ages of the books it acted on
are written to stdout as one JSON line at the end.

`BENCH_ASK_NO_VENUE=1` takes every market for confirmed, and has accounts that are full: no signal
becomes an order. Whoever asks on the subject `FIGURES` is told how many books were handled and held
so far, and what that took of processor time, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import structlog
from nats.aio.msg import Msg

from functions.adapters.clob_markets import VenueClobMarkets
from functions.bootstrap import configured, strategy_of
from functions.core.account import (
    NO_PAUSE,
    TRADING_ENABLED,
    Account,
    ClaimRefusal,
    Limits,
    Pause,
    Redemption,
)
from functions.core.claim import Claim
from functions.core.collective import CollectiveLimits
from functions.core.configuration import ConfigurationRow
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.trading_account import OpenedAccount
from functions.handlers.verify_markets import Doubt, MarketVerifier
from functions.ports import AccountReads, Claimed, ClaimRefused, ClaimResult, GroupStore, StoreError
from functions.settings import WorkerSettings
from functions.worker import run_worker
from functions.worker_accounts import WorkerExchanges
from functions.worker_clock import WorkerClock
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision
from protocol.market import MarketInfo
from runtime.log import configure_logging
from runtime.nats import connect
from runtime.nats_client import NatsClient
from runtime.process import run_service
from runtime.settings import load_settings
from strategies.book_imbalance import BookImbalance
from strategies.builtin import BUILTIN
from strategies.interface import Hold, Signal
from strategies.parameters import StrategyParameters
from strategies.view import MarketView

FIGURES: Final = "bench.figures"
_log = structlog.get_logger()


class GrantingStore:
    """Grants every claim and keeps nothing: what the pipeline costs without a database."""

    account_name = "stub"

    def __init__(self) -> None:
        self._configuration: ConfigurationRow | None = None

    async def open_account(self) -> Account:
        return await self.account()

    async def account(self) -> Account:
        return Account(
            trading=TRADING_ENABLED,
            claims={},
            cooldowns={},
            pnl_e6={},
            spent_e6={},
            pause=NO_PAUSE,
            redeem={},
        )

    async def join_wallet(self, wallet: str) -> None:
        return None

    async def accounts_of_wallet(self, wallet: str) -> list[str]:
        return []

    def account_named(self, account_name: str) -> AccountReads:
        return self

    async def claim(
        self, claim: Claim, limits: Limits, now_ms: int, collective: CollectiveLimits | None = None
    ) -> ClaimResult:
        return Claimed()

    def group(self, name: str) -> GroupStore:
        """Of no account: none of them is in a group."""
        raise StoreError(f"there is no group {name}")

    async def move(self, claim: Claim, seen: Claim, *, redeem: bool = False) -> bool:
        return True

    async def reopen(self, claim: Claim, seen: Claim) -> bool:
        return False

    async def put_ledger(self, claim: Claim) -> None:
        return None

    async def forget(self, claim: Claim) -> None:
        return None

    async def ledger(self, since_ms: int, until_ms: int) -> list[Claim]:
        return []

    async def ledger_row(self, claim: Claim) -> Claim | None:
        return None

    async def halt(self, reason: str) -> None:
        return None

    async def resume(self, seen: Account) -> bool:
        return True

    async def set_pause(self, pause: Pause, seen: Pause) -> bool:
        return True

    async def prune(self, account: Account, now_ms: int) -> None:
        return None

    async def set_redemptions(
        self, changes: Mapping[str, Redemption | None], seen: Mapping[str, Redemption]
    ) -> bool:
        return True

    async def configuration(self) -> ConfigurationRow | None:
        return self._configuration

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        return []

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        self._configuration = row
        return True

    async def decisions(self, day: str, limit: int) -> list[Decision]:
        return []

    async def put_decisions(self, decisions: Sequence[Decision]) -> None:
        return None

    async def upkeep(self) -> None:
        await asyncio.Event().wait()

    def problem(self) -> str | None:
        return None

    async def close(self) -> None:
        return None


class FullStore(GrantingStore):
    """Refuses every claim, as that of an account with as many positions as it may have."""

    async def claim(
        self, claim: Claim, limits: Limits, now_ms: int, collective: CollectiveLimits | None = None
    ) -> ClaimResult:
        return ClaimRefused(reason=ClaimRefusal.MAX_POSITIONS, account=await self.account())


class UnaskingVerifier(MarketVerifier):
    """Takes every listing for the truth: where no venue is to be asked."""

    def doubt(self, market: MarketInfo) -> Doubt | None:
        return None

    async def verify(self, market: MarketInfo) -> None:
        pass


class CostlyStrategy(BookImbalance):
    """Blocks for `cost_s` on each book and remembers how old the book was by then."""

    cost_s: ClassVar[float] = 0.0
    ages_ms: ClassVar[list[float]] = []

    @staticmethod
    def decide(view: MarketView, parameters: StrategyParameters, now_ms: int) -> Signal | Hold:
        time.sleep(CostlyStrategy.cost_s)
        received_at_ms = view.memory.rows[-1].at_ms
        CostlyStrategy.ages_ms.append(time.time_ns() / 1e6 - received_at_ms)
        return Hold(BookImbalance.Reason.NO_IMBALANCE)


async def _tell_figures(nc: NatsClient, metrics: WorkerMetrics) -> None:
    def total(name: str) -> float:
        return sum(
            sample.value
            for family in metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"worker_{name}_total"
        )

    async def tell(asked: Msg) -> None:
        figures = {
            "books": total("books"),
            "conflated": total("books_conflated"),
            "holds": total("holds"),
            "cpu_s": time.process_time(),
        }
        await asked.respond(json.dumps(figures).encode())

    await nc.subscribe(FIGURES, cb=tell)


async def _serve(settings: WorkerSettings) -> None:
    each = settings.each()
    strategies = {one.account: strategy_of(one) for one in each}
    metrics = WorkerMetrics({name: strategy.Reason for name, strategy in strategies.items()})
    nc: NatsClient = await connect(settings.nats_url, "stub-worker", settings.nats_login())
    clob_markets = VenueClobMarkets(settings.clob_url, settings.gamma_url)
    try:
        asks_no_venue = os.environ.get("BENCH_ASK_NO_VENUE") == "1"
        verifier = (UnaskingVerifier if asks_no_venue else MarketVerifier)(clob_markets, metrics)
        clock = WorkerClock(settings.max_book_age_ms, metrics)
        exchanges, opened = WorkerExchanges(verifier), []
        for one in each:
            store = FullStore() if asks_no_venue else GrantingStore()
            in_force = ConfigurationInForce(await configured(store, one, "stub"))
            opened.append(
                OpenedAccount(
                    name=one.account,
                    strategy=strategies[one.account],
                    store=store,
                    exchange=await exchanges.of(one, in_force),
                    in_force=in_force,
                    wallet=(one.wallet or "") if one.live else "",
                )
            )
        await _tell_figures(nc, metrics)
        _log.info("worker_started")
        await run_worker(
            settings,
            "stub",
            nc,
            opened,
            verifier=verifier,
            clock=clock,
            metrics=metrics,
        )
    finally:
        await clob_markets.close()
        await nc.close()


def main() -> int:
    settings = load_settings(WorkerSettings)
    configure_logging(service="stub-worker")
    CostlyStrategy.cost_s = float(os.environ.get("BENCH_BOOK_COST_MS", "0")) / 1e3
    if CostlyStrategy.cost_s:
        BUILTIN.update({entry.strategy: CostlyStrategy for entry in settings.entries})
    code = run_service(_serve(settings))
    if ages_ms := CostlyStrategy.ages_ms:
        print(json.dumps({"ages_ms": [round(age, 3) for age in ages_ms]}), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
