"""One process of the claim race: `python -m tests.support.claim_racer PLACE ME`.

PLACE is a JSON object: `url` and `table` of a DynamoDB, or the `file` of an embedded store.

Two lines on stdin make a round: an account's name, answered by `warm` once the account is open, and
`go`. Then `RACERS` coroutines claim at once, each with an attempt of its own, over `MARKETS`
markets, and the answer is one JSON line `[[market, attempt id, "claimed" | refusal], ...]`. The end
of stdin ends the process.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from functions.adapters.sqlite.store import open_stores
from functions.ports import Claimed, Store, StoreError
from tests.support.store_builders import LIMITS, NOW_MS, make_claim

RACERS = 16
MARKETS = 7
TRIES_MAX = 5  # of the same attempt: on a busy machine an emulator may not answer in time


@asynccontextmanager
async def store_at(place: dict[str, str], account_name: str) -> AsyncIterator[Store]:
    if "file" in place:
        async with open_stores([account_name], Path(place["file"]), durable=True) as stores:
            yield stores[account_name]
        return
    # Here, because the SDK takes a second to import, and one race does without.
    from functions.adapters.dynamodb.store import open_store  # noqa: PLC0415 - see above
    from sandbox.dynamodb import REGION, decision_table_of  # noqa: PLC0415 - see above

    async with open_store(
        table=place["table"],
        decision_table=decision_table_of(place["table"]),
        account_name=account_name,
        region=REGION,
        endpoint_url=place["url"],
    ) as store:
        yield store


async def race(place: dict[str, str], me: str, account_name: str) -> list[tuple[str, str, str]]:
    async with store_at(place, account_name) as store:

        async def run(number: int) -> tuple[str, str, str]:
            market, attempt = f"0xm{number % MARKETS}", f"{me}-{number}"
            for tried in range(1, TRIES_MAX + 1):
                try:
                    result = await store.claim(make_claim(market, attempt), LIMITS, NOW_MS)
                except StoreError:
                    if tried == TRIES_MAX:
                        raise
                else:
                    break
            outcome = "claimed" if isinstance(result, Claimed) else result.reason.value
            return market, attempt, outcome

        await store.open_account()
        tell("warm")
        await asyncio.to_thread(sys.stdin.readline)  # everybody is warm: go
        return list(await asyncio.gather(*(run(number) for number in range(RACERS))))


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    place, me = json.loads(sys.argv[1]), sys.argv[2]
    for line in iter(sys.stdin.readline, ""):
        tell(json.dumps(asyncio.run(race(place, me, line.strip()))))


if __name__ == "__main__":
    main()
