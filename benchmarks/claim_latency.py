"""One claim and its resolution against the sandbox's DynamoDB, one after the other.

    python -m benchmarks.claim_latency

What is measured is mostly moto executing the condition in Python; `*_client_cpu_ms` is what the
worker itself pays. For comparison, a published PutItem from a Lambda function to DynamoDB: p50 7.6,
p99 16 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from functions.adapters.dynamodb.store import open_store
from functions.core.account import Limits
from functions.core.claim import Claim, ClaimState
from functions.ports import Claimed
from sandbox.dynamodb import CREDENTIALS_ENV, REGION, decision_table_of

ROUNDS: Final = 300
WARM_UP: Final = 20
_LIMITS: Final = Limits(
    max_positions=3,
    cooldown_ms=0,
    daily_loss_limit_e6=50_000_000,
    daily_spend_cap_e6=10**12,
)


def run() -> dict[str, float]:
    """p50 and p99 in milliseconds of claim and resolve, and the client's CPU a call (p50)."""
    os.environ.update(CREDENTIALS_ENV)
    with server() as (url, table):
        return uvloop.run(_measure(url, table))


async def _measure(url: str, table: str) -> dict[str, float]:
    wall: dict[str, list[float]] = {"claim": [], "resolve": []}
    cpu: dict[str, list[float]] = {"claim": [], "resolve": []}

    async def timed(name: str, call: Awaitable[object]) -> object:
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        result = await call
        wall[name].append((time.perf_counter() - wall_before) * 1e3)
        cpu[name].append((time.process_time() - cpu_before) * 1e3)
        return result

    async with open_store(
        table=table,
        decision_table=decision_table_of(table),
        account_name="bench",
        region=REGION,
        endpoint_url=url,
    ) as store:
        await store.open_account()
        for number in range(WARM_UP + ROUNDS):
            now_ms = 1_790_000_000_000 + number
            claim = _claim(number, now_ms)
            claimed = await timed("claim", store.claim(claim, _LIMITS, now_ms))
            assert claimed == Claimed(), claimed
            released = msgspec.structs.replace(claim, state=ClaimState.RELEASED, version=2)
            assert await timed("resolve", store.move(released, claim))
            await store.forget(released)
    figures = {}
    for name, samples in wall.items():
        figures[f"{name}_p50_ms"] = _percentile(samples, 0.50)
        figures[f"{name}_p99_ms"] = _percentile(samples, 0.99)
        figures[f"{name}_client_cpu_ms"] = _percentile(cpu[name], 0.50)
    return figures


def _percentile(samples: list[float], share: float) -> float:
    ordered = sorted(samples[WARM_UP:])
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3)


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
        market_end_ms=now_ms + 600_000,
        counted=True,
    )


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """URL of a serialised moto of its own, and the name of its state table."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.dynamodb", "--table", "bench"],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield ready["url"], ready["table"]
    finally:
        process.terminate()
        process.wait(5)


if __name__ == "__main__":
    print(json.dumps(run()))
