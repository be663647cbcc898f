"""The scheduled functions as one process, where no cloud scheduler runs them.

    python -m functions.schedule

Reconciliation and settlement of each account every few seconds, each on its own, never twice at
once here (twice at once elsewhere is safe). SIGTERM or SIGINT: stop; whatever was under way is done
again next time. Accounts on one wallet ask the venue with the same credentials.
"""

from __future__ import annotations

if __name__ == "__main__":
    import runtime.starting  # noqa: F401 - first: it takes signals while the rest is imported

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog

from functions.bootstrap import (
    exiting_when_misconfigured,
    groups_of,
    key_records,
    keyless_records,
    open_account,
    opened_accounts,
    reachable_stores,
    store_reached,
)
from functions.core.account import Account, Limits
from functions.handlers.limits_in_force import limits_in_force
from functions.handlers.reconcile import reconcile
from functions.handlers.settle import settle
from functions.ports import GroupStore, RecordsError, Store, StoreError, VenueRecords
from functions.schedule_metrics import AccountScheduleMetrics, ScheduleMetrics
from functions.settings import ScheduleSettings
from runtime.health import health_server
from runtime.log import configure_logging
from runtime.process import first_failure, run_service
from runtime.proxies import ignore_proxies
from runtime.retry import until_reachable
from runtime.settings import load_settings, refuse_to_start

RUN_TIMEOUT_S: Final = 120.0
"""A run that takes longer is given up; each of its steps is bounded, so this is a defect."""
RUNS_AT_ONCE_MAX: Final = 8
"""Of all accounts: each asks the venue some questions, one after the other."""
LATE_RUNS: Final = 3
"""/healthz complains when a function has not succeeded for this many intervals."""
_log = structlog.get_logger()


class Schedule:
    """Runs functions of accounts at their intervals and knows when each last succeeded."""

    def __init__(self, metrics: ScheduleMetrics) -> None:
        self._metrics = metrics
        self._succeeded_at_s: dict[tuple[str, str], float] = {}
        """By account and name."""
        self._every_s: dict[tuple[str, str], float] = {}
        self._at_once = asyncio.Semaphore(RUNS_AT_ONCE_MAX)

    async def every(
        self, account: str, name: str, every_s: float, run: Callable[[], Awaitable[None]]
    ) -> None:
        """Run until cancelled; a failed run is logged, counted and tried again in its turn."""
        structlog.contextvars.bind_contextvars(account=account)
        key, runs = (account, name), self._metrics.accounts[account].runs
        self._every_s[key] = every_s
        self._succeeded_at_s[key] = time.monotonic()
        while True:
            started_s = time.monotonic()
            result = "failed"
            try:
                async with self._at_once, asyncio.timeout(RUN_TIMEOUT_S):
                    await run()
                result = "done"
                self._succeeded_at_s[key] = time.monotonic()
            except (StoreError, RecordsError, TimeoutError) as error:
                _log.error("run_failed", name=name, error=f"{type(error).__name__}: {error}")
            except Exception as error:  # noqa: BLE001 - a defect here must not stop the others
                _log.critical("defect", run=name, exc_info=error)
            runs[name, result].inc()
            await asyncio.sleep(max(0.0, started_s + every_s - time.monotonic()))

    def problem(self) -> str | None:
        """What is late, for the health check: of every account something is."""
        if not self._succeeded_at_s:
            return "waiting for the store or the venue"
        late, accounts = self._late(), {account for account, _ in self._succeeded_at_s}
        if len(accounts) == 1:
            return next(iter(late.values()), None)
        return _said(late) if len(late) == len(accounts) else None

    def remark(self) -> str | None:
        """Of which accounts something is late."""
        return _said(self._late())

    def _late(self) -> dict[str, str]:
        """By account, the first of its functions."""
        now_s = time.monotonic()
        late: dict[str, str] = {}
        for (account, name), succeeded_at_s in self._succeeded_at_s.items():
            if now_s - succeeded_at_s > LATE_RUNS * self._every_s[account, name] + 5:
                text = f"{name} has not succeeded for {now_s - succeeded_at_s:.0f} s"
                late.setdefault(account, text)
        return late


def _said(late: Mapping[str, str]) -> str | None:
    return "; ".join(f"account {account}: {text}" for account, text in late.items()) or None


async def open_records(settings: ScheduleSettings) -> VenueRecords:
    """The venue's records, for settings of one account; waits for the venue where it must say whose
    they are."""

    async def opened() -> VenueRecords:
        with exiting_when_misconfigured():  # here: what only a person can mend is not tried again
            return await keyless_records(settings) or await key_records(settings)

    return await until_reachable(f"the venue at {settings.clob_url}", opened)


async def reconciled(
    store: Store,
    records: VenueRecords,
    metrics: AccountScheduleMetrics,
    limits: Limits,
    group: GroupStore | None = None,
) -> None:
    """One run of `reconcile`; `limits` count before there is a configuration, and are told only.

    Raises StoreError; RecordsError, too, when the venue left it incomplete: with credentials that
    it refuses, say, no run would fail otherwise.
    """
    report = await reconcile(store, records, group)
    loss_limit_e6: int | None = None
    try:
        loss_limit_e6 = (await limits_in_force(store, limits)).daily_loss_limit_e6
    except StoreError as error:  # what the run has done is done, and told
        _log.warning("configuration_not_read", error=str(error))
    metrics.after_reconciling(report, loss_limit_e6)
    if report.strangers:
        raise RecordsError("these credentials are not of the account whose claims these are")
    if report.incomplete:
        raise RecordsError(
            "incomplete: trades, positions or an account of the wallet got no answer"
        )


async def settled(
    store: Store, records: VenueRecords, metrics: AccountScheduleMetrics, *, redeem: bool
) -> None:
    """One run of `settle`. Raises StoreError; RecordsError, too, when the venue said nothing."""
    report = await settle(store, records, redeem=redeem)
    metrics.after_settling(report)
    if report.incomplete:
        raise RecordsError("incomplete: no resolution got an answer")


async def serve(settings: ScheduleSettings) -> None:
    """Run until cancelled. Exits 2 on what only a person can mend."""
    each = settings.each()
    metrics = ScheduleMetrics(one.account for one in each)
    schedule = Schedule(metrics)
    async with AsyncExitStack() as stack:
        serving = health_server(
            settings.metrics_host,
            settings.metrics_port,
            metrics.registry,
            schedule.problem,
            schedule.remark,
        )
        metrics_port = await stack.enter_async_context(serving)
        stores = await reachable_stores(settings, stack)
        opened: dict[str, Account] = {}

        async def open_one(one: ScheduleSettings) -> Account:
            return await open_account(stores[one.account], one)

        await store_reached(settings, lambda: opened_accounts(each, opened, open_one))
        records: dict[bool, VenueRecords] = {}
        for one in each:
            if one.live not in records:
                records[one.live] = await open_records(one)
                stack.push_async_callback(records[one.live].close)
        stack.callback(_log.info, "schedule_stopped")
        _log.info(
            "schedule_started",
            accounts=[one.account for one in each],
            execution="live" if settings.live else "paper",
            metrics_port=metrics_port,
        )

        groups = groups_of(settings, stores)

        def loops_of(one: ScheduleSettings) -> tuple[Coroutine[Any, Any, None], ...]:
            store, of_venue = stores[one.account], records[one.live]
            own, limits = metrics.accounts[one.account], one.limits()

            async def reconcile_run() -> None:
                if one.account not in opened:  # it could not be read when the others were
                    opened[one.account] = await open_one(one)
                await reconciled(store, of_venue, own, limits, groups.get(one.account))

            async def settle_run() -> None:
                await settled(store, of_venue, own, redeem=one.redeems)

            return (
                schedule.every(one.account, "reconcile", one.reconcile_every_s, reconcile_run),
                schedule.every(one.account, "settle", one.settle_every_s, settle_run),
            )

        await first_failure(*(loop for one in each for loop in loops_of(one)))


def main(arguments: list[str]) -> int:
    """Entry point of `python -m functions.schedule`."""
    if arguments:
        refuse_to_start("the schedule takes no arguments: the environment says all")
    configure_logging(service="schedule")
    ignore_proxies()
    settings = load_settings(ScheduleSettings)
    return run_service(serve(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
