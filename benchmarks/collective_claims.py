"""A claim under a limit that several accounts share: three ways, measured in one run.

    python -m benchmarks.collective_claims

`one` is today's claim, one conditional UpdateItem of the account. `transaction` writes the account
and the group's item in one TransactWriteItems. `two_writes` is two UpdateItems, the group's first.
Each on serialised moto and, where it is installed (`make ministack`), on ministack; their latencies
are not AWS's, so look at the ratios. Neither refuses a write because of another one that is under
way, so what `conflict_*` says is computed: claims of several accounts at once, each of which
holds both items for as long as a transaction takes at AWS, and tries again as the store does.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvloop

from benchmarks.stats import percentiles
from functions.adapters.dynamodb.claim_requests import claim_request
from functions.adapters.dynamodb.items import account_item, account_key
from functions.adapters.dynamodb.table import open_client
from functions.core.account import NO_PAUSE, TRADING_ENABLED, Account, Limits, utc_day
from functions.core.claim import Claim, ClaimState
from sandbox.dynamodb import CREDENTIALS_ENV, REGION, create_tables
from tests.support.dynamodb_engines import MINISTACK_VENV, ministack, moto

ROUNDS: Final = 300
WARM_UP: Final = 20
AT_ONCE: Final = 8
"""Accounts of one group that claim at the same time."""
TRANSACTION_MS: Final = (10.0, 25.0)
"""How long a transaction holds its items: between a PutItem's and a five-item transaction's
published p50 (7.6 and 25 ms)."""
TRIES: Final = 8
PAUSES_MS: Final = (20.0, 40.0, 80.0, 80.0, 80.0, 80.0, 80.0)
"""At most so long before each further try; as the store has it."""
SIMULATED_ROUNDS: Final = 2_000
_LIMITS: Final = Limits(
    max_positions=10**6,
    cooldown_ms=0,
    daily_loss_limit_e6=50_000_000,
    daily_spend_cap_e6=10**12,
)
_EMPTY: Final = Account(
    trading=TRADING_ENABLED,
    claims={},
    cooldowns={},
    pnl_e6={},
    spent_e6={},
    pause=NO_PAUSE,
    redeem={},
)
_GROUP_KEY: Final = {"pk": {"S": "GROUP#bench"}, "sk": {"S": "LIMITS"}}
_Way = Callable[[Any, str, str, Claim, int], Awaitable[None]]


def run() -> dict[str, dict[str, float]]:
    """By engine: p50 and p99 of each way in ms, the client's CPU, and ratios to `one`."""
    os.environ.update(CREDENTIALS_ENV)
    figures = {}
    with moto() as url:
        figures["moto"] = uvloop.run(_measure(url))
    if (MINISTACK_VENV / ".installed").exists():
        with ministack() as url:
            figures["ministack"] = uvloop.run(_measure(url))
    figures["conflicts"] = conflicts()
    return figures


# -- the three ways --------------------------------------------------------------------------------


def _group_update(claim: Claim, now_ms: int) -> dict[str, Any]:
    return {
        "UpdateExpression": "SET exposure_e6 = exposure_e6 + :spend",
        "ConditionExpression": (
            "config_version = :version AND exposure_e6 <= :room AND "
            "(attribute_not_exists(pnl_e6.#today) OR pnl_e6.#today > :floor)"
        ),
        "ExpressionAttributeNames": {"#today": utc_day(now_ms)},
        "ExpressionAttributeValues": {
            ":spend": {"N": str(claim.spend_e6)},
            ":room": {"N": str(10**12 - claim.spend_e6)},
            ":floor": {"N": str(-(10**9))},
            ":version": {"N": "1"},
        },
    }


async def _one(client: Any, table: str, account: str, claim: Claim, now_ms: int) -> None:
    request = claim_request(claim, _LIMITS, now_ms)
    await client.update_item(
        TableName=table,
        Key=account_key(account),
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
        **request,
    )


async def _transaction(client: Any, table: str, account: str, claim: Claim, now_ms: int) -> None:
    parts = (
        {"Key": account_key(account), **claim_request(claim, _LIMITS, now_ms)},
        {"Key": _GROUP_KEY, **_group_update(claim, now_ms)},
    )
    items = [
        {
            "Update": {
                "TableName": table,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                **part,
            }
        }
        for part in parts
    ]
    await client.transact_write_items(TransactItems=items)


async def _two_writes(client: Any, table: str, account: str, claim: Claim, now_ms: int) -> None:
    await client.update_item(TableName=table, Key=_GROUP_KEY, **_group_update(claim, now_ms))
    await _one(client, table, account, claim, now_ms)


WAYS: Final[dict[str, _Way]] = {
    "one": _one,
    "transaction": _transaction,
    "two_writes": _two_writes,
}


async def _measure(url: str) -> dict[str, float]:
    table = f"bench-{time.time_ns()}"
    create_tables(url, table)
    wall: dict[str, list[float]] = {name: [] for name in WAYS}
    cpu: dict[str, list[float]] = {name: [] for name in WAYS}
    together: dict[str, list[float]] = {name: [] for name in WAYS}
    async with open_client(region=REGION, endpoint_url=url) as client:
        await client.put_item(
            TableName=table,
            Item={
                **_GROUP_KEY,
                "exposure_e6": {"N": "0"},
                "pnl_e6": {"M": {}},
                "config_version": {"N": "1"},
            },
        )
        accounts = {name: [f"{name}-{n}" for n in range(AT_ONCE)] for name in WAYS}
        for number in range(WARM_UP + ROUNDS):
            now_ms = 1_790_000_000_000 + number
            for name, way in WAYS.items():
                await _emptied(client, table, accounts[name][0])
                claim = _claim(number, now_ms)
                wall_before, cpu_before = time.perf_counter(), time.process_time()
                await way(client, table, accounts[name][0], claim, now_ms)
                if number >= WARM_UP:
                    wall[name].append((time.perf_counter() - wall_before) * 1e3)
                    cpu[name].append((time.process_time() - cpu_before) * 1e3)
        for number in range(ROUNDS // AT_ONCE):
            now_ms = 1_790_000_100_000 + number
            for name, way in WAYS.items():
                await asyncio.gather(*(_emptied(client, table, each) for each in accounts[name]))
                before = time.perf_counter()
                claims = (
                    way(client, table, each, _claim(number, now_ms), now_ms)
                    for each in accounts[name]
                )
                await asyncio.gather(*claims)
                together[name].append((time.perf_counter() - before) * 1e3)
    figures: dict[str, float] = {}
    for name in WAYS:
        measured = percentiles(wall[name])
        figures[f"{name}_p50_ms"] = measured.p50
        figures[f"{name}_p99_ms"] = measured.p99
        figures[f"{name}_client_cpu_ms"] = percentiles(cpu[name]).p50
        figures[f"{name}_{AT_ONCE}_at_once_p50_ms"] = percentiles(together[name]).p50
    for name in ("transaction", "two_writes"):
        figures[f"{name}_ratio"] = round(figures[f"{name}_p50_ms"] / figures["one_p50_ms"], 2)
    return figures


async def _emptied(client: Any, table: str, account: str) -> None:
    """An account without claims, as each claim of the comparison finds it."""
    await client.put_item(TableName=table, Item=account_item(account, _EMPTY))


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


# -- conflicts -------------------------------------------------------------------------------------


def conflicts() -> dict[str, float]:
    """Claims of 2, 4, 8, 16 and 30 accounts that begin within 5 ms of each other: the share that is
    given up after TRIES, and p50 and p99 of how long the others took."""
    figures: dict[str, float] = {}
    for accounts in (2, 4, 8, 16, 30):
        rng = random.Random(accounts)
        given_up, took_ms = 0, list[float]()
        for _ in range(SIMULATED_ROUNDS // accounts):
            lost, durations = _race(accounts, rng)
            given_up += lost
            took_ms += durations
        measured = percentiles(took_ms)
        figures[f"{accounts}_given_up"] = round(given_up / (given_up + len(took_ms)), 4)
        figures[f"{accounts}_p50_ms"] = measured.p50
        figures[f"{accounts}_p99_ms"] = measured.p99
    return figures


def _race(accounts: int, rng: random.Random) -> tuple[int, list[float]]:
    """One burst: how many gave up, and how long each of the others took."""
    waiting = [
        (began, number, 0, began) for number in range(accounts) for began in [rng.random() * 5]
    ]
    heapq.heapify(waiting)
    held_until, given_up, took_ms = 0.0, 0, list[float]()
    while waiting:
        at, number, tried, began = heapq.heappop(waiting)
        if at >= held_until:
            held_until = at + rng.uniform(*TRANSACTION_MS)
            took_ms.append(held_until - began)
        elif tried + 1 == TRIES:
            given_up += 1
        else:
            # The refusal itself takes a round trip.
            again = at + 5 + PAUSES_MS[tried] * rng.uniform(0.5, 1)
            heapq.heappush(waiting, (again, number, tried + 1, began))
    return given_up, took_ms


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
