"""Workers and schedules, as production composes them, on simulated ports."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from functions import worker as worker_module
from functions.adapters.paper_exchange import PaperBooks
from functions.bootstrap import groups_of, open_account, opened_accounts, store_reached
from functions.core.account import Account
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.reconcile import reconcile
from functions.handlers.settle import settle
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import Exchange, VenueRecords
from functions.schedule import Schedule
from functions.schedule_metrics import ScheduleMetrics
from functions.settings import WorkerSettings
from functions.worker_accounts import WorkerAccounts
from functions.worker_clock import WorkerClock
from functions.worker_metrics import WorkerMetrics
from strategies.book_imbalance import BookImbalance
from tests.simulation.paper import PaperWitness, SimPaperExchange, SimPublicRecords
from tests.simulation.venue_ports import (
    SimClobMarkets,
    SimExchange,
    SimRecords,
    StrangersRecords,
)
from tests.simulation.world import World, connected, metrics_of, trader_of

PAPER_DELAY_MS: Final = 250


class SimExchanges:
    """As `functions.worker_accounts.WorkerExchanges`, of one process."""

    def __init__(self, world: World, name: str, verifier: MarketVerifier) -> None:
        self._live = SimExchange(world.venue, trader_of(world, name))
        self._witness: PaperWitness = world.paper
        self._verifier = verifier
        self._books = PaperBooks()

    async def of(self, settings: WorkerSettings, in_force: ConfigurationInForce) -> Exchange:
        """Of settings of one account."""
        if settings.live:
            return self._live
        return SimPaperExchange(
            self._witness,
            PAPER_DELAY_MS,
            lambda: in_force.now.gate,
            self._verifier.taker_delay_ms,
            self._books,
        )


async def work(world: World, name: str) -> None:
    """A worker, as `functions.worker.serve` composes it."""
    nc = await connected(world, name)
    settings = world.settings(name)
    metrics = _worker_metrics(world.served_by(name))
    verifier = MarketVerifier(SimClobMarkets(world.venue, world.markets), metrics)
    stores = {each: world.store(each) for each in world.served_by(name)}
    accounts, exchanges = WorkerAccounts(settings, name), SimExchanges(world, name, verifier)
    await worker_module.run_worker(
        settings,
        name,
        nc,
        await accounts.open(stores, exchanges),
        verifier=verifier,
        clock=WorkerClock(settings.max_book_age_ms, metrics),
        metrics=metrics,
        joining=partial(accounts.joining, stores, exchanges),
    )


async def run_schedule(world: World, name: str) -> None:
    """The scheduled functions, as `functions.schedule.serve` runs them."""
    settings, names = world.settings(name), world.served_by(name)
    stores = {each: world.store(each) for each in names}
    metrics = metrics_of(ScheduleMetrics, names)
    schedule, opened = Schedule(metrics), dict[str, Account]()

    async def open_one(one: WorkerSettings) -> Account:
        return await open_account(stores[one.account], one)

    each = settings.each()
    await store_reached(settings, lambda: opened_accounts(each, opened, open_one))
    groups = groups_of(settings, stores)

    def loops_of(one: WorkerSettings) -> tuple[Coroutine[Any, Any, None], ...]:
        account, store = one.account, stores[one.account]
        records, own = _records(world, name, live=one.live), metrics.accounts[account]

        async def reconcile_run() -> None:
            if account not in opened:
                opened[account] = await open_one(one)
            report = await reconcile(store, records, groups.get(account))
            own.after_reconciling(report, daily_loss_limit_e6=1)

        async def settle_run() -> None:
            own.after_settling(await settle(store, records, redeem=one.live))

        return (
            schedule.every(account, "reconcile", world.faults.reconcile_every_s, reconcile_run),
            schedule.every(account, "settle", 10, settle_run),
        )

    await asyncio.gather(*(loop for one in each for loop in loops_of(one)))


def _records(world: World, name: str, *, live: bool) -> VenueRecords:
    if not live:
        return SimPublicRecords(world.venue, world.markets)
    if world.faults.stranger and name == "schedule-2":
        return StrangersRecords(world.venue, world.markets)
    return SimRecords(world.venue, world.markets, trader_of(world, name))


def _worker_metrics(accounts: tuple[str, ...]) -> WorkerMetrics:
    """All strategies here hold for the same reasons."""
    return metrics_of(_metrics_of_workers, accounts)


def _metrics_of_workers(accounts: tuple[str, ...]) -> WorkerMetrics:
    return WorkerMetrics(dict.fromkeys(accounts, BookImbalance.Reason))
