"""The whole system in one simulation: production code in simulated processes, on simulated ports.

    feeder     `feeder.publisher.Publisher` on its session table, fed with books that often signal
    worker-N   `functions.worker.run_worker`: pull, decide, claim, POST, resolve, on_fill
    schedule-N `reconcile` and `settle` under `functions.schedule.Schedule`; two of them
    user       publishes what the venue's user channel says (a stand-in for `feeder.user_channel`,
               which is tested on real sockets)
    person     halts and resumes

First a phase in which everything fails at random: ports, processes (killed, suspended, restarted),
nats-server. Then all faults end, entries stop, and everything must come to rest: `checks` compares
what the venue knows with what the state says, and looks at every state the table was ever in.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final, TypeVar

from nats.errors import NoServersError

from feeder.core.frames import BookEvent, decode_frame
from feeder.core.sessions import SessionTable
from feeder.metrics import FeederMetrics
from feeder.publisher import Publisher
from functions import worker as worker_module
from functions.adapters.dynamodb import DynamoStore
from functions.handlers.reconcile import reconcile
from functions.handlers.settle import settle
from functions.metrics import WorkerMetrics
from functions.schedule import Schedule, ScheduleMetrics
from functions.settings import WorkerSettings
from protocol.fill import Fill, encode_fill, message_id
from protocol.market import DOWN, UP, FeeSchedule, MarketInfo, Outcome
from protocol.series import Series, parse_series
from protocol.subjects import BOOKS, FILLS, fill_subject
from runtime.nats import ensure_stream
from tests.feeder.wire import book, frame
from tests.simulation.dynamodb import SimDynamo
from tests.simulation.faults import Faults, draw_faults
from tests.simulation.jetstream import SimNats
from tests.simulation.loop import EPOCH_MS, Process, Simulation, simulated
from tests.simulation.venue import SimVenue
from tests.simulation.venue_ports import SimExchange, SimRecords

T = TypeVar("T")

MIDNIGHT_MS: Final = 1_790_035_200_000  # 2026-09-22T00:00:00Z
TABLE: Final = "state"
ACCOUNT: Final = "book_imbalance_crypto"
FAULTS_S: Final = 90.0
"""How long things fail: several windows of each market."""
BOOK_EVERY_S: Final = 2.5
REST_S: Final = 160.0
"""How long it may take until all has come to rest: an order is given up after a minute of looks, a
window ends within a minute, a resolution takes half a minute, and an order may land two minutes
late."""
COOLDOWN_S: Final = 20
MAX_POSITIONS: Final = 3
FEE: Final = FeeSchedule(rate=Decimal("0.07"), exponent=1)
SETTINGS: Final = {
    "execution": "live",
    "private_key": "0x" + "11" * 32,
    "wallet": "0x" + "22" * 20,
    "max_positions": MAX_POSITIONS,
    "cooldown_s": COOLDOWN_S,
    "min_time_to_close_s": 5,
}


@dataclass
class World:
    """One seed's system, and what the checks need to know about it."""

    sim: Simulation
    faults: Faults
    nats: SimNats
    dynamodb: SimDynamo
    venue: SimVenue
    markets: dict[str, MarketInfo] = field(default_factory=dict)
    unclaimed_posts: list[str] = field(default_factory=list)
    """Orders that reached the venue while no durable record knew them."""
    halted: list[tuple[int, int]] = field(default_factory=list)
    """(halt had returned, resume was begun) in epoch ns."""
    running: dict[str, Process] = field(default_factory=dict)
    entries_stopped: bool = False
    kills: int = 0

    def settings(self) -> WorkerSettings:
        """What the workers are told."""
        return _settings(self.faults.loss_limit_usd, self.faults.spend_cap_usd)

    def store(self) -> DynamoStore:
        """A store of the process that uses it."""
        return DynamoStore(self.dynamodb.client(), TABLE, ACCOUNT)


@lru_cache(maxsize=8)
def _settings(loss_limit_usd: Decimal, spend_cap_usd: Decimal) -> WorkerSettings:
    """One for all processes of a world: reading the environment takes milliseconds."""
    return WorkerSettings(
        **SETTINGS, daily_loss_limit_usd=loss_limit_usd, daily_spend_cap_usd=spend_cap_usd
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
    )
    venue.mute = faults.mute
    venue.on_arrival = lambda order_id: _note_unclaimed(world, order_id)
    return world


def _note_unclaimed(world: World, order_id: str) -> None:
    """Invariant 1, from the venue's side."""
    for item in world.dynamodb.partition(f"STRATEGY#{ACCOUNT}"):
        claims = item.get("claims", {}).get("M", {}).values()
        known = [claim["M"]["order_id"]["S"] for claim in claims]
        if order_id in known or item.get("order_id", {}).get("S") == order_id:
            return
    world.unclaimed_posts.append(order_id)


# -- markets and books ---------------------------------------------------------------------------


def window(series: Series, start_s: int) -> MarketInfo:
    """The market of one window."""
    name = f"{series.name}-{start_s}"
    return MarketInfo(
        condition_id=f"0x{name}",
        slug=name,
        series=series.name,
        outcomes=(
            Outcome(name=UP, token_id=f"{name}-up"),
            Outcome(name=DOWN, token_id=f"{name}-down"),
        ),
        start_ms=start_s * 1000,
        end_ms=(start_s + series.window_s) * 1000,
        tick_size_e4=100,
        min_order_size_e6=5_000_000,
        fee=FEE,
        neg_risk=False,
        accepting=True,
    )


async def feed(world: World) -> None:
    """The feeder: real session table and publisher, books from the seed."""
    nc = await _connected(world, "feeder")
    await _until_declared(nc, BOOKS)
    series = tuple(map(parse_series, world.faults.series))
    table = SessionTable(series, epoch=world.sim.now_ms)
    publisher = Publisher(nc, table, _metrics(FeederMetrics, series))
    sending = asyncio.create_task(publisher.run())
    rng = world.sim.random(f"books-{world.sim.now_ms}")
    while not world.entries_stopped:
        now_ms = world.sim.now_ms
        for each in series:
            info = window(each, each.window_start_s(now_ms / 1000))
            world.markets[info.condition_id] = info
            table.follow(info, now_ms)
            _change_books(table, info, rng, world.sim.time_ns(), publisher)
        table.drop_ended(now_ms)
        await asyncio.sleep(BOOK_EVERY_S * rng.uniform(0.5, 1.5))
    sending.cancel()


def _change_books(
    table: SessionTable, info: MarketInfo, rng: random.Random, now_ns: int, publisher: Publisher
) -> None:
    bid = rng.randint(32, 66)
    heavy, light = rng.choice([("400", "50"), ("50", "400"), ("100", "100")])
    session = None
    for token, bid_cents, sizes in (
        (info.token_of(UP), bid, (heavy, light)),
        (info.token_of(DOWN), 99 - bid, (light, heavy)),
    ):
        bids = [(f"0.{bid_cents:02d}", sizes[0])]
        asks = [(f"0.{bid_cents + 1:02d}", sizes[1])]
        payload = frame(
            book(token, bids, asks, market=info.condition_id, timestamp=now_ns // 1_000_000)
        )
        [event] = decode_frame(payload)
        assert isinstance(event, BookEvent)
        session = table.apply(event, now_ns).session or session
    if session is not None and session.ready:
        publisher.offer(session)


# -- processes -----------------------------------------------------------------------------------


async def work(world: World, name: str) -> None:
    """A worker, as `functions.worker.serve` composes it."""
    nc = await _connected(world, name)
    store = world.store()
    await _patiently(store.open_account)
    await worker_module.run_worker(
        world.settings(),
        name,
        nc,
        store,
        SimExchange(world.venue),
        _metrics(WorkerMetrics),
    )


async def run_schedule(world: World, _: str) -> None:
    """The scheduled functions, as `functions.schedule.serve` runs them."""
    store, records = world.store(), SimRecords(world.venue, world.markets)
    await _patiently(store.open_account)
    metrics = _metrics(ScheduleMetrics)
    schedule = Schedule(metrics)

    async def reconcile_run() -> None:
        metrics.after_reconciling(await reconcile(store, records))

    async def settle_run() -> None:
        metrics.after_settling(await settle(store, records, redeem=True))

    await asyncio.gather(
        schedule.every("reconcile", world.faults.reconcile_every_s, reconcile_run),
        schedule.every("settle", 10, settle_run),
    )


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
    "feeder": lambda world, _: feed(world),
    "worker-1": work,
    "worker-2": work,
    "worker-3": work,
    "schedule-1": run_schedule,
    "schedule-2": run_schedule,
    "user": user_channel,
}
TOLD_TO_STOP: Final = ("feeder", "worker-2", "worker-3", "schedule-2")
"""When the faults end: what remains must be enough."""


def start(world: World, name: str) -> Process:
    """Start a process of this name, in the place of a dead one."""
    process = world.sim.process(name)
    world.running[name] = process
    process.start(ROLES[name](world, name))
    return process


# -- the run -------------------------------------------------------------------------------------


async def havoc(world: World) -> None:
    """Kills, suspends and restarts processes and the nats-server."""
    rng = world.sim.random("havoc")
    while True:
        await asyncio.sleep(rng.expovariate(1 / world.faults.kill_every_s))
        name = rng.choice([*ROLES, "worker-1", "worker-2", "worker-3", "nats"])
        world.kills += 1
        if name == "nats":
            if world.nats.up:
                world.nats.restart(rng.uniform(0.1, 4))
            continue
        if name in world.faults.spared:
            continue
        process = world.running[name]
        if rng.random() < world.faults.pauses:
            process.pause()
            await asyncio.sleep(rng.choice([0.3, 3.0, rng.uniform(0, 90)]))
            process.resume()
        elif rng.random() < 0.1:
            process.terminate()
        else:
            # Not now but a few steps on: a crash at any await.
            process.kill_at_step(process.steps + rng.randint(1, 400))


async def keep_running(world: World, name: str) -> None:
    """Restarts a process whenever it has died."""
    rng = world.sim.random(f"restart-{name}")
    while True:
        await world.running[name].ended.wait()
        await asyncio.sleep(rng.uniform(0.1, 5))
        start(world, name)


def start_all(world: World, names: Iterable[str]) -> dict[str, asyncio.Task[None]]:
    """Start processes; each is restarted when it dies, until its keeper is cancelled."""
    for name in names:
        start(world, name)
    return {name: asyncio.create_task(keep_running(world, name)) for name in names}


async def scenario(world: World) -> None:
    """Failures, then none, then rest."""
    keepers = start_all(world, ROLES)
    trouble = asyncio.create_task(havoc(world))
    if world.faults.halts:
        human = world.sim.process("person")
        human.start(person(world))
    await asyncio.sleep(FAULTS_S)
    trouble.cancel()
    world.faults.off()
    world.entries_stopped = True
    for name, process in list(world.running.items()):
        process.resume()
        if name in TOLD_TO_STOP:
            keepers[name].cancel()
            process.terminate()
    await asyncio.sleep(REST_S)


@contextmanager
def run(seed: int, faults: Faults | None = None) -> Iterator[World]:
    """One seed from beginning to end; yields the world as it came to rest."""
    # Every third seed goes over midnight: a day's sums begin anew.
    epoch_ms = MIDNIGHT_MS - 60_000 if seed % 3 == 0 else EPOCH_MS
    with simulated(seed, epoch_ms=epoch_ms) as sim:
        world = new_world(sim, faults or draw_faults(sim.random("faults")))
        sim.run(scenario(world))
        yield world
