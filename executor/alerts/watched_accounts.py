"""The accounts, read every few seconds: their items, the limits in force, and what has ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import Final

import structlog

from executor.alerts.alert import SeenAccount
from functions.bootstrap import unopened_stores
from functions.core.claim import Claim
from functions.core.configuration import ConfigurationError, settings_in
from functions.ports import Store, StoreError, UnreadableRowsError
from functions.settings import LimitSettings
from protocol.units import to_usd_e6
from runtime.addresses import origins
from runtime.line_throttle import LineThrottle

LOOK_EVERY_S: Final = 5.0
STALE_AFTER_MS: Final = 30_000
"""A look that old has told nothing: calls are bounded, so the store is slow or gone."""
ENDED_EVERY_S: Final = 60.0
ALL_ENDED_EVERY_S: Final = 3_600.0
_RECENT_MS: Final = 3 * 3_600_000
"""Claims made so recently end now; those that are reopened are of the last hour."""
_ALL_MS: Final = 31 * 3_600_000
"""A day, and until its digest is told."""
_AHEAD_MS: Final = 3_600_000
_log = structlog.get_logger()


class WatchedAccounts:
    """`stores` is filled once they can be reached; what `seen` tells is at most seconds old."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._began_ms = _now_ms()
        self._problem = "it has not been reached yet"
        self._throttle = LineThrottle()
        self.stores: dict[str, Store] = {}
        self._seen: dict[str, SeenAccount] = {}
        self._read_at_ms: dict[str, int] = {}
        self._ended: dict[str, dict[str, Claim]] = {}

    def seen(self, now_ms: int) -> tuple[SeenAccount, ...]:
        """Each account of STRATEGIES; one that was not read lately has no `account`."""
        return tuple(self._of(one, now_ms) for one in self._settings.each())

    async def run(self) -> None:
        """Until cancelled. What only a person can mend does not end it, either: that is told."""
        async with AsyncExitStack() as stack:
            self.stores.update(await self._opened(stack))
            each = self._settings.each()
            await asyncio.gather(*(self._follow(one, self.stores[one.account]) for one in each))

    async def _opened(self, stack: AsyncExitStack) -> dict[str, Store]:
        while True:
            try:
                return await stack.enter_async_context(unopened_stores(self._settings))
            except Exception as error:  # noqa: BLE001 - whatever it is, a person is to know of it
                self._problem = _said(error)
                if (unlogged := self._throttle.admit()) is not None:
                    _log.warning("state_not_opened", error=self._problem, unlogged_before=unlogged)
            await asyncio.sleep(LOOK_EVERY_S)

    def _of(self, one: LimitSettings, now_ms: int) -> SeenAccount:
        read_at_ms = self._read_at_ms.get(one.account, self._began_ms)
        seen = self._seen.get(one.account) or SeenAccount(
            name=one.account,
            execution=one.execution,
            limits=one.limits(),
            problem=self._problem,
            unread_since_ms=self._began_ms,
        )
        if seen.account is None or now_ms - read_at_ms <= STALE_AFTER_MS:
            return seen
        return SeenAccount(
            name=seen.name,
            execution=seen.execution,
            limits=seen.limits,
            problem="the store does not answer",
            unread_since_ms=read_at_ms,
        )

    async def _follow(self, one: LimitSettings, store: Store) -> None:
        ended_at_s = all_at_s = float("-inf")
        while True:
            now_s = time.monotonic()
            try:
                if now_s - all_at_s >= ALL_ENDED_EVERY_S:
                    await self._read_ended(one.account, store, _ALL_MS)
                    ended_at_s = all_at_s = now_s
                elif now_s - ended_at_s >= ENDED_EVERY_S:
                    await self._read_ended(one.account, store, _RECENT_MS)
                    ended_at_s = now_s
                seen = await self._read(one, store)
            except StoreError as error:
                seen = self._unread(one, _said(error))
            except Exception as error:  # noqa: BLE001 - the others, and the alerts, go on
                _log.error("account_not_watched", account=one.account, exc_info=error)
                seen = self._unread(one, type(error).__name__)
            self._seen[one.account] = seen
            await asyncio.sleep(LOOK_EVERY_S)

    async def _read(self, one: LimitSettings, store: Store) -> SeenAccount:
        account = await store.account()
        row = await store.configuration()
        limits, size_e6 = one.limits(), 0
        if row is not None:
            with contextlib.suppress(ConfigurationError):  # a worker says so, and takes no order
                configured = settings_in(row)
                limits, size_e6 = configured.limits(row.version), to_usd_e6(configured.size_usd)
        self._read_at_ms[one.account] = _now_ms()
        return SeenAccount(
            name=one.account,
            execution=one.execution,
            account=account,
            limits=limits,
            size_e6=size_e6,
            ended=tuple(self._ended.get(one.account, {}).values()),
        )

    def _unread(self, one: LimitSettings, problem: str) -> SeenAccount:
        return SeenAccount(
            name=one.account,
            execution=one.execution,
            limits=one.limits(),
            problem=problem,
            unread_since_ms=self._read_at_ms.get(one.account, self._began_ms),
        )

    async def _read_ended(self, name: str, store: Store, span_ms: int) -> None:
        now_ms = _now_ms()
        try:
            rows = await store.ledger(now_ms - span_ms, now_ms + _AHEAD_MS)
        except UnreadableRowsError as error:  # reconciliation and `executor doctor` say which
            rows = error.readable
        known = self._ended.setdefault(name, {})
        for claim in rows:
            known[claim.intent_id] = claim
        for claim in list(known.values()):
            if claim.claimed_at_ms < now_ms - _ALL_MS:
                del known[claim.intent_id]


def _said(error: Exception) -> str:
    text = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
    return " ".join(origins(text).split())[:200]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
