"""The whole system in one simulation: production code in simulated processes, on simulated ports.

    feeder     `feeder.books.publisher.Publisher` on its session table; its books often signal
    feeder-2   the same, in half of the seeds: they take the lease from each other, and the one that
               lost it publishes on for a while
    worker-N   `functions.worker.run_worker`: pull, decide, claim, POST, resolve, on_fill
    schedule-N `reconcile` and `settle` under `functions.schedule.Schedule`; two of them
    worker-b   the same of another account that trades with the same wallet, in some of the seeds;
    schedule-b likewise
    user       publishes what the venue's user channel says (stands in for
               `feeder.fills.user_channel`, which is tested on real sockets)
    person     halts and resumes
    tuner      changes the configuration (`tests.simulation.tuning`)

What happens to them: `tests.simulation.scenario`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache, partial
from itertools import chain
from typing import Any, Final, TypeVar

from nats.errors import NoServersError

from feeder.books.metrics import FeederMetrics
from feeder.books.publisher import Publisher
from feeder.core.market.session_table import SessionTable
from functions import worker as worker_module
from functions.adapters.dynamodb.store import DynamoStore
from functions.bootstrap import open_account
from functions.core.claim import Trader
from functions.core.configuration import Configuration
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.reconcile import reconcile
from functions.handlers.seed_configuration import seed_configuration
from functions.handlers.settle import settle
from functions.handlers.trading_account import OpenedAccount
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import StoreError
from functions.schedule import Schedule
from functions.schedule_metrics import ScheduleMetrics
from functions.settings import WorkerSettings
from functions.worker_clock import WorkerClock
from functions.worker_metrics import WorkerMetrics
from protocol.fill import Fill, encode_fill, message_id
from protocol.market import MarketInfo
from protocol.series import parse_series
from protocol.subjects import BOOKS, FILLS, fill_subject
from runtime.nats import ensure_stream
from strategies.builtin import BUILTIN
from tests.simulation.books import (
    Lease,
    Witness,
    change_books,
    follow,
    misnamed_between,
    window,
    with_swapped_outcomes,
)
from tests.simulation.dynamodb import DECISIONS, STATE, SimDynamo
from tests.simulation.faults import Faults
from tests.simulation.jetstream import SimNats
from tests.simulation.loop import Process, Simulation
from tests.simulation.venue import SimVenue
from tests.simulation.venue_ports import (
    SECOND,
    TRADER,
    SimClobMarkets,
    SimExchange,
    SimRecords,
    StrangersRecords,
)

T = TypeVar("T")

ACCOUNT: Final = "book_imbalance_crypto"
SIBLING: Final = "sibling"
"""The other account of the wallet."""
OF_SIBLING: Final = ("worker-b", "schedule-b")
BOOK_EVERY_S: Final = 2.5
AHEAD: Final = "schedule-2"
"""Whose clock it is that may be ahead; the other one is right when all must come to rest."""
COOLDOWN_S: Final = 20
MAX_POSITIONS: Final = 3
SETTINGS: Final = {
    "execution": "live",
    "private_key": "0x" + "11" * 32,
    "max_positions": MAX_POSITIONS,
    "cooldown_s": COOLDOWN_S,
    "min_time_to_close_s": 5,
}


class OfSibling(WorkerSettings):
    """A worker's of the other account."""

    @property
    def account(self) -> str:
        return SIBLING


@dataclass
class World:
    """One seed's system, and what the checks need to know about it."""

    sim: Simulation
    faults: Faults
    nats: SimNats
    dynamodb: SimDynamo
    venue: SimVenue
    witness: Witness
    lease: Lease = field(default_factory=Lease)
    markets: dict[str, MarketInfo] = field(default_factory=dict)
    unclaimed_posts: list[str] = field(default_factory=list)
    """Orders that reached the venue while no durable record knew them."""
    halted: list[tuple[int, int]] = field(default_factory=list)
    """(halt had returned, resume was begun) in epoch ns."""
    tuned: list[tuple[int, int]] = field(default_factory=list)
    """(a change of the configuration had returned in epoch ns, its version)."""
    running: dict[str, Process] = field(default_factory=dict)
    entries_stopped: bool = False
    kills: int = 0

    @property
    def accounts(self) -> tuple[str, ...]:
        """Their names."""
        return (ACCOUNT, SIBLING) if self.faults.sibling else (ACCOUNT,)

    def settings(self, name: str = "worker-1") -> WorkerSettings:
        """What the process of this name is told."""
        faults, wallet = self.faults, _trader(self, name).wallet
        kind = OfSibling if name in OF_SIBLING else WorkerSettings
        return _settings(
            kind, wallet, faults.loss_limit_usd, faults.spend_cap_usd, faults.max_entries
        )

    def store(self, account_name: str = ACCOUNT) -> DynamoStore:
        """A store of the process that uses it."""
        return DynamoStore(
            self.dynamodb.client(), table=STATE, decision_table=DECISIONS, account_name=account_name
        )


@lru_cache(maxsize=8)
def _settings(
    kind: type[WorkerSettings],
    wallet: str,
    loss_limit_usd: Decimal,
    spend_cap_usd: Decimal,
    max_entries: int | None,
) -> WorkerSettings:
    """One for all alike of a world: reading the environment takes milliseconds."""
    return kind(
        **SETTINGS,
        wallet=wallet,
        daily_loss_limit_usd=loss_limit_usd,
        daily_spend_cap_usd=spend_cap_usd,
        max_entries_per_market=max_entries,
    )


def new_world(sim: Simulation, faults: Faults) -> World:
    """Ports without processes."""
    venue = SimVenue(sim, faults.venue)
    world = World(
        sim=sim,
        faults=faults,
        nats=SimNats(sim, faults.nats),
        dynamodb=SimDynamo(sim, faults=faults.dynamodb),
        venue=venue,
        witness=Witness(sim),
    )
    sim.log_disk.full = faults.log_unwritable
    venue.superseded = world.witness.superseded
    venue.misnamed = lambda info: info.outcomes != world.markets[info.condition_id].outcomes
    venue.mute = faults.mute
    venue.on_arrival = lambda order_id: _note_unclaimed(world, order_id)
    return world


def clock_ns(world: World) -> int:
    """The time by the clock of the process that asks."""
    ahead_ms = world.faults.ahead_ms if world.sim.current.name == AHEAD else 0
    return world.sim.time_ns() + ahead_ms * 1_000_000


def _note_unclaimed(world: World, order_id: str) -> None:
    """Invariant 1, from the venue's side."""
    partitions = (world.dynamodb.partition(f"STRATEGY#{name}") for name in world.accounts)
    for item in chain.from_iterable(partitions):
        claims = item.get("claims", {}).get("M", {}).values()
        known = [claim["M"]["order_id"]["S"] for claim in claims]
        if order_id in known or item.get("order_id", {}).get("S") == order_id:
            return
    world.unclaimed_posts.append(order_id)


def _as_listed(world: World, info: MarketInfo) -> MarketInfo:
    """What the listing says of a market now."""
    rng = world.sim.random(f"listing-{info.condition_id}")
    if not world.faults.misnamed or rng.random() >= world.faults.misnamed:
        return info
    begin_ms, end_ms = misnamed_between(info, rng)
    if not begin_ms <= world.sim.now_ms < end_ms:
        return info
    injected = world.venue.injected
    injected["misnamed"] = injected.get("misnamed", 0) + 1
    return with_swapped_outcomes(info)


# -- feeders -------------------------------------------------------------------------------------


async def feed(world: World, name: str) -> None:
    """A feeder: real session table and publisher, books from the seed."""
    nc = await _connected(world, name)
    await _until_declared(nc, BOOKS)
    series = tuple(map(parse_series, world.faults.series))
    table = SessionTable(series)
    lease, rng = world.lease, world.sim.random(f"books-{name}-{world.sim.now_ms}")
    mine = lease.take(world.sim.now_ms)
    slow_to_learn_ms = rng.choice([0, 2_000, 8_000])

    def epoch_of(_: str) -> int | None:
        unaware = world.sim.now_ms < lease.taken_at_ms + slow_to_learn_ms
        return mine if mine == lease.epoch or unaware else None

    publisher = Publisher(nc, table, _metrics(FeederMetrics, series), epoch_of)
    sending = asyncio.create_task(publisher.run())
    while not world.entries_stopped:
        now_ms = world.sim.now_ms
        if epoch_of("") is None and rng.random() < 0.3:
            mine = lease.take(now_ms)
        for each in series:
            info = window(each, each.window_start_s(now_ms / 1000))
            world.markets[info.condition_id] = info
            follow(table, _as_listed(world, info), now_ms)
            session = change_books(table, info, rng, world.sim.time_ns())
            if session is not None:
                publisher.offer(session)
        table.drop_ended(now_ms)
        await asyncio.sleep(BOOK_EVERY_S * rng.uniform(0.5, 1.5))
    sending.cancel()


# -- processes -----------------------------------------------------------------------------------


async def work(world: World, name: str) -> None:
    """A worker, as `functions.worker.serve` composes it."""
    nc = await _connected(world, name)
    settings = world.settings(name)
    store = await _opened(world, settings)
    exchange = SimExchange(world.venue, _trader(world, name))
    in_force = ConfigurationInForce(await _configured(store, settings, name))
    strategy = BUILTIN[ACCOUNT]
    metrics = _metrics(WorkerMetrics, tuple(strategy.Reason))
    await worker_module.run_worker(
        settings,
        name,
        nc,
        OpenedAccount(settings.account, strategy, store, exchange, in_force),
        verifier=MarketVerifier(SimClobMarkets(world.venue, world.markets), metrics),
        clock=WorkerClock(settings.max_book_age_ms, metrics),
        metrics=metrics,
    )


async def _configured(store: DynamoStore, settings: WorkerSettings, name: str) -> Configuration:
    """As `functions.bootstrap.configured`, in an environment that names no setting."""
    while True:
        try:
            return await seed_configuration(
                store,
                account_name=settings.account,
                strategy=ACCOUNT,
                parameters=BUILTIN[ACCOUNT].Parameters,
                seed=settings.account_configuration(),
                variables={},
                who=name,
            )
        except StoreError:
            await asyncio.sleep(0.5)


async def run_schedule(world: World, name: str) -> None:
    """The scheduled functions, as `functions.schedule.serve` runs them."""
    strange = world.faults.stranger and name == "schedule-2"
    records = (
        StrangersRecords(world.venue, world.markets)
        if strange
        else SimRecords(world.venue, world.markets, _trader(world, name))
    )
    store = await _opened(world, world.settings(name))
    metrics = _metrics(ScheduleMetrics)
    schedule = Schedule(metrics)

    async def reconcile_run() -> None:
        metrics.after_reconciling(await reconcile(store, records), daily_loss_limit_e6=1)

    async def settle_run() -> None:
        metrics.after_settling(await settle(store, records, redeem=True))

    await asyncio.gather(
        schedule.every("reconcile", world.faults.reconcile_every_s, reconcile_run),
        schedule.every("settle", 10, settle_run),
    )


async def _opened(world: World, settings: WorkerSettings) -> DynamoStore:
    store = world.store(settings.account)
    await _patiently(partial(open_account, store, settings))
    return store


def _trader(world: World, name: str) -> Trader:
    return SECOND if world.faults.wallets and name in ("worker-3", "schedule-2") else TRADER


async def user_channel(world: World, name: str) -> None:
    """Publishes the venue's events, patiently; what comes while it is dead is lost."""
    nc = await _connected(world, name)
    js = nc.jetstream(timeout=2)
    await _until_declared(nc, FILLS)
    events: asyncio.Queue[Fill] = asyncio.Queue(1_000)
    me = world.sim.current
    world.venue.on_event = lambda fill: me.dead or me.call_soon(events.put_nowait, fill)
    while True:
        fill = await events.get()

        async def publish(fill: Fill = fill) -> None:
            await js.publish(
                fill_subject(fill.condition_id),
                encode_fill(fill),
                headers={"Nats-Msg-Id": message_id(fill)},
            )

        await _patiently(publish)


async def person(world: World) -> None:
    """Halts and resumes now and then."""
    rng = world.sim.random("person")
    store = world.store()
    while True:
        # Sometimes at once again: a resume that is late on its way must not lift the next halt.
        await asyncio.sleep(rng.choice([rng.uniform(0.1, 3), rng.uniform(20, 60)]))
        await _patiently(lambda: store.halt("a test"))
        since_ns = world.sim.time_ns()
        world.halted.append((since_ns, 1 << 62))
        await asyncio.sleep(rng.uniform(5, 30))
        world.halted[-1] = since_ns, world.sim.time_ns()

        async def resume() -> None:
            await store.resume(await store.account())

        await _patiently(resume)


@cache
def _metrics(kind: Callable[..., T], *arguments: Any) -> T:
    """One of a kind for all processes: they only count, and making them takes milliseconds."""
    return kind(*arguments)


async def _patiently(call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    while True:
        try:
            await call()
        except Exception:  # noqa: BLE001 - whatever fails here is tried again: it is not under test
            await asyncio.sleep(0.5)
        else:
            return


async def _connected(world: World, name: str) -> Any:
    while True:
        try:
            return await world.nats.connect(name)
        except NoServersError:
            await asyncio.sleep(0.5)


async def _until_declared(nc: Any, stream: Any) -> None:
    async def declare() -> None:
        await ensure_stream(nc.jetstream(timeout=2), stream)

    await _patiently(declare)


ROLES: Final[dict[str, Callable[[World, str], Coroutine[Any, Any, None]]]] = {
    "feeder": feed,
    "feeder-2": feed,
    "worker-1": work,
    "worker-2": work,
    "worker-3": work,
    "worker-b": work,
    "schedule-b": run_schedule,
    "schedule-1": run_schedule,
    "schedule-2": run_schedule,
    "user": user_channel,
}


def start(world: World, name: str) -> Process:
    """Start a process of this name, in the place of a dead one."""
    process = world.sim.process(name)
    world.running[name] = process
    process.start(ROLES[name](world, name))
    return process
