"""The decision log on DynamoDB: rows in a table of its own, which expire after a week.

Apart from the state, because it is telemetry: what it costs, loses or refuses is never the claims'
matter. A missing or slow decision table fails these two calls alone, and only
`handlers.log_decisions` and whoever reads the log make them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

from functions.adapters.dynamodb.items import (
    Item,
    all_of,
    decision_item,
    decision_key,
    decision_of,
)
from functions.adapters.dynamodb.table import Table
from functions.ports import StoreError
from protocol.decision import Decision

BATCH_MAX: Final = 25  # BatchWriteItem's own limit
BATCH_TRIES_MAX: Final = 5
BATCH_PAUSE_S: Final = 0.05  # doubled with each try, with jitter
PAGES_MAX: Final = 50  # of one megabyte


class DecisionLog:
    """What the account's workers decided, by day."""

    def __init__(self, table: Table, account_name: str) -> None:
        self._table = table
        self._account_name = account_name

    async def put(self, decisions: Sequence[Decision]) -> None:
        """See `Store.put_decisions`. A decision given twice is written once (the last one)."""
        rows: dict[tuple[str, str], Item] = {}
        for item in map(decision_item, decisions):
            rows[item["pk"]["S"], item["sk"]["S"]] = item
        items = list(rows.values())
        for start in range(0, len(items), BATCH_MAX):
            await self._put_batch(items[start : start + BATCH_MAX])

    async def newest(self, day: str, limit: int) -> list[Decision]:
        """See `Store.decisions`."""
        rows = await self._table.query(
            "decisions",
            pages_max=PAGES_MAX,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": decision_key(self._account_name, day)}},
            ScanIndexForward=False,
            Limit=limit,
        )
        return all_of(rows[:limit], decision_of)

    async def _put_batch(self, items: list[Item]) -> None:
        requests: list[Any] = [{"PutRequest": {"Item": item}} for item in items]
        for tried in range(BATCH_TRIES_MAX):
            if tried:  # throttled: what was not taken is handed back and must be asked again
                await asyncio.sleep(BATCH_PAUSE_S * 2**tried * random.uniform(0.5, 1))  # noqa: S311 - jitter
            requests = await self._table.put_batch("put_decisions", requests)
            if not requests:
                return
        raise StoreError(
            f"put_decisions: table {self._table.name} left {len(requests)} of {len(items)} rows"
            f" unwritten after {BATCH_TRIES_MAX} tries"
        )
