"""The production store on the simulated DynamoDB."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from functions.adapters.dynamodb.store import DynamoStore
from functions.core.claim import ClaimState
from functions.ports import Claimed, StoreError
from tests.simulation.dynamodb import DECISIONS, STATE, DynamoFaults, SimDynamo
from tests.simulation.loop import simulated
from tests.support.store_builders import LIMITS, make_claim

# -- the production store on it ------------------------------------------------------------------


def _store(server: SimDynamo) -> DynamoStore:
    return DynamoStore(server.client(), table=STATE, decision_table=DECISIONS, account_name="s")


def test_the_store_runs_on_it() -> None:
    with simulated(1) as sim:
        server = SimDynamo(sim)

        async def scenario() -> None:
            store = _store(server)
            assert (await store.open_account()).claims == {}
            claim = make_claim()
            now_ms = sim.now_ms
            assert await store.claim(claim, LIMITS, now_ms) == Claimed()
            refused: Any = await store.claim(make_claim(attempt="a2"), LIMITS, now_ms)
            assert refused.reason == "market_claimed"
            opened = msgspec.structs.replace(
                claim, state=ClaimState.OPEN, version=2, filled_spend_e6=5, filled_size_e6=10
            )
            assert await store.move(opened, claim)
            assert not await store.move(
                msgspec.structs.replace(opened, filled_spend_e6=6), claim
            ), "somebody was faster"
            assert (await store.account()).claims == {claim.slot: opened}

        sim.run(scenario())
    assert not sim.errors
    assert server.calls["update_item"] == 5


FAULTS = {
    "throttled": 0.1,
    "conflict": 0.1,
    "refused": 0.1,
    "lost_request": 0.05,
    "lost_reply": 0.1,
    "retried": 0.1,
    "straggler": 0.1,
    "late": 0.1,
    "slow": 0.1,
    "foreign": 0.1,
}


def _race(seed: int) -> tuple[SimDynamo, list[str], str]:
    """Six workers claim the same five markets through faults, three at most."""
    won: list[str] = []
    with simulated(seed) as sim:
        server = SimDynamo(sim, faults=DynamoFaults(**FAULTS))  # type: ignore[arg-type]

        async def works(number: int) -> None:
            store = _store(server)
            for market in range(5):
                claim = make_claim(f"0xm{market}", f"a{number}-{market}")
                try:
                    if await store.claim(claim, LIMITS, sim.now_ms) == Claimed():
                        won.append(claim.condition_id)
                except StoreError:
                    continue

        async def scenario() -> None:
            store = _store(server)
            server.faults.off()
            await store.open_account()
            server.faults.__dict__.update(FAULTS)
            for number in range(6):
                sim.process(f"worker-{number}").start(works(number))
            await asyncio.sleep(120)

        sim.run(scenario())
    assert not sim.errors
    return server, won, sim.fingerprint


def test_claims_race_through_faults_and_no_limit_ever_breaks() -> None:
    wins = 0
    for seed in range(25):
        server, won, _ = _race(seed)
        assert len(won) == len(set(won))
        wins += len(won)
        for change in server.history:
            assert change.after is not None
            assert len(change.after["claims"]["M"]) <= LIMITS.max_positions
    assert wins > 40
    assert _race(7)[1:] == _race(7)[1:]


_TRACE = """
from tests.simulation.jetstream import NatsFaults
from tests.simulation.test_store import _race
from tests.simulation.test_jetstream import _run_books

faults = NatsFaults(drop=0.05, duplicate=0.05, late=0.05, disconnect=0.01)
print(_run_books(3, faults)[1], [_race(seed)[1:] for seed in range(5)])
"""


def test_production_code_on_both_ports_runs_the_same_for_every_hash_seed() -> None:
    root = Path(__file__).parents[2]
    outputs = set()
    for hash_seed in ("1", "4711"):
        ran = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", _TRACE],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
        outputs.add(ran.stdout)
    assert len(outputs) == 1
