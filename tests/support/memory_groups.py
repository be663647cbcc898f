"""A group's item in memory, shared by the memory stores of its accounts."""

from __future__ import annotations

from typing import Any

import msgspec

from functions.core.account import Account, ClaimRefusal
from functions.core.claim import Claim
from functions.core.collective import (
    CollectiveLimits,
    CollectiveState,
    collective_refusal_of,
    exposed_e6,
    exposure_difference,
)
from functions.core.configuration import ConfigurationRow
from tests.support.memory_numbers import DAYS_KEPT_MS, added, day_of


class MemoryGroup:
    """`functions.ports.GroupStore`, as `collective_contract.py` holds it against the real one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.item: CollectiveState | None = None
        self.members: dict[str, Any] = {}
        """Memory stores by the name of their account; None: of an account that is not there."""
        self.config_rows: dict[int, ConfigurationRow] = {}

    async def join(self, account_name: str) -> None:
        store = self.members.setdefault(account_name, None)
        if store is not None and store.of_group != self.name:
            store.of_group = self.name
            _bind(store, "")

    async def open(self, account_name: str | None) -> CollectiveState:
        if account_name is not None:
            await self.join(account_name)
        self.item = self.item or CollectiveState()
        for name in self.members if account_name is None else (account_name,):
            store = self.members[name]
            if store is not None and store.of_group == self.name:
                _bind(store, self.name)
        return self.item

    async def state(self) -> CollectiveState | None:
        return self.item

    async def accounts(self) -> dict[str, Account]:
        stores = {name: store for name, store in self.members.items() if store is not None}
        return {name: store.item for name, store in sorted(stores.items()) if store.item}

    async def prune(self, seen: CollectiveState, now_ms: int) -> None:
        assert self.item is not None
        oldest = day_of(now_ms - DAYS_KEPT_MS)
        kept = {day: pnl for day, pnl in self.item.pnl_e6.items() if day >= oldest}
        self.item = msgspec.structs.replace(self.item, pnl_e6=kept)

    async def correct(self, exposure_e6: int, seen: CollectiveState) -> bool:
        if self.item is None or self.item.item_version != seen.item_version:
            return False
        self._count(exposure_e6 - self.item.exposure_e6)
        return True

    async def configuration(self) -> ConfigurationRow | None:
        version = 0 if self.item is None else self.item.config_version
        return self.config_rows[version] if version else None

    async def configurations(self, limit: int) -> list[ConfigurationRow]:
        return [self.config_rows[each] for each in sorted(self.config_rows, reverse=True)][:limit]

    async def set_configuration(self, row: ConfigurationRow, seen_version: int) -> bool:
        if self.item is None or self.item.config_version != seen_version:
            return self.config_rows.get(row.version) == row
        self.config_rows[row.version] = row
        self.item = msgspec.structs.replace(self.item, config_version=row.version)
        return True

    # -- what the memory stores call ---------------------------------------------------------------

    def refusal(self, claim: Claim, limits: CollectiveLimits, today: str) -> ClaimRefusal | None:
        return collective_refusal_of(self.item, claim, limits, today)

    def claimed(self, claim: Claim) -> None:
        self._count(exposed_e6(claim))

    def moved(self, claim: Claim, seen: Claim) -> None:
        exposed, pnl_e6 = exposure_difference(claim, seen), claim.pnl_e6 - seen.pnl_e6
        if exposed or pnl_e6:
            self._count(exposed)
            assert self.item is not None
            days = added(self.item.pnl_e6, day_of(claim.booked_at_ms), pnl_e6)
            self.item = msgspec.structs.replace(self.item, pnl_e6=days)

    def _count(self, exposed: int) -> None:
        state = self.item or CollectiveState()
        self.item = msgspec.structs.replace(
            state,
            exposure_e6=state.exposure_e6 + exposed,
            item_version=state.item_version + 1,
        )


def _bind(store: Any, group: str) -> None:
    if store.item is not None:
        store.item = msgspec.structs.replace(store.item, collective=group)
