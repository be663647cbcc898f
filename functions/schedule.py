"""The scheduled functions as one process, where no cloud scheduler runs them.

    python -m functions.schedule

Reconciliation and settlement every few seconds, each on its own, never twice at once here (twice at
once elsewhere is safe). SIGTERM or SIGINT: stop; whatever was under way is done again next time.
"""

from __future__ import annotations

if __name__ == "__main__":
    import runtime.starting  # noqa: F401 - first: it takes signals while the rest is imported

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import structlog

from functions.bootstrap import (
    exiting_when_misconfigured,
    key_records,
    keyless_records,
    opened_store,
)
from functions.core.account import Limits
from functions.handlers.limits_in_force import limits_in_force
from functions.handlers.reconcile import reconcile
from functions.handlers.settle import settle
from functions.ports import RecordsError, Store, StoreError, VenueRecords
from functions.schedule_metrics import ScheduleMetrics
from functions.settings import ScheduleSettings
from runtime.health import health_server
from runtime.log import configure_logging
from runtime.process import first_failure, run_service
from runtime.proxies import ignore_proxies
from runtime.retry import until_reachable
from runtime.settings import load_settings, refuse_to_start

RUN_TIMEOUT_S: Final = 120.0
"""A run that takes longer is given up; each of its steps is bounded, so this is a defect."""
LATE_RUNS: Final = 3
"""/healthz complains when a function has not succeeded for this many intervals."""
_log = structlog.get_logger()


class Schedule:
    """Runs functions at their intervals and knows when each last succeeded."""

    def __init__(self, metrics: ScheduleMetrics) -> None:
        self._metrics = metrics
        self._succeeded_at_s: dict[str, float] = {}
        self._every_s: dict[str, float] = {}

    async def every(self, name: str, every_s: float, run: Callable[[], Awaitable[None]]) -> None:
        """Run until cancelled; a failed run is logged, counted and tried again in its turn."""
        self._every_s[name] = every_s
        self._succeeded_at_s[name] = time.monotonic()
        while True:
            started_s = time.monotonic()
            result = "failed"
            try:
                async with asyncio.timeout(RUN_TIMEOUT_S):
                    await run()
                result = "done"
                self._succeeded_at_s[name] = time.monotonic()
            except (StoreError, RecordsError, TimeoutError) as error:
                _log.error("run_failed", name=name, error=f"{type(error).__name__}: {error}")
            except Exception as error:  # noqa: BLE001 - a defect here must not stop the others
                _log.critical("defect", run=name, exc_info=error)
            self._metrics.runs[name, result].inc()
            await asyncio.sleep(max(0.0, started_s + every_s - time.monotonic()))

    def problem(self) -> str | None:
        """What is late, for the health check."""
        now_s = time.monotonic()
        for name, succeeded_at_s in self._succeeded_at_s.items():
            if now_s - succeeded_at_s > LATE_RUNS * self._every_s[name] + 5:
                return f"{name} has not succeeded for {now_s - succeeded_at_s:.0f} s"
        return None if self._succeeded_at_s else "waiting for the state table or the venue"


async def open_records(settings: ScheduleSettings) -> VenueRecords:
    """The venue's records of the account; waits for the venue where it must say whose they are."""

    async def opened() -> VenueRecords:
        with exiting_when_misconfigured():  # here: what only a person can mend is not tried again
            return await keyless_records(settings) or await key_records(settings)

    return await until_reachable(f"the venue at {settings.clob_url}", opened)


async def reconciled(
    store: Store, records: VenueRecords, metrics: ScheduleMetrics, limits: Limits
) -> None:
    """One run of `reconcile`; `limits` count before there is a configuration.

    Raises StoreError; RecordsError, too, when the venue left it incomplete: with credentials that
    it refuses, say, no run would fail otherwise.
    """
    report = await reconcile(store, records)
    limits = await limits_in_force(store, limits)
    metrics.after_reconciling(report, limits.daily_loss_limit_e6)
    if report.strangers:
        raise RecordsError("these credentials are not of the account whose claims these are")
    if report.incomplete:
        raise RecordsError(
            "incomplete: trades, positions or an account of the wallet got no answer"
        )


async def settled(
    store: Store, records: VenueRecords, metrics: ScheduleMetrics, *, redeem: bool
) -> None:
    """One run of `settle`. Raises StoreError; RecordsError, too, when the venue said nothing."""
    report = await settle(store, records, redeem=redeem)
    metrics.after_settling(report)
    if report.incomplete:
        raise RecordsError("incomplete: no resolution got an answer")


async def serve(settings: ScheduleSettings) -> None:
    """Run until cancelled. Exits 2 on what only a person can mend."""
    metrics = ScheduleMetrics()
    schedule = Schedule(metrics)
    async with AsyncExitStack() as stack:
        metrics_port = await stack.enter_async_context(
            health_server(
                settings.metrics_host, settings.metrics_port, metrics.registry, schedule.problem
            )
        )
        store = await stack.enter_async_context(opened_store(settings))
        records = await open_records(settings)
        stack.push_async_callback(records.close)
        stack.callback(_log.info, "schedule_stopped")
        _log.info("schedule_started", execution=settings.execution, metrics_port=metrics_port)

        limits = settings.limits()

        async def reconcile_run() -> None:
            await reconciled(store, records, metrics, limits)

        async def settle_run() -> None:
            await settled(store, records, metrics, redeem=settings.redeems)

        await first_failure(
            schedule.every("reconcile", settings.reconcile_every_s, reconcile_run),
            schedule.every("settle", settings.settle_every_s, settle_run),
        )


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
