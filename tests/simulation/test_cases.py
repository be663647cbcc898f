"""Stories too rare for random seeds, told step by step; each with and without its safeguard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from unittest.mock import patch

import pytest

from functions.adapters.dynamodb import conditions, store
from functions.adapters.dynamodb.items import account_of, decision_key
from functions.core.account import Account, utc_day
from tests.simulation.checks import ACCOUNT_KEY, violations
from tests.simulation.dynamodb import DECISIONS, DynamoFaults
from tests.simulation.faults import Faults
from tests.simulation.jetstream import NatsFaults
from tests.simulation.loop import simulated
from tests.simulation.venue import VenueFaults
from tests.simulation.world import World, new_world, start_all


@pytest.fixture(autouse=True)
def nothing_is_printed() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


async def until(world: World, fact: Callable[[Account], bool], at_most_s: float = 200.0) -> None:
    """Wait until the account is so."""
    async with asyncio.timeout(at_most_s):
        while True:
            item = world.dynamodb.item(*ACCOUNT_KEY)
            if item is not None and fact(account_of(item)):
                return
            await asyncio.sleep(0.001)


async def a_sleeper_wakes_beside_the_next_claim(world: World) -> None:
    """A worker is suspended while it waits for its answer, for so long that its claim is given up
    and another worker claims the same market; then it wakes, and writes what it knows."""
    start_all(world, ("feeder", "worker-1", "schedule-1", "user"))
    await until(world, lambda account: bool(account.claims))
    sleeper = world.running["worker-1"]
    await asyncio.sleep(0.1)
    sleeper.pause()
    first = next(iter(world.markets.values()))
    await until(world, lambda account: not account.claims)
    start_all(world, ("worker-2",))

    def claimed_again(account: Account) -> bool:
        mine = account.claims.get(first.condition_id)
        return mine is not None and mine.version == 1

    await until(world, claimed_again)
    sleeper.resume()
    await asyncio.sleep(6)
    world.entries_stopped = True
    await asyncio.sleep(240)


def calm(venue: VenueFaults, *series: str) -> Faults:
    return Faults(
        venue=venue,
        dynamodb=DynamoFaults(),
        nats=NatsFaults(),
        kill_every_s=1e9,
        halts=False,
        loss_limit_usd=Decimal(100),
        spend_cap_usd=Decimal(100),
        series=series,
    )


def sleeping_worker() -> list[str]:
    with simulated(1) as sim:
        world = new_world(sim, calm(VenueFaults(lost_request=1.0), "btc-900s"))
        sim.run(a_sleeper_wakes_beside_the_next_claim(world))
        return [each for each in violations(world) if "[waste]" not in each]


def test_a_sleepers_answer_does_not_touch_the_next_claim() -> None:
    assert sleeping_worker() == []


def test_without_the_attempt_in_the_condition_it_does() -> None:
    always = f"({conditions.CLAIM_IS_MINE} OR attribute_exists(pk))"
    without = store.SEEN_CONDITION.replace(conditions.CLAIM_IS_MINE, always)
    with patch.object(store, "SEEN_CONDITION", without):
        assert any("took the place of" in each for each in sleeping_worker())


def orders_and_log(*, is_there: bool) -> tuple[list[int], int]:
    """When orders arrived, with or without a decision table, and how many decisions were logged in
    the end: by then it is there."""
    ordered_ms: list[int] = []
    with simulated(1) as sim:
        world = new_world(sim, calm(VenueFaults(), "btc-30s", "eth-30s"))
        world.venue.on_arrival = lambda _: ordered_ms.append(sim.now_ms)

        def logged() -> int:
            pk = decision_key(ACCOUNT_KEY[0].partition("#")[2], utc_day(sim.now_ms))
            return len(world.dynamodb.partition(pk, DECISIONS))

        async def story() -> None:
            if not is_there:
                world.dynamodb.missing.add(DECISIONS)
            start_all(world, ("feeder", "worker-1", "schedule-1", "user"))
            await asyncio.sleep(60)
            assert (logged() > 0) is is_there
            world.entries_stopped = True
            world.dynamodb.missing.clear()
            await asyncio.sleep(160)

        sim.run(story())
        assert violations(world) == []
        assert not sim.errors
        return ordered_ms, logged()


def test_trading_needs_no_decision_table_and_the_log_waits_for_it() -> None:
    ordered_ms, logged = orders_and_log(is_there=False)
    with_it_ms, logged_with_it = orders_and_log(is_there=True)
    assert ordered_ms[0] == with_it_ms[0]
    assert len(ordered_ms) == len(with_it_ms) > 3  # other latencies, the same opportunities
    assert logged >= len(ordered_ms)
    assert logged_with_it >= len(with_it_ms)
