"""One claim and its resolution on each store, in turns: the embedded one as paper and as live use
it, and DynamoDB as two engines serve it here.

    python -m benchmarks.claim_latency

`sqlite_normal` waits for no disk, `sqlite_full` for one fsync a write: the difference is this
disk's. Of moto it is mostly the condition, executed in Python; `*_client_cpu_*` is what the worker
itself pays. `*_through_sdk` makes the same calls through the SDK's whole client, which a claim
skips: only the two in one run can be compared. A cold claim is one after a pause in which
something else has used the caches, as a worker makes it. For comparison, a published PutItem from a
Lambda function to DynamoDB: p50 7.6, p99 16 ms.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import uvloop

from benchmarks.stats import percentiles, quartiles
from functions.adapters.dynamodb.store import DynamoStore
from functions.adapters.sqlite.store import open_stores
from functions.core.account import Limits
from functions.core.claim import Claim, ClaimState
from functions.ports import Claimed, Store
from sandbox.dynamodb import decision_table_of
from tests.support.dynamodb_engines import (
    MINISTACK_VENV,
    ministack,
    moto,
    new_state_table,
    store_on,
)

ROUNDS: Final = 300
COLD_ROUNDS: Final = 40
WARM_UP: Final = 20
PAUSE_S: Final = 0.1
"""Before a cold claim."""
ACCOUNT: Final = "bench"
_ENGINES: Final = {"moto": moto, "ministack": ministack}
_LIMITS: Final = Limits(
    max_positions=3,
    cooldown_ms=0,
    daily_loss_limit_e6=50_000_000,
    daily_spend_cap_e6=10**12,
)
_DISK: Final = Path(__file__).parent / "out"
"""Not the folder of temporary files, which may be memory."""


def run() -> dict[str, dict[str, float]]:
    """By store, in milliseconds: p50 and p99 of claim and resolve, hot, and of a cold claim; and of
    each the client's CPU, as quartiles."""
    return uvloop.run(_run())


async def _run() -> dict[str, dict[str, float]]:
    _DISK.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=_DISK) as folder:
        async with AsyncExitStack() as stack:
            benches: dict[str, _Bench] = {}
            for name, durable in (("sqlite_normal", False), ("sqlite_full", True)):
                file = Path(folder) / f"{name}.sqlite"
                opening = open_stores([ACCOUNT], file, durable=durable)
                benches[name] = _Bench((await stack.enter_async_context(opening))[ACCOUNT])
            engines = dict(_ENGINES)
            if not (MINISTACK_VENV / ".installed").exists():
                del engines["ministack"]
            for name, engine in engines.items():
                url = stack.enter_context(engine())
                table = new_state_table(url)
                store = await stack.enter_async_context(store_on(url, table, ACCOUNT))
                benches[name] = _Bench(store)
                benches[f"{name}_through_sdk"] = _Bench(_through_sdk(store, table))
            for bench in benches.values():
                await bench.store.open_account()
            order = list(benches.values())
            for number in range(WARM_UP + ROUNDS):
                for bench in random.sample(order, len(order)):
                    await bench.round(number)
            for bench in order:
                bench.forget_warm_up()
            caches = bytearray(32 << 20)
            for number in range(COLD_ROUNDS):
                for bench in random.sample(order, len(order)):
                    await asyncio.sleep(PAUSE_S)
                    for place in range(0, len(caches), 64):
                        caches[place] = 1
                    await bench.round(WARM_UP + ROUNDS + number, cold=True)
            return {name: bench.figures() for name, bench in benches.items()}


def _through_sdk(store: DynamoStore, table: str) -> DynamoStore:
    """Another account of the same table, whose calls skip nothing."""
    sdk, log = store._table._client._sdk, decision_table_of(table)
    return DynamoStore(sdk, table=table, decision_table=log, account_name=f"{ACCOUNT}-through-sdk")


class _Bench:
    def __init__(self, store: Store) -> None:
        self.store = store
        self._wall: dict[str, list[float]] = {"claim": [], "resolve": [], "cold_claim": []}
        self._cpu: dict[str, list[float]] = {name: [] for name in self._wall}

    async def round(self, number: int, *, cold: bool = False) -> None:
        now_ms = 1_790_000_000_000 + number
        claim = _claim(number, now_ms)
        calling = self.store.claim(claim, _LIMITS, now_ms)
        claimed = await self._timed("cold_claim" if cold else "claim", calling)
        assert claimed == Claimed(), claimed
        released = msgspec.structs.replace(claim, state=ClaimState.RELEASED, version=2)
        assert await self._timed("resolve", self.store.move(released, claim))
        await self.store.forget(released)

    async def _timed(self, name: str, call: Awaitable[object]) -> object:
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        result = await call
        self._wall[name].append((time.perf_counter() - wall_before) * 1e3)
        self._cpu[name].append((time.process_time() - cpu_before) * 1e3)
        return result

    def forget_warm_up(self) -> None:
        for samples in (*self._wall.values(), *self._cpu.values()):
            del samples[:WARM_UP]

    def figures(self) -> dict[str, float]:
        figures = {}
        for name, samples in self._wall.items():
            wall, cpu = percentiles(samples), quartiles(self._cpu[name])
            figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"] = wall.p50, wall.p99
            figures[f"{name}_client_cpu_low_ms"] = round(cpu.low, 3)
            figures[f"{name}_client_cpu_ms"] = round(cpu.median, 3)
            figures[f"{name}_client_cpu_high_ms"] = round(cpu.high, 3)
        return figures


def _claim(number: int, now_ms: int) -> Claim:
    return Claim(
        intent_id=f"{number:032x}",
        attempt_id=f"{number:032x}",
        order_id=f"0x{number:064x}",
        condition_id=f"0x{number % 5:064x}",
        slug="btc-updown-15m-1790000100",
        token_id=str(10**76 + number),
        outcome="Up",
        state=ClaimState.CLAIMED,
        max_price_e4=5_500,
        spend_e6=1_100_000,
        salt=str(10**14 + number),
        order_timestamp_ms=now_ms,
        claimed_at_ms=now_ms,
        market_end_ms=1_790_000_900_000,
        counted=True,
    )


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
