"""The item of a group of accounts on DynamoDB: what they may do together, and what they have done.

See `functions.adapters.dynamodb.group_requests` for what the items look like. Claims and their
changes write to the group's item from `functions.adapters.dynamodb.store`, never from here.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, Final

from functions.adapters.dynamodb.conditions import GROUP_IS_AS_SEEN
from functions.adapters.dynamodb.configurations import Configurations
from functions.adapters.dynamodb.group_requests import (
    ACCOUNT_PREFIX,
    binding_request,
    group_key,
    joining_request,
    member_key,
    opening_request,
    pruning_request,
    state_of,
)
from functions.adapters.dynamodb.items import account_key, account_of
from functions.adapters.dynamodb.table import ConditionFailedError, Table
from functions.adapters.dynamodb.together import CONFLICT_PAUSES_S, tried_again
from functions.core.account import Account
from functions.core.collective import CollectiveState
from functions.core.configuration import ConfigurationRow
from functions.ports import StoreDeniedError, StoreError

MEMBERS_MAX: Final = 100
PAGES_MAX: Final = 2


class DynamoGroup:
    """`functions.ports.GroupStore`."""

    def __init__(self, table: Table, name: str) -> None:
        self.name = name
        self._table = table
        self._key = group_key(name)
        self._configurations = Configurations(table, self._key)

    async def join(self, account_name: str) -> None:
        """See `GroupStore.join`."""
        await self._table.put("join_group", Item=member_key(self.name, account_name))
        await self._say("join_group", account_name, joining_request(self.name))

    async def open(self, account_name: str | None) -> CollectiveState:
        """See `GroupStore.open`."""
        if account_name is not None:
            await self.join(account_name)
        update = partial(self._table.update, "open_group", Key=self._key, **opening_request())
        state = state_of((await tried_again(update, CONFLICT_PAUSES_S)).get("Attributes", {}))
        denied: list[StoreDeniedError] = []
        for name in await self._names() if account_name is None else (account_name,):
            try:
                await self._say("bind_to_group", name, binding_request(self.name))
            except StoreDeniedError as error:  # a role in the cloud writes what it serves
                denied.append(error)
        if denied:
            raise denied[0]
        return state

    async def _say(self, what: str, account_name: str, request: dict[str, Any]) -> None:
        """In the account's item, if it does not say so yet."""
        update = partial(self._table.update, what, Key=account_key(account_name), **request)
        with suppress(ConditionFailedError):
            await tried_again(update, CONFLICT_PAUSES_S)

    async def state(self) -> CollectiveState | None:
        """See `GroupStore.state`."""
        item = await self._table.get("group", Key=self._key, ConsistentRead=True)
        return None if item is None else state_of(item)

    async def accounts(self) -> dict[str, Account]:
        """See `GroupStore.accounts`."""
        items = {
            name: await self._table.get("account", Key=account_key(name), ConsistentRead=True)
            for name in await self._names()
        }
        return {name: account_of(item) for name, item in items.items() if item is not None}

    async def _names(self) -> list[str]:
        """Of the accounts that have ever joined."""
        rows = await self._table.query(
            "group_accounts",
            pages_max=PAGES_MAX,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :account)",
            ExpressionAttributeValues={
                ":pk": self._key["pk"],
                ":account": {"S": ACCOUNT_PREFIX},
            },
            ConsistentRead=True,
        )
        names = [str(row["sk"]["S"]).removeprefix(ACCOUNT_PREFIX) for row in rows]
        if len(names) > MEMBERS_MAX:
            raise StoreError(f"group {self.name}: more than {MEMBERS_MAX} accounts")
        return names

    async def prune(self, seen: CollectiveState, now_ms: int) -> None:
        """See `GroupStore.prune`."""
        request = pruning_request(seen, now_ms)
        if request is not None:
            with suppress(ConditionFailedError):
                await self._table.update("prune_group", Key=self._key, **request)

    async def correct(self, exposure_e6: int, seen: CollectiveState) -> bool:
        """See `GroupStore.correct`."""
        try:
            await self._table.update(
                "correct_group",
                Key=self._key,
                UpdateExpression="SET exposure_e6 = :exposed, item_version = item_version + :one",
                ConditionExpression=GROUP_IS_AS_SEEN,
                ExpressionAttributeValues={
                    ":exposed": {"N": str(exposure_e6)},
                    ":seen_version": {"N": str(seen.item_version)},
                    ":one": {"N": "1"},
                },
            )
        except ConditionFailedError:
            return False
        return True

    async def configuration(self) -> ConfigurationRow | None:
        """See `Store.configuration`, of the group's limits."""
        return await self._configurations.in_force()

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        """See `Store.configurations`."""
        return await self._configurations.newest(limit)

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        """See `Store.set_configuration`."""
        return await self._configurations.set(row, seen_version)
