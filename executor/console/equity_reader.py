"""The ledger of the last days, read once and then kept up with.

A claim that ends is put into the ledger before it is taken out of its account, and may have been
made long before. So new rows are found in three ways: a claim that is in the account no more, those
that were claimed in the last minutes, and now and then the last two days again, for late evidence
changes rows that are there. While nobody looks nothing is read; then the time since is read, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from executor.console.accounts import AccountsNow
from executor.console.audience import Audience
from executor.console.equity_sums import DAY_MS, LedgerRows
from functions.core.claim import Claim
from functions.ports import Store, StoreError, UnreadableRowsError
from runtime.addresses import origins
from runtime.output import one_line

DAYS: Final = 31
READ_EVERY_S: Final = 3.0
BETWEEN_DAYS_S: Final = 0.05
READ_TIMEOUT_S: Final = 20.0
RECENT_MS: Final = 120_000
AGAIN_EVERY_MS: Final = 600_000
GONE_MAX: Final = 32
"""Rows that are asked for one by one; of more, the whole time from the first to the last is."""


class LedgerReader:
    """`rows`: what has been read so far; `problems`: by account, one line."""

    def __init__(
        self, accounts: AccountsNow, stores: Mapping[str, Store], now_ms: Callable[[], int]
    ) -> None:
        self._accounts, self._stores, self._now_ms = accounts, stores, now_ms
        self.rows = LedgerRows()
        self.problems: dict[str, str] = {}
        self.unreadable: dict[str, int] = {}
        """By account, how many rows cannot be read."""
        self.days_read = dict.fromkeys(accounts.of, 0)
        """By account: of `DAYS`, the newest ones."""
        self._again_at_ms: dict[str, int] = {}
        self._read_at_ms: dict[str, int] = {}
        self._live: dict[str, dict[str, Claim]] = {}

    async def run(self, audience: Audience) -> None:
        """Read what is there, newest days first, then what comes while somebody looks, until
        cancelled. An account that hangs holds up no other."""
        async with asyncio.TaskGroup() as group:
            for name in self._accounts.of:
                group.create_task(self._keep_reading(name, audience))

    async def _keep_reading(self, name: str, audience: Audience) -> None:
        while True:
            await audience.come()
            done = await self.read(name)
            begins = done and self.days_read[name] < DAYS
            await asyncio.sleep(BETWEEN_DAYS_S if begins else READ_EVERY_S)

    async def read(self, name: str) -> bool:
        """One step: whether it was done. What fails is done again with the next one."""
        now_ms = self._now_ms()
        if now_ms - self._read_at_ms.get(name, now_ms) > DAY_MS:
            self.days_read[name] = 0  # day by day, as at the start
        days = self.days_read[name]
        spans, live = self._ended(name, now_ms)
        if days < DAYS:
            newest_ms = now_ms + DAY_MS if days == 0 else now_ms - (days - 1) * DAY_MS
            spans.append((now_ms - (days + 1) * DAY_MS, newest_ms))
        elif now_ms >= self._again_at_ms.get(name, 0):
            spans.append((now_ms - 2 * DAY_MS, now_ms + DAY_MS))
        for since_ms, until_ms in spans:
            if not await self._between(name, since_ms, until_ms):
                self._live[name] = self._live.get(name, {}) | live
                return False
        self.problems.pop(name, None)
        self._live[name], self._read_at_ms[name] = live, now_ms
        if days < DAYS:
            self.days_read[name] += 1
        elif now_ms >= self._again_at_ms.get(name, 0):
            self._again_at_ms[name] = now_ms + AGAIN_EVERY_MS
            self.rows.forget_before(now_ms - DAYS * DAY_MS)
        return True

    def _ended(self, name: str, now_ms: int) -> tuple[list[tuple[int, int]], dict[str, Claim]]:
        """Where rows are that have come since the last step, and the claims that live now."""
        account = self._accounts.of[name].account
        before = self._live.get(name, {})
        if account is None:
            return [], before
        claims = account.claims.values()
        self.rows.put(name, claims)  # ended, and not filed yet: the account counts them
        live = {claim.intent_id: claim for claim in claims if not claim.ended}
        gone = sorted({each.claimed_at_ms for key, each in before.items() if key not in live})
        spans = [(at_ms, at_ms + 1) for at_ms in gone]
        if len(spans) > GONE_MAX:
            spans = [(gone[0], gone[-1] + 1)]
        read_at_ms = self._read_at_ms.get(name, now_ms)
        return [*spans, (min(now_ms, read_at_ms) - RECENT_MS, now_ms + DAY_MS)], live

    async def _between(self, name: str, since_ms: int, until_ms: int) -> bool:
        """Whether it was read."""
        store = self._stores.get(name)
        if store is None:
            return False
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                claims = await store.ledger(since_ms, until_ms)
        except UnreadableRowsError as error:
            self.unreadable[name] = max(self.unreadable.get(name, 0), len(error.unreadable))
            claims = error.readable
        except (StoreError, TimeoutError) as error:
            why = one_line(origins(str(error))) or f"no answer within {READ_TIMEOUT_S:g} s"
            self.problems[name] = why
            return False
        self.rows.put(name, claims)
        return True
