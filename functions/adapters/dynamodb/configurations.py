"""The versions of an account's configuration, one row each, beside the account.

    STRATEGY#<name>   ACCOUNT                       config_version: the version in force
    STRATEGY#<name>   CONFIG#<version, 10 digits>   `ConfigurationRow`, never changed

A change is one transaction: the next version's row is new AND the account is still of the version
that was seen. So versions are in force in their order, none is skipped, and each claim, whose
condition names its version, is before the change or after it.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import msgspec

from functions.adapters.dynamodb.conditions import CONFIGURATION_IS_AS_SEEN, ROW_IS_NEW
from functions.adapters.dynamodb.items import (
    MALFORMED,
    Item,
    all_of,
    attributes_of,
    plain_value,
)
from functions.adapters.dynamodb.table import ConditionFailedError, Table
from functions.core.configuration import ConfigurationRow
from functions.ports import StoreBusyError, StoreError

BUSY_TRIES: Final = 8
"""Of a change beside claims: each of them keeps a transaction on the same item away."""
BUSY_PAUSE_S: Final = 0.03
PAGES_MAX: Final = 5


def configuration_key(of: Item, version: int) -> Item:
    """Primary key of a version's row beside the item with the key `of`."""
    return {"pk": of["pk"], "sk": {"S": f"CONFIG#{version:010d}"}}


def configuration_item(of: Item, row: ConfigurationRow) -> Item:
    """A version's row."""
    fields = attributes_of(msgspec.structs.asdict(row))
    return {**configuration_key(of, row.version), **fields}


def configuration_row_of(item: Item) -> ConfigurationRow:
    """Inverse of `configuration_item`. Raises StoreError naming the malformed attribute."""
    try:
        return msgspec.convert(
            {name: plain_value(each) for name, each in item.items()}, ConfigurationRow
        )
    except MALFORMED as error:
        raise StoreError(f"configuration row: {error}") from error


class Configurations:
    """Those of one account, or of a group of them: of the item with the key `of`."""

    def __init__(self, table: Table, of: Item) -> None:
        self._table = table
        self._of = of

    async def in_force(self) -> ConfigurationRow | None:
        """See `Store.configuration`."""
        item = await self._table.get(
            "configuration",
            Key=self._of,
            ProjectionExpression="config_version",
            ConsistentRead=True,
        )
        try:
            version = 0 if item is None else int(item.get("config_version", {"N": "0"})["N"])
        except MALFORMED as error:
            raise StoreError(f"{self._of['pk']['S']}: config_version: {error!r}") from error
        if version == 0:
            return None
        row = await self._row(version)
        if row is None:
            raise StoreError(f"configuration: version {version} is in force, and has no row")
        return row

    async def newest(self, limit: int) -> list[ConfigurationRow]:
        """See `Store.configurations`."""
        rows = await self._table.query(
            "configurations",
            pages_max=PAGES_MAX,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :config)",
            ExpressionAttributeValues={
                ":pk": self._of["pk"],
                ":config": {"S": "CONFIG#"},
            },
            ScanIndexForward=False,
            Limit=limit,
            ConsistentRead=True,
        )
        return all_of(rows[:limit], configuration_row_of)

    async def set(self, row: ConfigurationRow, seen_version: int) -> bool:
        """See `Store.set_configuration`; on an account that has been opened."""
        if row.version != seen_version + 1:
            raise ValueError(f"after version {seen_version} comes no version {row.version}")
        put = {
            "Item": configuration_item(self._of, row),
            "ConditionExpression": ROW_IS_NEW,
        }
        into_account = {
            "Key": self._of,
            "UpdateExpression": "SET config_version = :version",
            "ConditionExpression": CONFIGURATION_IS_AS_SEEN,
            "ExpressionAttributeValues": {
                ":version": {"N": str(row.version)},
                ":seen_version": {"N": str(seen_version)},
            },
        }
        writes = ({"Put": put}, {"Update": into_account})
        for tries_left in reversed(range(BUSY_TRIES)):
            try:
                await self._table.transact("set_configuration", *writes)
            except ConditionFailedError:
                # Somebody was faster: perhaps we ourselves, and the reply was lost.
                return await self._row(row.version) == row
            except StoreBusyError:
                if not tries_left:
                    raise
                await asyncio.sleep(BUSY_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            else:
                return True
        raise AssertionError("unreachable")

    async def _row(self, version: int) -> ConfigurationRow | None:
        key = configuration_key(self._of, version)
        item = await self._table.get("configuration", Key=key, ConsistentRead=True)
        return None if item is None else configuration_row_of(item)
