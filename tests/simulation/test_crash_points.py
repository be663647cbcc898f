"""A worker killed right before each of its steps, one after the other: a crash at any await.

Nothing else goes wrong. From before the worker's first signal until its first order is resolved,
every step is a crash of its own run, and after each of them everything must come to rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest

from functions.core.claim import ClaimState
from tests.simulation.checks import ACCOUNT_KEY, account_of, violations
from tests.simulation.dynamodb import DynamoFaults
from tests.simulation.faults import Faults
from tests.simulation.jetstream import NatsFaults
from tests.simulation.loop import simulated
from tests.simulation.scenario import start_all
from tests.simulation.venue import VenueFaults
from tests.simulation.world import World, new_world

SEED = 5
ENTRIES_S = 8.0
REST_S = 110.0
WORKER = "worker-1"
NAMES = ("feeder", WORKER, "schedule-1", "user")
SHARES = 8
"""The steps are dealt out to so many tests, which run side by side."""


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


async def crash(world: World, step: int | None) -> None:
    """Let the worker die right before `step`, or live."""
    start_all(world, NAMES)
    worker = world.running[WORKER]
    if step is not None:
        worker.kill_at_step(step)
        world.kills += 1
    await asyncio.sleep(ENTRIES_S)
    world.entries_stopped = True
    await asyncio.sleep(REST_S)


def calm() -> Faults:
    return Faults(
        venue=VenueFaults(),
        dynamodb=DynamoFaults(),
        nats=NatsFaults(),
        kill_every_s=1e9,
        halts=False,
        loss_limit_usd=Decimal(100),
        spend_cap_usd=Decimal(100),
    )


def steps_of_the_first_order() -> range:
    """Of a worker that lives: from its start until its first claim is known to be open."""
    with simulated(SEED) as sim:
        world = new_world(sim, calm())
        seen: dict[str, int] = {}

        async def watch() -> None:
            start_all(world, NAMES)
            worker = world.running[WORKER]
            while "open" not in seen:
                await asyncio.sleep(0.001)
                item = world.dynamodb.item(*ACCOUNT_KEY)
                claims = account_of(item).claims.values() if item is not None else ()
                if not claims:
                    seen["before"] = worker.steps
                elif any(claim.state is ClaimState.OPEN for claim in claims):
                    seen["open"] = worker.steps

        sim.run(watch())
    # The claim is decided on some steps before it shows, and resolved some after.
    return range(seen["before"] - 40, seen["open"] + 40)


@pytest.mark.parametrize("share", range(SHARES))
def test_whichever_step_is_its_last_everything_comes_to_rest(share: int) -> None:
    steps = steps_of_the_first_order()
    assert len(steps) > 100
    posted = 0
    for step in steps[share::SHARES]:
        with simulated(SEED) as sim:
            world = new_world(sim, calm())
            sim.run(crash(world, step))
            assert violations(world) == [], f"killed before step {step}"
            posted += len(world.venue.arrivals)
    assert posted > 0
