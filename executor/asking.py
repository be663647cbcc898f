"""One command each: a few bounded calls to the store or the venue, then a report.

Raises StoreError and RecordsError; `executor.__main__` makes one line of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from executor.reports import (
    Decisions,
    Positions,
    Status,
    decided_of,
    positions_of,
    status_of,
)
from functions.adapters.dynamodb_items import utc_day
from functions.adapters.records import LiveRecords, PublicRecords, answered
from functions.adapters.venue_login import log_in
from functions.core.account import TRADING_ENABLED, TRADING_HALTED, Account
from functions.core.intent import Claim
from functions.handlers.reconcile import ReconcileReport, reconcile
from functions.handlers.settle import SettleReport, settle
from functions.opening import unopened_store, venue_account
from functions.ports import Records, RecordsError, Store, StoreError
from functions.settings import AccountSettings, LimitSettings, ScheduleSettings

LOG_IN_TIMEOUT_S: Final = 20.0
"""A few requests one after the other."""
RUN_TIMEOUT_S: Final = 120.0
"""As in `functions.schedule`: each step is bounded, so a longer run is a defect."""
_DAY_MS: Final = 86_400_000
_SPANS_DAYS: Final = (1, 7, 30)
"""How far back the ledger is read until enough rows are found."""


class NotDoneError(Exception):
    """What was asked for did not happen; the text is one line."""


async def status(settings: LimitSettings) -> Status:
    """The account as it is now."""
    async with unopened_store(settings) as store:
        now_ms = _now_ms()
        account = await store.account()
        return status_of(settings.account, account, settings.limits(), now_ms, utc_day(now_ms))


async def positions(settings: AccountSettings, ended: int) -> Positions:
    """The live claims, and the last `ended` rows of the ledger of the last 30 days."""
    async with unopened_store(settings) as store:
        account = await store.account()
        rows = await _last_rows(store, ended) if ended else []
        return positions_of(settings.account, account, rows, _now_ms())


async def decisions(settings: AccountSettings, day: str | None, limit: int) -> Decisions:
    """The newest `limit` decisions of a UTC day, None being today."""
    day = day or utc_day(_now_ms())
    async with unopened_store(settings) as store:
        rows = await store.decisions(day, limit)
        return Decisions(
            account=settings.account, day=day, decisions=tuple(decided_of(row) for row in rows)
        )


async def halt(settings: AccountSettings, reason: str) -> Account:
    """Halt the account, creating it when there is none, and see that it is halted.

    Once this has returned, the condition of every later claim fails, whichever worker makes it.
    Raises NotDoneError when somebody else has resumed trading meanwhile.
    """
    async with unopened_store(settings) as store:
        try:
            await store.halt(reason)
            account = await store.account()
        except StoreError as error:
            raise NotDoneError(
                f"NOT KNOWN whether trading is {TRADING_HALTED} now, so run this again: {error}"
            ) from error
    if (account.trading, account.halt_reason) != (TRADING_HALTED, reason):
        raise NotDoneError(f"written, but by now somebody else has set {_standing(account)}")
    return account


async def resume(settings: AccountSettings) -> tuple[Account, Account]:
    """Lift the halt that is there; the account before and after.

    Raises NotDoneError when it was not this halt that could be lifted: there is a newer one.
    """
    async with unopened_store(settings) as store:
        before = await store.account()
        try:
            lifted = await store.resume(before)
            account = await store.account()
        except StoreError as error:
            raise NotDoneError(
                f"NOT KNOWN whether trading is {TRADING_ENABLED} now, so run this again: {error}"
            ) from error
    if not lifted and account.trading != TRADING_ENABLED:
        raise NotDoneError(f"not resumed: somebody else has set {_standing(account)}")
    return before, account


def _standing(account: Account) -> str:
    why = f": {account.halt_reason}" if account.halt_reason else ""
    return f"trading to {account.trading}{why}"


async def reconcile_once(settings: ScheduleSettings) -> tuple[ReconcileReport, SettleReport]:
    """One run of reconciliation and settlement; safe beside the scheduled ones."""
    async with unopened_store(settings) as store, _records(settings) as records:
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                report = await reconcile(store, records)
                return report, await settle(store, records, redeem=settings.redeem)
        except TimeoutError:
            raise RecordsError(f"the run was given up after {RUN_TIMEOUT_S:g} s") from None


async def _last_rows(store: Store, wanted: int) -> list[Claim]:
    now_ms = _now_ms()
    rows: list[Claim] = []
    for days in _SPANS_DAYS:
        rows = await store.ledger(now_ms - days * _DAY_MS, now_ms + _DAY_MS)
        if len(rows) >= wanted:
            break
    return rows[-wanted:]


@asynccontextmanager
async def _records(settings: ScheduleSettings) -> AsyncIterator[Records]:
    """As `functions.schedule.open_records`, but a person waits: one try, then one line."""
    account = venue_account(settings)
    records: Records
    if account is None:
        records = PublicRecords(clob_url=settings.clob_url, gamma_url=settings.gamma_url)
    else:
        asked = log_in(account, for_orders=False)
        what = f"logging in at {settings.clob_url}"
        records = LiveRecords(await answered(what, asked, LOG_IN_TIMEOUT_S))
    try:
        yield records
    finally:
        await records.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
