"""Changing the configurations of running accounts, as a person would, while everything fails.

It takes the services' door to the store, which may lose its answer: then nobody knows whether the
version is there. What is known to have returned binds every claim that is made later; that is for
`sandbox.chaos.claim_watch` and `sandbox.chaos.limit_audit` to judge.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Final

from functions.adapters.configuration_nudge import nudge
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.configuration import changed, configuration_of, configuration_row
from functions.core.group import AccountEntry
from functions.ports import StoreError
from functions.strategy_loading import load_strategy
from local.child import ChildError
from runtime.nats_settings import NatsSettings
from sandbox.audit_input import reading_store
from sandbox.chaos.claim_watch import ClaimWatch
from sandbox.chaos.plan import retunings
from sandbox.cluster import Cluster
from sandbox.services import STATE_TABLE

WHO: Final = "chaos"
CHANGE_TIMEOUT_S: Final = 10.0
BEGIN_TIMEOUT_S: Final = 30.0
POSITIONS: Final = "max_positions"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Returned:
    """A change that is known to be in force."""

    account: str
    version: int
    at_ms: int
    """When its writer had the answer."""


class Retuner:
    """Of all accounts of a run."""

    def __init__(
        self, cluster: Cluster, dynamodb_url: str, watches: Mapping[str, ClaimWatch]
    ) -> None:
        self._dynamodb_url = dynamodb_url
        # Nothing of a person's environment: the sandbox's server knows no users.
        self._nats = NatsSettings(nats_url=cluster.nats_url, nats_user=None, nats_password=None)
        self._accounts = cluster.options.accounts
        self._positions = cluster.options.max_positions
        self._watches = watches
        self._allowed: dict[str, int] = {}
        self.returned: list[Returned] = []
        self.lowered = 0
        """Changes after which an account may have fewer positions than before."""
        self.not_known = 0

    async def begin(self) -> None:
        """Give each account its positions once a worker has seeded its configuration.

        Raises ChildError when none does.
        """
        until_s = time.monotonic() + BEGIN_TIMEOUT_S
        for entry in self._accounts:
            while not await self._change(entry, {POSITIONS: str(self._positions)}):
                if time.monotonic() > until_s:
                    raise ChildError(f"{entry.account} has no configuration that can be changed")
                await asyncio.sleep(0.2)  # the fact is another process's

    async def run(self, seed: int) -> None:
        """Change one after the other until cancelled."""
        strategies = [entry.strategy for entry in self._accounts]
        for each in retunings(seed, strategies, self._positions):
            await asyncio.sleep(each.after_s)
            await self._change(self._accounts[each.account], each.changes)

    async def _change(self, entry: AccountEntry, wanted: Mapping[str, str]) -> bool:
        try:
            async with (
                asyncio.timeout(CHANGE_TIMEOUT_S),
                reading_store(self._dynamodb_url, STATE_TABLE, entry.account) as store,
            ):
                version = await self._made(store, entry, wanted)
        except (StoreError, TimeoutError):
            self.not_known += 1
            return False
        if not version:
            return False
        self.returned.append(
            Returned(account=entry.account, version=version, at_ms=time.time_ns() // 1_000_000)
        )
        self._watches[entry.account].binding_version = version
        if POSITIONS in wanted:
            allowed = int(wanted[POSITIONS])
            self.lowered += allowed < self._allowed.get(entry.account, 0)
            self._allowed[entry.account] = allowed
        await nudge(self._nats, entry.account, version)
        return True

    async def _made(
        self, store: DynamoStore, entry: AccountEntry, wanted: Mapping[str, str]
    ) -> int:
        """The version that was made; 0: somebody else was faster, or there is none to change."""
        row = await store.configuration()
        if row is None:
            return 0
        strategy = load_strategy(entry.strategy)
        now = configuration_of(row, strategy.name, strategy.Parameters)
        stored = now.parameters.model_dump()
        settings, parameters = changed(now.settings, stored, strategy.Parameters, wanted)
        after = configuration_row(
            settings,
            parameters,
            version=row.version + 1,
            strategy=row.strategy,
            who=WHO,
            why=" ".join(f"{name}={value}" for name, value in wanted.items()),
            made_at_ms=time.time_ns() // 1_000_000,
        )
        return after.version if await store.set_configuration(after, row.version) else 0
