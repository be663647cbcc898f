"""An account's change and its group's half of it, in one transaction; and tries after a conflict.

DynamoDB refuses a transaction while another write is under way on one of its items
(TransactionConflict), and a single write while a transaction is. All claims of a group touch the
group's item, so under a collective limit that is no rarity: it is tried again, a few times, each
time after a longer pause. What `benchmarks/collective_claims.py` computes of it stands in
docs/explanation/decisions.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from functions.adapters.dynamodb.group_requests import group_key, opening_request
from functions.adapters.dynamodb.items import Item
from functions.adapters.dynamodb.table import MissingPathError, Table
from functions.ports import StoreBusyError

_T = TypeVar("_T")

CONFLICT_PAUSES_S: Final = (0.02, 0.04, 0.08, 0.08, 0.08, 0.08, 0.08)
"""Less than half a second in all: a book lives about a second."""


async def tried_again(call: Callable[[], Awaitable[_T]], pauses_s: tuple[float, ...]) -> _T:
    """`call`, which is idempotent, until it is not refused as busy; once more for each pause.

    Raises what the last of them raises.
    """
    for pause_s in pauses_s:
        try:
            return await call()
        except StoreBusyError:
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter
    return await call()


class Together:
    """Changes of one account's item together with that of its group."""

    def __init__(
        self, table: Table, account_key: Item, open_account: Callable[[], Awaitable[Any]]
    ) -> None:
        self._table = table
        self._account_key = account_key
        self._open_account = open_account

    async def write(
        self, what: str, group: str, request: dict[str, Any], half: dict[str, Any], *more: Any
    ) -> None:
        """`request` on the account and `half` on the group named `group`, both or none; and `more`
        parts of the transaction. Raises ConditionFailedError."""
        old = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        writes = (
            {"Update": {"Key": self._account_key, **old, **request}},
            {"Update": {"Key": group_key(group), **old, **half}},
            *more,
        )

        async def once() -> None:
            try:
                await self._table.transact(what, *writes)
            except MissingPathError:  # an item of an older version, or none
                await self._open_account()
                await self._table.update(what, Key=group_key(group), **opening_request())
                await self._table.transact(what, *writes)

        await tried_again(once, CONFLICT_PAUSES_S)
