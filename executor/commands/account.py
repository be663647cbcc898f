"""One command each: a few bounded calls to the store or the venue, then a report.

Raises StoreError, RecordsError, `control.NotDoneError`, of which `executor.command_line` makes one
line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from executor.progress import awaited_progress
from executor.reports import Decisions, Positions, Statuses, decided_of, positions_of
from functions.adapters.venue_records import raising_records_error
from functions.bootstrap import key_records, keyless_records, unopened_store, unopened_stores
from functions.core.account import Account, utc_day
from functions.core.account_status import Status
from functions.core.claim import Claim
from functions.handlers import control
from functions.handlers.reconcile import ReconcileReport, reconcile
from functions.handlers.settle import SettleReport, settle
from functions.ports import (
    RecordsError,
    Store,
    StoreError,
    StoreMisconfiguredError,
    UnreadableRowsError,
    VenueRecords,
)
from functions.settings import AccountSettings, LimitSettings, ScheduleSettings

_Row = TypeVar("_Row")
_Settings = TypeVar("_Settings", bound=AccountSettings)

LOG_IN_TIMEOUT_S: Final = 20.0
"""A few requests one after the other."""
RUN_TIMEOUT_S: Final = 120.0
"""As in `functions.schedule`: each step is bounded, so a longer run is a defect."""
_DAY_MS: Final = 86_400_000
_SPANS_DAYS: Final = (1, 7, 30)
"""How far back the ledger is read until enough rows are found."""


async def status(settings: LimitSettings) -> Status:
    """The account as it is now."""
    async with unopened_store(settings) as store:
        return await control.status(store, settings.account, settings.limits())


async def statuses(settings: LimitSettings) -> Statuses:
    """All accounts as they are now; one that cannot be read does not hide the others."""
    async with unopened_stores(settings) as stores:

        async def of(one: LimitSettings) -> Status:
            return await control.status(stores[one.account], one.account, one.limits())

        told = await of_each(settings.each(), of)
    return Statuses(
        accounts=tuple(each for _, each in told if isinstance(each, Status)),
        unreadable={one.account: str(each) for one, each in told if isinstance(each, Exception)},
    )


async def of_each(
    wanted: Sequence[_Settings], ask: Callable[[_Settings], Awaitable[_Row]]
) -> list[tuple[_Settings, _Row | StoreError | control.NotDoneError]]:
    """Ask about each account at once; what cannot be known or done of one is its answer."""

    async def answer(one: _Settings) -> _Row | StoreError | control.NotDoneError:
        try:
            return await ask(one)
        except StoreMisconfiguredError:
            raise
        except (StoreError, control.NotDoneError) as error:
            return error

    answers = await asyncio.gather(*map(answer, wanted))
    return list(zip(wanted, answers, strict=True))


async def positions(settings: AccountSettings, ended: int) -> Positions:
    """The live claims, and the last `ended` rows of the ledger of the last 30 days."""
    async with unopened_store(settings) as store:
        account = await store.account()
        rows, unreadable = await _last_rows(store, ended) if ended else ([], ())
        return positions_of(settings.account, account, rows, _now_ms(), unreadable)


async def decisions(settings: AccountSettings, day: str | None, limit: int) -> Decisions:
    """The newest `limit` decisions of a UTC day, None being today."""
    day = day or utc_day(_now_ms())
    async with unopened_store(settings) as store:
        rows, unreadable = await _readable(store.decisions(day, limit))
        return Decisions(
            account=settings.account,
            day=day,
            decisions=tuple(decided_of(row) for row in rows),
            unreadable=unreadable,
        )


async def halt(settings: AccountSettings, reason: str) -> Account:
    """See `functions.handlers.control.halt`."""
    async with unopened_store(settings) as store:
        return await control.halt(store, reason)


async def resume(settings: AccountSettings) -> tuple[Account, Account]:
    """See `functions.handlers.control.resume`."""
    async with unopened_store(settings) as store:
        return await control.resume(store)


async def reconcile_once(
    settings: ScheduleSettings, *, redeem_again: bool = False
) -> tuple[ReconcileReport, SettleReport]:
    """One run of reconciliation and settlement; safe beside the scheduled ones.

    With `redeem_again` winnings are asked for however often they have been.
    """
    async with unopened_store(settings) as store, _records(settings) as records:
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S), awaited_progress() as tell:
                tell(None, "the venue is asked about claims")
                report = await reconcile(store, records)
                tell(None, "what has ended is settled")
                settled = await settle(
                    store, records, redeem=settings.redeems, ask_anew=redeem_again
                )
                return report, settled
        except TimeoutError:
            raise RecordsError(f"the run was given up after {RUN_TIMEOUT_S:g} s") from None


async def _last_rows(store: Store, wanted: int) -> tuple[list[Claim], tuple[str, ...]]:
    now_ms = _now_ms()
    rows: list[Claim] = []
    unreadable: tuple[str, ...] = ()
    for days in _SPANS_DAYS:
        asked = store.ledger(now_ms - days * _DAY_MS, now_ms + _DAY_MS)
        rows, unreadable = await _readable(asked)
        if len(rows) >= wanted:
            break
    return rows[-wanted:], unreadable


async def _readable(asked: Awaitable[list[_Row]]) -> tuple[list[_Row], tuple[str, ...]]:
    """The rows that can be read, and a sentence for each of the others: a person sees both."""
    try:
        return await asked, ()
    except UnreadableRowsError as error:
        return error.readable, error.unreadable


@asynccontextmanager
async def _records(settings: ScheduleSettings) -> AsyncIterator[VenueRecords]:
    """As `functions.schedule.open_records`, but a person waits: one try, then one line."""
    with raising_records_error():
        records = await keyless_records(settings)
        if records is None:
            # Here, because it takes a second, and most commands log in nowhere.
            from venue.trading.official_client import bounded_call  # noqa: PLC0415 - see above

            what = f"logging in at {settings.clob_url}"
            records = await bounded_call(what, key_records(settings), LOG_IN_TIMEOUT_S)
    try:
        yield records
    finally:
        await records.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
