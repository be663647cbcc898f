"""Who takes part in a simulation, by the names of their processes, and how each is started.

feeder     `feeder.books.publisher.Publisher` on its session table; its books often signal
feeder-2   the same, in half of the seeds: they take the lease from each other, and the one that
           lost it publishes on for a while
worker-N, schedule-N, worker-b, schedule-b: `tests.simulation.workers`
user       publishes what the venue's user channel says (stands in for
           `feeder.fills.user_channel`, which is tested on real sockets)
person     halts and resumes one account after the other
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from feeder.books.metrics import FeederMetrics
from feeder.books.publisher import Publisher
from feeder.core.market.session_table import SessionTable
from functions.adapters.dynamodb.store import DynamoStore
from protocol.fill import Fill, encode_fill, message_id
from protocol.market import MarketInfo
from protocol.series import parse_series
from protocol.subjects import BOOKS, FILLS, fill_subject
from tests.simulation.books import (
    change_books,
    follow,
    misnamed_between,
    window,
    with_swapped_outcomes,
)
from tests.simulation.loop import Process
from tests.simulation.workers import run_schedule, work
from tests.simulation.world import World, connected, metrics_of, patiently, until_declared

BOOK_EVERY_S: Final = 2.5
ECHOES: Final = 0.3
"""Of books: the same prices come again soon. Only from such a book a paper order is filled."""
ECHO_AFTER_S: Final = 0.3


async def feed(world: World, name: str) -> None:
    """A feeder: real session table and publisher, books from the seed."""
    nc = await connected(world, name)
    await until_declared(nc, BOOKS)
    series = tuple(map(parse_series, world.faults.series))
    table = SessionTable(series)
    lease, rng = world.lease, world.sim.random(f"books-{name}-{world.sim.now_ms}")
    mine = lease.take(world.sim.now_ms)
    slow_to_learn_ms = rng.choice([0, 2_000, 8_000])

    def epoch_of(_: str) -> int | None:
        unaware = world.sim.now_ms < lease.taken_at_ms + slow_to_learn_ms
        return mine if mine == lease.epoch or unaware else None

    publisher = Publisher(nc, table, metrics_of(FeederMetrics, series), epoch_of)
    sending = asyncio.create_task(publisher.run())
    echoing = world.sim.random(f"echoes-{name}-{world.sim.now_ms}")

    def publish(info: MarketInfo, rng: random.Random, more: int = 0) -> None:
        session = change_books(table, info, rng, world.sim.time_ns(), more)
        if session is not None:
            publisher.offer(session)

    while not world.entries_stopped:
        now_ms = world.sim.now_ms
        again: list[tuple[MarketInfo, Any]] = []
        if epoch_of("") is None and rng.random() < 0.3:
            mine = lease.take(now_ms)
        for each in series:
            info = window(each, each.window_start_s(now_ms / 1000))
            world.markets[info.condition_id] = info
            follow(table, _as_listed(world, info), now_ms)
            if world.faults.shadow and echoing.random() < ECHOES:
                again.append((info, rng.getstate()))
            publish(info, rng)
        table.drop_ended(now_ms)
        pause_s = BOOK_EVERY_S * rng.uniform(0.5, 1.5)
        await asyncio.sleep(ECHO_AFTER_S if again else pause_s)
        for info, drawn in again:
            same = random.Random()
            same.setstate(drawn)
            publish(info, same, more=1)
        if again:
            await asyncio.sleep(pause_s - ECHO_AFTER_S)
    sending.cancel()


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


async def user_channel(world: World, name: str) -> None:
    """Publishes the venue's events, patiently; what comes while it is dead is lost."""
    nc = await connected(world, name)
    js = nc.jetstream(timeout=2)
    await until_declared(nc, FILLS)
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

        await patiently(publish)


async def person(world: World) -> None:
    """Halts and resumes one of the accounts now and then."""
    rng = world.sim.random("person")
    while True:
        # Sometimes at once again: a resume that is late on its way must not lift the next halt.
        await asyncio.sleep(rng.choice([rng.uniform(0.1, 3), rng.uniform(20, 60)]))
        name = rng.choice(world.accounts)
        store, halted = world.store(name), world.halted[name]
        await patiently(partial(store.halt, "a test"))
        since_ns = world.sim.time_ns()
        halted.append((since_ns, 1 << 62))
        await asyncio.sleep(rng.uniform(5, 30))
        halted[-1] = since_ns, world.sim.time_ns()

        async def resume(store: DynamoStore = store) -> None:
            await store.resume(await store.account())

        await patiently(resume)


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
