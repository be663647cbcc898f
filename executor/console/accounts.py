"""Each account as it was a second ago, for all views.

They are read while somebody looks: a store may cost money, and nobody is told what is here but by a
page. Who comes when nobody was there has them read before the first page is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from executor.console.audience import Audience
from functions.core.account import Account, Limits, utc_day
from functions.core.account_status import Status, status_of
from functions.core.configuration import ConfigurationError, ConfigurationRow, settings_in
from functions.core.group import Execution
from functions.ports import Store, StoreError
from functions.settings import LimitSettings
from runtime.addresses import origins
from runtime.line_throttle import LineThrottle
from runtime.output import one_line

READ_EVERY_S: Final = 1.0
READ_TIMEOUT_S: Final = 5.0
OLD_MS: Final = 3_000
"""It is read every second: what was read so long ago is not said as if it were so."""
FIRST_READ_TIMEOUT_S: Final = 1.0
"""For the page of who comes first; then it is made of what is there, and says how old that is."""
NOT_OPEN: Final = "the store is not open yet"
_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class AccountNow:
    """What was read last; a reading that failed leaves it as it was, with the error beside it."""

    name: str
    execution: Execution
    account: Account | None = None
    """None: it has not been read yet."""
    limits: Limits
    """Those in force; before there is a configuration, the environment's."""
    status: Status | None = None
    configuration: ConfigurationRow | None = None
    """None: there is none, or it has not been read yet."""
    read_at_ms: int = 0
    """Epoch ms, when the last reading that succeeded began; 0: none has."""
    error: str = NOT_OPEN
    """Why the last reading failed, one line; empty: it did not."""

    def old(self, now_ms: int) -> bool:
        """Whether it may be otherwise by now."""
        return now_ms - self.read_at_ms > OLD_MS


class AccountsNow:
    """`of`: by name, in the order of STRATEGIES."""

    def __init__(
        self,
        settings: Sequence[LimitSettings],
        stores: Mapping[str, Store],
        now_ms: Callable[[], int],
    ) -> None:
        self._stores, self._now_ms = stores, now_ms
        self.of: dict[str, AccountNow] = {
            one.account: AccountNow(
                name=one.account, execution=one.entries[0].execution, limits=one.limits()
            )
            for one in settings
        }
        self._defects = LineThrottle()
        self._begun = {name: now.limits for name, now in self.of.items()}

    def read_at_ms(self) -> int:
        """Epoch ms of the reading that is the oldest, of accounts that were read at all; 0: there
        is none."""
        read = [now.read_at_ms for now in self.of.values() if now.read_at_ms]
        return min(read, default=0)

    async def run(self, audience: Audience) -> None:
        """Read all again and again while somebody looks; an account that hangs holds up no
        other."""
        async with asyncio.TaskGroup() as group:
            for name in self.of:
                group.create_task(self._follow(name, audience))

    async def read_first(self) -> None:
        """All of them, once, for who has just come. Raises nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READ_TIMEOUT_S):
                await asyncio.gather(*(self.read(name) for name in self.of))

    async def _follow(self, name: str, audience: Audience) -> None:
        while True:
            await audience.come()
            await self.read(name)
            await asyncio.sleep(READ_EVERY_S)

    async def read(self, name: str) -> None:
        """Once, now; whoever has changed something wants to see it. Raises nothing."""
        store = self._stores.get(name)
        if store is None:
            return
        asked_at_ms = self._now_ms()  # a slow store tells of then
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                account, row = await store.account(), await store.configuration()
        except (StoreError, TimeoutError) as error:
            text = one_line(origins(str(error))) or f"no answer within {READ_TIMEOUT_S:g} s"
            self._change(name, error=text)
            return
        except Exception as error:  # noqa: BLE001 - a defect must not take the halt button away
            if (unlogged := self._defects.admit()) is not None:
                _log.error(
                    "console_account_failed", account=name, exc_info=error, unlogged_before=unlogged
                )
            self._change(name, error=f"a defect, {type(error).__name__}: the log says more")
            return
        limits, why = self._begun[name], ""
        if row is not None:
            try:
                limits = settings_in(row).limits(row.version)
            except ConfigurationError as error:
                why = f"configuration {row.version} cannot be read by this version: {error}"
        now_ms = self._now_ms()
        self._change(
            name,
            account=account,
            limits=limits,
            status=status_of(name, account, limits, now_ms, utc_day(now_ms)),
            configuration=row,
            read_at_ms=asked_at_ms,
            error=why,
        )

    def _change(self, name: str, **changes: object) -> None:
        self.of[name] = AccountNow(**{**vars(self.of[name]), **changes})
