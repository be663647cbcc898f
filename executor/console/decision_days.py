"""Decisions of a day, read from the store for a page, as far as the page needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from executor.console.decision_rows import PAGE_ROWS, DecisionFilter, DecisionPage, page_of
from functions.ports import Store, StoreError, UnreadableRowsError
from protocol.decision import Decision
from runtime.addresses import origins
from runtime.output import one_line

STEPS: Final = (500, 2_500, 10_000)
"""Rows that are read of a day, of all accounts together: more, the more a page needs."""
READ_TIMEOUT_S: Final = 15.0
FRESH_MS: Final = 30_000
"""So long a day that was read is not read again."""


class DayRead(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a day."""

    day: str
    accounts: tuple[str, ...]
    decisions: tuple[Decision, ...]
    """Newest first, without a gap."""
    complete: bool
    """Nothing of the day is missing."""
    step: int
    read_at_ms: int
    problems: tuple[str, ...]


class DecisionDays:
    """One day is kept at a time, and one reading is under way."""

    def __init__(self, stores: Mapping[str, Store], now_ms: Callable[[], int]) -> None:
        self._stores, self._now_ms = stores, now_ms
        self._one = asyncio.Lock()
        self._last: DayRead | None = None

    async def page(self, day: str, wanted: DecisionFilter) -> tuple[DecisionPage, DayRead]:
        """A page of the day; that not all of the day could be read, is in `DayRead`. Raises
        nothing."""
        async with self._one:
            for step in range(len(STEPS)):
                read = await self._read(day, wanted.account, step)
                page = page_of(read.decisions, wanted)
                if page.older or read.complete or read.problems:
                    break
            return page, read

    async def decision(self, account: str, day: str, decision_id: str) -> Decision | None:
        """One decision. None: it is not among those of the day that can be read."""
        async with self._one:
            for step in range(len(STEPS)):
                read = await self._read(day, account, step)
                found = next((d for d in read.decisions if d.decision_id == decision_id), None)
                if found is not None or read.complete or read.problems:
                    break
            return found

    async def _read(self, day: str, account: str, step: int) -> DayRead:
        wanted = (account,) if account else tuple(self._stores)
        last = self._last
        if (
            last is not None
            and (last.day, last.accounts) == (day, wanted)
            and (last.step >= step or last.complete)
            and not last.problems
            and self._now_ms() - last.read_at_ms < FRESH_MS
        ):
            return last
        self._last = None  # its memory is needed for the next one
        self._last = await self._read_anew(day, wanted, step)
        return self._last

    async def _read_anew(self, day: str, accounts: tuple[str, ...], step: int) -> DayRead:
        limit = max(STEPS[step] // max(len(accounts), 1), PAGE_ROWS)
        decisions, problems = list[Decision](), list[str]()
        floor_ms, complete = 0, True
        for name in accounts:
            store = self._stores.get(name)
            if store is None:
                problems.append(f"{name}: no such account, or its store is not open yet")
                continue
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    rows = await store.decisions(day, limit)
            except UnreadableRowsError as error:
                rows = error.readable
                problems.append(f"{name}: {one_line(origins(str(error)))}")
            except (StoreError, TimeoutError) as error:
                why = one_line(origins(str(error))) or f"no answer in {READ_TIMEOUT_S:g} s"
                problems.append(f"{name}: the decision log was not read: {why}")
                continue
            if len(rows) >= limit:  # what is older of this account is not there: show no gap
                complete = False
                floor_ms = max(floor_ms, rows[-1].decided_at_ms)
            decisions += rows
        shown = [each for each in decisions if each.decided_at_ms >= floor_ms]
        shown.sort(key=lambda each: (each.decided_at_ms, each.decision_id), reverse=True)
        return DayRead(
            day=day,
            accounts=accounts,
            decisions=tuple(shown),
            complete=complete,
            step=step,
            read_at_ms=self._now_ms(),
            problems=tuple(problems),
        )
