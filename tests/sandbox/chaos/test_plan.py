"""The same seed draws the same chaos, and what it draws can be done."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import msgspec
import pytest

from functions.core.configuration import AccountConfiguration, changed
from functions.strategy_loading import load_strategy
from sandbox.chaos.dynamodb_faults import KINDS
from sandbox.chaos.plan import (
    AMBUSH,
    AMBUSH_FAULTS,
    KILL,
    STOP,
    STOPPED_S,
    process_faults,
    retunings,
    store_spells,
    venue_spells,
)
from sandbox.simulator.faults import NAMES, parse_faults

PLAN = """
from itertools import islice
from sandbox.chaos.plan import process_faults, retunings, store_spells, venue_spells
changes = retunings(7, ["book_imbalance_crypto", "order_flow_imbalance"], 40)
for stream in (process_faults(7, 4), venue_spells(7), store_spells(7), changes):
    print(list(islice(stream, 200)))
"""


def plan_in_a_process(hash_seed: str) -> str:
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", PLAN],
        env={"PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_the_plan_is_the_same_in_every_process() -> None:
    assert plan_in_a_process("1") == plan_in_a_process("2")


def test_another_seed_is_another_plan() -> None:
    assert list(islice(process_faults(1, 4), 50)) != list(islice(process_faults(2, 4), 50))
    assert list(islice(venue_spells(1), 50)) != list(islice(venue_spells(2), 50))
    assert list(islice(store_spells(1), 50)) != list(islice(store_spells(2), 50))


@pytest.mark.parametrize("seed", range(5))
def test_five_minutes_kill_more_than_two_hundred_times(seed: int) -> None:
    now_s, kills, targets = 0.0, 0, set()
    for fault in process_faults(seed, 4):
        now_s += fault.after_s
        if now_s > 300:
            break
        targets.add(fault.target)
        kills += {KILL: 1, STOP: 0, AMBUSH: 4}[fault.action]
        assert (STOPPED_S[0] <= fault.for_s <= STOPPED_S[1]) == (fault.action == STOP)
    assert kills > 200
    assert targets >= {"worker-1", "worker-4", "schedule", "user-feeder", "feeder", "nats"}


def test_the_venue_understands_every_fault() -> None:
    wanted = set()
    parse_faults(msgspec.json.encode(AMBUSH_FAULTS))
    for spell in islice(venue_spells(3), 500):
        parse_faults(msgspec.json.encode(spell.faults))
        wanted |= spell.faults.keys()
    assert wanted >= {"drop_after", "failed_trade", "restart", "phantom_lock_after", "user_cut"}
    of_the_market = {name for name in NAMES if name.startswith(("market_", "book_", "late_trade"))}
    assert wanted >= of_the_market, "the feeder meets every fault there is"


def test_the_store_understands_every_fault() -> None:
    drawn = {kind for spell in islice(store_spells(3), 500) for kind in spell.faults}
    assert drawn == set(KINDS)


STRATEGIES = ("book_imbalance_crypto", "order_flow_imbalance", "fair_value")


def test_every_account_takes_every_change_and_its_positions_come_back() -> None:
    allowed: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for each in islice(retunings(3, STRATEGIES, 40), 500):
        parameters = load_strategy(STRATEGIES[each.account]).Parameters()
        settings, _ = changed(
            AccountConfiguration(), parameters.model_dump(), type(parameters), each.changes
        )
        if "max_positions" in each.changes:
            allowed[each.account].append(settings.max_positions)
    for few_and_all in allowed.values():
        assert set(few_and_all[1::2]) == {40}
        assert max(few_and_all[::2]) < 10


def test_within_a_minute_a_limit_is_lowered_whatever_the_seed() -> None:
    for seed in range(200):
        now_s, lowered = 0.0, 0
        for each in retunings(seed, STRATEGIES, 40):
            now_s += each.after_s
            if now_s > 40:
                break
            lowered += each.changes.get("max_positions", "40") != "40"
        assert lowered, seed
