"""Stories too rare for random seeds, told step by step; each with and without its safeguard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from unittest.mock import patch

import pytest

from functions.adapters.dynamodb import claim_requests, conditions
from functions.adapters.dynamodb.items import account_of, decision_key
from functions.core import winnings
from functions.core.account import Account, Redemption, utc_day
from tests.simulation.checks import ACCOUNT_KEY, violations
from tests.simulation.dynamodb import DECISIONS, DynamoFaults
from tests.simulation.faults import Faults
from tests.simulation.jetstream import NatsFaults
from tests.simulation.loop import simulated
from tests.simulation.roles import start
from tests.simulation.scenario import REST_S, run, start_all
from tests.simulation.venue import VenueFaults
from tests.simulation.venue_ports import SimRecords
from tests.simulation.world import World, new_world


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
    without = claim_requests.SEEN_CONDITION.replace(conditions.CLAIM_IS_MINE, always)
    with patch.object(claim_requests, "SEEN_CONDITION", without):
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


# -- winnings ------------------------------------------------------------------------------------


def asked_for_means_paid(note: Redemption, held_e6: int, now_ms: int) -> bool:
    """The rule that these stories have refuted: a look without shares counts as soon as a request
    was noted, and without one it never does."""
    return held_e6 == 0 and note.asked_at_ms > 0


async def buy_and_win(world: World, schedule: str) -> None:
    """One market is bought, and what was won is noted."""
    start_all(world, ("feeder", "worker-1", "user"))
    await until(world, lambda account: bool(account.claims))
    world.entries_stopped = True
    start(world, schedule)
    await until(world, lambda account: bool(account.redeem))


def died_between_its_note_and_its_request(rest_s: float = 300.0) -> list[str]:
    """schedule-1 notes that it asks for winnings, and dies before it asks. schedule-2 is then shown
    the shares as they were before they were bought, for a minute: balances lag."""
    died: list[str] = []
    with simulated(3) as sim:
        world = new_world(sim, calm(VenueFaults(), "btc-30s"))
        redeem = SimRecords.redeem

        async def dies_first(self: SimRecords, condition_id: str) -> None:
            if not died:
                died.append(condition_id)
                sim.current.kill()
                world.venue.faults.lag_s = (150.0, 150.0)
                await asyncio.sleep(0)
            await redeem(self, condition_id)

        async def story() -> None:
            await buy_and_win(world, "schedule-1")
            await asyncio.sleep(60)
            assert died
            start(world, "schedule-2")
            await asyncio.sleep(60)
            world.venue.faults.lag_s = (0.0, 0.0)
            await asyncio.sleep(rest_s)

        with patch.object(SimRecords, "redeem", dies_first):
            sim.run(story())
        return violations(world)


def test_winnings_are_redeemed_though_who_noted_its_request_died_before_it() -> None:
    assert died_between_its_note_and_its_request() == []


def test_that_its_turn_has_not_come_again_is_no_lost_winning() -> None:
    """So seeds 901265 and 2000290 failed once, and about one in a thousand: schedule-1 died of a
    crash that was planned while things still failed, but came in the rest, between its note about
    the winnings of xrp-240s and its request; and the run ended before a minute was over."""
    assert died_between_its_note_and_its_request(rest_s=1.0) == []


@pytest.mark.parametrize("seed", [901_265, 2_000_290])
def test_no_death_that_was_planned_in_the_trouble_comes_in_the_rest(seed: int) -> None:
    with run(seed) as world:
        rest_since_ns = world.sim.loop.now_ns - int(REST_S * 1e9)
        assert [
            each for each in world.sim.events if "killed" in each and each[0] > rest_since_ns
        ] == []
        assert violations(world) == []


def test_if_a_noted_request_meant_that_they_are_paid_they_never_would_be() -> None:
    with patch.object(winnings, "gone", asked_for_means_paid):
        assert any("never redeemed" in each for each in died_between_its_note_and_its_request())


def paid_before_anybody_asked() -> list[str]:
    """The venue redeems by itself before the settlement is noted: no request is ever made."""
    with simulated(3) as sim:
        faults = VenueFaults(self_redeems=1.0, self_redeems_s=(0.0, 0.0))
        world = new_world(sim, calm(faults, "btc-30s"))

        async def story() -> None:
            await buy_and_win(world, "schedule-1")
            await asyncio.sleep(500)

        sim.run(story())
        assert world.venue.redeem_requests == []
        return violations(world)


def test_nothing_waits_for_winnings_that_were_paid_before_anybody_asked() -> None:
    assert paid_before_anybody_asked() == []


def test_if_only_what_was_asked_for_could_be_paid_they_would_wait_for_ever() -> None:
    with patch.object(winnings, "gone", asked_for_means_paid):
        assert any("still waiting" in each for each in paid_before_anybody_asked())
