"""The limits of a group of accounts, followed by each worker while it runs.

A group whose item nobody has opened has no collective limits, and its accounts' claims stay one
write. It is opened by the first worker whose environment sets a limit, or by a person's command;
from then on every claim of its accounts is counted, whatever is limited, and one of a worker that
does not know of it yet is refused. As with an account's configuration the condition of the claim,
not this, makes a limit hold.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from functions.core.collective import CollectiveLimits
from functions.core.collective_configuration import (
    CollectiveConfiguration,
    collective_limits_of,
    collective_row,
    collective_settings_in,
)
from functions.core.configuration import ConfigurationError, ConfigurationRow, shown
from functions.ports import GroupStore, StoreDeniedError, StoreError
from runtime.line_throttle import LineThrottle

READ_EVERY_S: Final = 5.0
AGAIN_S: Final = 1.0
"""After a read that failed."""
TELL_AFTER: Final = 10
"""So many reads that failed in a row are told: it may be what is stored, not the store."""
PAUSE_S: Final = 0.1
"""Between two reads, whoever asks for one."""
WHY: Final = "the first version: from the environment of the worker that was first"
_log = structlog.get_logger()


async def open_group(
    group: GroupStore, account_names: Sequence[str], variables: Mapping[str, Any], who: str
) -> CollectiveLimits | None:
    """What holds for the accounts at their start; None: their group has no collective limits.

    `variables`: the limits that the environment sets, by name; they become version 1 if there is
    none. Raises StoreError; ConfigurationError, one line for a person, where what is stored cannot
    be followed or contradicts a variable.
    """
    for name in account_names:
        await group.join(name)
    if not variables and await group.state() is None:
        return None
    for name in account_names:
        await group.open(name)
    row = await group.configuration()
    if row is None:
        if not variables:
            return CollectiveLimits(name=group.name, config_version=0)
        try:
            await group.open(None)
        except StoreDeniedError as error:
            # Of accounts that have joined once; those that are served now were asked before.
            _log.error("group_not_told_to_all", group=group.name, error=str(error))
        first = collective_row(
            CollectiveConfiguration(**variables),
            version=1,
            who=who,
            why=WHY,
            made_at_ms=time.time_ns() // 1_000_000,
        )
        await group.set_configuration(first, 0)  # False: another worker was faster
        row = await group.configuration()
        if row is None:
            raise StoreError(f"group {group.name}: it has no limits, and takes none")
    stored = collective_settings_in(row).model_dump()
    for name, value in variables.items():
        if shown(value) != shown(stored[name]):
            raise ConfigurationError(
                f"{name.upper()}={shown(value)} (stored: {shown(stored[name])}): the environment"
                f" contradicts version {row.version} of the limits of the group {group.name},"
                f" which count; unset it, or change what is stored: executor config set --group"
                f" {group.name} {name}={shown(value)} --why ..."
            )
    return collective_limits_of(row, group.name)


class GroupFollower:
    """Keeps `now` up to date, for all accounts of the group that a worker serves."""

    def __init__(
        self, group: GroupStore, first: CollectiveLimits | None, account_names: Sequence[str]
    ) -> None:
        self.now = first
        self.name = group.name
        self._group = group
        self._account_names = tuple(account_names)
        self._listeners: list[Callable[[], None]] = []
        self._joined = first is not None
        self._problem: str | None = None
        self._wanted = asyncio.Event()
        self._failures, self._failed = LineThrottle(), 0

    def tell(self, listener: Callable[[], None]) -> None:
        """Call it with each change: what was refused before may be taken now."""
        self._listeners.append(listener)

    def look(self) -> None:
        """There seems to be another version: read it now."""
        self._wanted.set()

    def problem(self) -> str | None:
        """Why this worker cannot follow what is in force, None if it can."""
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
            wait_s = READ_EVERY_S if await self.read() else AGAIN_S
            await asyncio.sleep(PAUSE_S)

    async def read(self) -> bool:
        """Follow what is in force. False when the store gave no answer."""
        row: ConfigurationRow | None = None
        try:
            there = await self._group.state() is not None
            if there:
                row = await self._group.configuration()
            if there and not self._joined:
                for name in self._account_names:
                    await self._group.open(name)
                self._joined = True
        except StoreError as error:
            if (unlogged := self._failures.admit()) is not None:
                _log.warning(
                    "group_not_read",
                    group=self._group.name,
                    error=str(error),
                    unlogged_before=unlogged,
                )
            self._failed += 1
            if self._failed >= TELL_AFTER:
                self._problem = f"the limits of the group {self._group.name}: {error}"
            return False
        self._failed = 0
        try:
            limits = CollectiveLimits(name=self._group.name, config_version=0) if there else None
            if row is not None:
                limits = collective_limits_of(row, self._group.name)
        except ConfigurationError as error:
            if str(error) != self._problem:
                _log.error("group_not_followed", group=self._group.name, why=str(error))
            self._problem = str(error)
            return True
        self._problem = None
        if limits is None and self.now is not None:
            # Its item is gone: each claim is refused until a person has set the limits again.
            self._problem = f"the group {self._group.name} has no limits any more: set them again"
        elif limits != self.now:
            self.now = limits
            _log.info(
                "group_changed",
                group=self._group.name,
                version=0 if row is None else row.version,
                who="" if row is None else row.who,
                why="" if row is None else row.why,
            )
            for listener in self._listeners:
                listener()
        return True
