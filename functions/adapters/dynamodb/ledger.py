"""The ledger of one account: a row a claim that has ended, in the account's partition."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from functions.adapters.dynamodb.conditions import ROW_IS_NOT_NEWER
from functions.adapters.dynamodb.items import (
    account_partition_key,
    all_of,
    claim_attribute,
    claim_of,
    trade_key,
    trade_sort_key,
)
from functions.adapters.dynamodb.table import ConditionFailedError, Table
from functions.core.claim import Claim

LEDGER_PAGES_MAX: Final = 50  # of one megabyte


class Ledger:
    """Each call is bounded in time and raises StoreError."""

    def __init__(self, table: Table, account_name: str) -> None:
        self._table = table
        self._account_name = account_name

    async def put(self, claim: Claim) -> None:
        """See `functions.ports.Store.put_ledger`."""
        with suppress(ConditionFailedError):  # a newer version of the same claim stands there
            await self._table.put(
                "put_ledger",
                Item={**trade_key(self._account_name, claim), **claim_attribute(claim)["M"]},
                ConditionExpression=ROW_IS_NOT_NEWER,
                ExpressionAttributeValues={":version": {"N": str(claim.version)}},
            )

    async def between(self, since_ms: int, until_ms: int) -> list[Claim]:
        """See `functions.ports.AccountReads.ledger`."""
        if since_ms >= until_ms:
            return []
        rows = await self._table.query(
            "ledger",
            pages_max=LEDGER_PAGES_MAX,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": {"S": account_partition_key(self._account_name)},
                ":first": {"S": trade_sort_key(max(since_ms, 0), "")},
                ":last": {"S": trade_sort_key(max(until_ms, 0), "")},
            },
            ConsistentRead=True,
        )
        return all_of(rows, claim_of)

    async def row(self, claim: Claim) -> Claim | None:
        """See `functions.ports.Store.ledger_row`."""
        key = trade_key(self._account_name, claim)
        row = await self._table.get("ledger_row", Key=key, ConsistentRead=True)
        return None if row is None else claim_of(row)
