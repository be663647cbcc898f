"""One process of the claim race: `python -m tests.support.claim_racer URL TABLE ME`.

Two lines on stdin make a round: an account's name, answered by `warm` once the account is open, and
`go`. Then `RACERS` coroutines claim at once, each with an attempt of its own, over `MARKETS`
markets, and the answer is one JSON line `[[market, attempt id, "claimed" | refusal], ...]`. The end
of stdin ends the process.
"""

from __future__ import annotations

import asyncio
import json
import sys

from functions.adapters.dynamodb.store import open_store
from functions.ports import Claimed, StoreError
from sandbox.dynamodb import REGION, decision_table_of
from tests.support.dynamodb_items import LIMITS, NOW_MS, make_claim

RACERS = 16
MARKETS = 7
TRIES_MAX = 5  # of the same attempt: on a busy machine an emulator may not answer in time


async def race(url: str, table: str, me: str, account_name: str) -> list[tuple[str, str, str]]:
    async with open_store(
        table=table,
        decision_table=decision_table_of(table),
        account_name=account_name,
        region=REGION,
        endpoint_url=url,
    ) as store:

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
    url, table, me = sys.argv[1:]
    for line in iter(sys.stdin.readline, ""):
        tell(json.dumps(asyncio.run(race(url, table, me, line.strip()))))


if __name__ == "__main__":
    main()
