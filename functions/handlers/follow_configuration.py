"""A worker follows its account's configuration while it runs.

    nudge (NATS) ─┐
    every 5 s ────┼─▶ read what is in force ─▶ replace it as a whole ─▶ the next book
    claim refused ┘

What a trade was decided under it is executed under, and its claim names that version: whatever a
worker has not heard of yet, the claim's condition has. So nothing here is needed for a limit to
hold, only for a worker to go on trading after a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from functions.core.configuration import (
    Configuration,
    ConfigurationError,
    configuration_of,
    differences,
    flat,
)
from functions.ports import Store, StoreError
from runtime.line_throttle import LineThrottle
from strategies.parameters import StrategyParameters

READ_EVERY_S: Final = 5.0
"""A worker whom no nudge has reached knows after this and one read: within ten seconds."""
AGAIN_S: Final = 1.0
"""After a read that failed."""
TELL_AFTER: Final = 10
"""So many reads that failed in a row are told: it may be what is stored, not the store."""
PAUSE_S: Final = 0.1
"""Between two reads, whoever nudges."""
_log = structlog.get_logger()


class ConfigurationInForce:
    """The configuration of one account, as far as this worker knows; replaced as a whole."""

    def __init__(self, first: Configuration) -> None:
        self.now = first
        self._listeners: list[Callable[[Configuration], None]] = []

    def tell(self, listener: Callable[[Configuration], None]) -> None:
        """Call it with the one that is in force now, and with each later one."""
        listener(self.now)
        self._listeners.append(listener)

    def put(self, configuration: Configuration) -> None:
        """From here on this one is in force."""
        self.now = configuration
        for listener in self._listeners:
            listener(configuration)


class ConfigurationFollower:
    """Keeps one account's `in_force` up to date."""

    def __init__(
        self,
        store: Store,
        in_force: ConfigurationInForce,
        *,
        account_name: str,
        parameters: type[StrategyParameters],
    ) -> None:
        self._store = store
        self._in_force = in_force
        self._account_name = account_name
        self._parameters = parameters
        self._problem: str | None = None
        self._wanted = asyncio.Event()
        self._failures, self._failed = LineThrottle(), 0
        self._wanted.set()  # it may have changed since it was read at the start

    def look(self) -> None:
        """There seems to be another version: read it now."""
        self._wanted.set()

    def problem(self) -> str | None:
        """Why this worker cannot follow what is in force, and so claims nothing; None if it can."""
        return self._problem

    async def run(self) -> None:
        """Read again and again, until cancelled."""
        wait_s = READ_EVERY_S
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            wait_s = READ_EVERY_S if await self._read() else AGAIN_S
            await asyncio.sleep(PAUSE_S)

    async def _read(self) -> bool:
        """False when the store gave no answer."""
        try:
            row = await self._store.configuration()
        except StoreError as error:
            if (unlogged := self._failures.admit()) is not None:
                _log.warning(
                    "configuration_not_read",
                    account=self._account_name,
                    error=str(error),
                    unlogged_before=unlogged,
                )
            self._failed += 1
            if self._failed >= TELL_AFTER:
                self._problem = f"the configuration of {self._account_name}: {error}"
            return False
        self._failed = 0
        before = self._in_force.now
        if row is None:
            self._cannot_follow(f"the account {self._account_name} has no configuration: restart")
            return True
        if row.version == before.version:
            self._problem = None
            return True
        try:
            after = configuration_of(row, before.strategy, self._parameters)
        except ConfigurationError as error:
            self._cannot_follow(str(error))
            return True
        self._problem = None
        self._in_force.put(after)
        changes = differences(
            flat(before.settings, before.parameters), flat(after.settings, after.parameters)
        )
        _log.info(
            "configuration_changed",
            account=self._account_name,
            version=after.version,
            who=row.who,
            why=row.why,
            changes=[f"{each.name}: {each.before} -> {each.after}" for each in changes],
        )
        return True

    def _cannot_follow(self, why: str) -> None:
        if why != self._problem:
            _log.error("configuration_not_followed", account=self._account_name, why=why)
        self._problem = why
