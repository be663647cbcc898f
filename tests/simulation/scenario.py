"""A run from beginning to end.

First a phase in which everything fails at random: ports, processes (killed, suspended, restarted),
nats-server. Then all faults end, entries stop, and everything must come to rest: `checks` compares
what the venue knows with what the state says, and looks at every state the table was ever in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from functions.core import lifecycle, pruning, winnings
from functions.handlers.evaluate import Evaluator
from functions.worker_loop import Worker
from protocol.snapshot import BookSnapshot, SnapshotDecoder
from strategies.builtin import BUILTIN
from tests.simulation.faults import Faults, draw_faults
from tests.simulation.loop import EPOCH_MS, simulated
from tests.simulation.roles import ROLES, person, start
from tests.simulation.tuning import tuner
from tests.simulation.world import OF_SIBLING, World, clock_ns, new_world

MIDNIGHT_MS: Final = 1_790_035_200_000  # 2026-09-22T00:00:00Z
FAULTS_S: Final = 90.0
"""How long things fail: several windows of each market."""
REST_S: Final = 200.0
"""How long it may take until all has come to rest: an order is given up after a minute of looks, a
window ends within a minute, a resolution takes half a minute, an order may land two minutes late,
and a redemption whose process died between its note and its request is asked for after a minute."""
SHORTENED: Final = (
    (lifecycle, "UNSETTLED_AFTER_MS", 60_000),
    (winnings, "GONE_AFTER_MS", 30_000),  # reads lag by eight seconds at most here
    (winnings, "LOOK_SPACING_MS", 5_000),
    (winnings, "ASK_AGAIN_MS", 20_000),
    (winnings, "TRIES_MAX", 3),
    (pruning, "WINDOW_KEPT_MS", 60_000),
)
"""What takes long, and no other thing in a run; so it is over when the run is."""
TOLD_TO_STOP: Final = ("feeder", "feeder-2", "worker-2", "worker-3", "schedule-2")
"""When the faults end: what remains must be enough. A stranger stays, which must do no harm, and so
does who alone sees the other wallet."""


async def havoc(world: World) -> None:
    """Kills, suspends and restarts processes and the nats-server."""
    rng = world.sim.random("havoc")
    while True:
        await asyncio.sleep(rng.expovariate(1 / world.faults.kill_every_s))
        name = rng.choice([*world.running, "worker-1", "worker-2", "worker-3", "nats"])
        world.kills += 1
        if name == "nats":
            if world.nats.up:
                world.nats.restart(rng.uniform(0.1, 4))
            continue
        process = world.running.get(name)
        if process is None or name in world.faults.spared:
            continue
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
    absent = () if world.faults.rivals else ("feeder-2",)
    absent += () if world.faults.third else ("worker-3",)
    absent += () if world.faults.sibling and world.faults.apart else OF_SIBLING
    names = [name for name in ROLES if name not in absent]
    keepers = start_all(world, names)
    trouble = asyncio.create_task(havoc(world))
    if world.faults.halts:
        human = world.sim.process("person")
        human.start(person(world))
    if world.faults.tunes:
        world.sim.process("tuner").start(tuner(world))
    await asyncio.sleep(FAULTS_S)
    trouble.cancel()
    world.faults.off()
    world.sim.log_disk.full = world.faults.log_unwritable
    world.entries_stopped = True
    for name, process in list(world.running.items()):
        process.spare()  # steps are rarer now: it would die in the middle of the rest
        process.resume()
        stays = name == "schedule-2" and (world.faults.stranger or world.faults.wallets)
        if name in TOLD_TO_STOP and not stays:
            keepers[name].cancel()
            process.terminate()
    await asyncio.sleep(REST_S)


def watch(stack: ExitStack, world: World) -> None:
    """Let the world see what workers decode, and what they ask which strategies."""
    strategies = world.strategies
    decode = SnapshotDecoder.decode

    def witnessed(decoder: SnapshotDecoder, payload: bytes) -> BookSnapshot:
        return world.witness.saw(decode(decoder, payload))

    stack.enter_context(patch.object(SnapshotDecoder, "decode", witnessed))
    stack.enter_context(patch.dict(BUILTIN, strategies.strategies()))

    def evaluate(*arguments: Any) -> None:
        strategies.evaluate(*arguments)

    def consider(*arguments: Any) -> Any:
        return strategies.consider(*arguments)

    stack.enter_context(patch.object(Worker, "_evaluate", evaluate))
    stack.enter_context(patch.object(Evaluator, "consider", consider))


@contextmanager
def run(seed: int, faults: Faults | None = None) -> Iterator[World]:
    """One seed from beginning to end; yields the world as it came to rest."""
    # Every third seed goes over midnight: a day's sums begin anew.
    epoch_ms = MIDNIGHT_MS - 60_000 if seed % 3 == 0 else EPOCH_MS
    with simulated(seed, epoch_ms=epoch_ms) as sim:
        world = new_world(sim, faults or draw_faults(sim.random("faults")))
        with ExitStack() as stack:
            for module, name, value in SHORTENED:
                stack.enter_context(patch.object(module, name, value))
            stack.enter_context(patch.object(time, "time_ns", lambda: clock_ns(world)))
            watch(stack, world)
            sim.run(scenario(world))
            yield world
