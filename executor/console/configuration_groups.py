"""The limits of the groups that the accounts are of, and what they count. Changed by command."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from executor.console.view import Shared
from functions.core.account import utc_day
from functions.core.collective import CollectiveState
from functions.core.collective_configuration import (
    CollectiveConfiguration,
    collective_settings_in,
)
from functions.core.configuration import ConfigurationError, shown
from functions.ports import StoreError
from runtime.addresses import origins
from runtime.output import one_line

READ_EVERY_S: Final = 5.0


class GroupNow(msgspec.Struct, frozen=True, kw_only=True):
    """One group, as it was read last. Amounts in 1e-6 USD."""

    name: str
    limits: dict[str, str] = {}
    """By name, as a person writes them; empty: there are none."""
    version: int = 0
    exposure_e6: int = 0
    pnl_e6: int = 0
    """Today's."""
    error: str = ""


class GroupsNow:
    """`of`: by name."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._accounts = {one.group_item: one.account for one in shared.settings.each()}
        """Of each group, one account whose store leads to it."""
        self._read_at_s = float("-inf")
        self.of: dict[str, GroupNow] = {}

    async def read(self) -> None:
        """All of them, if that is due. Raises nothing."""
        if time.monotonic() - self._read_at_s < READ_EVERY_S:
            return
        self._read_at_s = time.monotonic()
        for name, account in self._accounts.items():
            store = self._shared.stores.get(account)
            if store is None:
                continue
            try:
                group = store.group(name)
                row, state = await group.configuration(), await group.state()
                limits = None if row is None else collective_settings_in(row)
            except (StoreError, ConfigurationError) as error:
                self.of[name] = GroupNow(name=name, error=one_line(origins(str(error))))
                continue
            version = 0 if row is None else row.version
            self.of[name] = self._now(name, version, limits, state or CollectiveState())

    def _now(
        self,
        name: str,
        version: int,
        limits: CollectiveConfiguration | None,
        state: CollectiveState,
    ) -> GroupNow:
        values = {} if limits is None else limits.model_dump()
        return GroupNow(
            name=name,
            limits={each: shown(value) for each, value in values.items()},
            version=version,
            exposure_e6=state.exposure_e6,
            pnl_e6=state.pnl_e6.get(utc_day(self._shared.now_ms()), 0),
        )
