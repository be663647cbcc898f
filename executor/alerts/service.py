"""The alerts put together: what is watched, what is decided, and who is told.

Watching, deciding, sending, the heartbeat and Telegram are loops side by side; none waits for
another. Decisions are made from the last look of each, every few seconds, and are durable before
anything is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Final

import structlog

from executor.alerts.alert import Alert, SeenNow
from executor.alerts.alerts_file import FILE_NAME, AlertsFile, AlertsFileError
from executor.alerts.commands import PhoneCommands
from executor.alerts.conditions import conditions
from executor.alerts.heartbeat import Heartbeat
from executor.alerts.sending import AlertDelivery, AlertMetrics, deliveries
from executor.alerts.services import AlertService, telegram_bots
from executor.alerts.settings import AlertSettings
from executor.alerts.telegram import TelegramCommands
from executor.alerts.telling import decide
from executor.alerts.watched_accounts import WatchedAccounts
from executor.alerts.watched_books import WatchedBooks
from executor.alerts.watched_system import WatchedSystem
from runtime.health import health_server
from runtime.process import first_failure
from runtime.settings import refuse_to_start

DECIDE_EVERY_S: Final = 2.0
LATE_MS: Final = 60_000
"""A decision that old is a problem of this process."""
_SINCE: Final = "since_ms"
_log = structlog.get_logger()


class Telling:
    """The loop that decides."""

    def __init__(
        self,
        file: AlertsFile,
        sending: Sequence[AlertDelivery],
        metrics: AlertMetrics,
        accounts: WatchedAccounts,
        system: WatchedSystem,
        books: WatchedBooks,
    ) -> None:
        self._file = file
        self._sending = sending
        self._metrics = metrics
        self._accounts, self._system, self._books = accounts, system, books
        self._alarms: list[Alert] = []
        self._complete = False
        self._decided_at_ms = 0
        if file.number(_SINCE) is None:
            file.note(_SINCE, now_ms())

    async def run(self) -> None:
        """Decide until cancelled."""
        while True:
            self.once(now_ms())
            await asyncio.sleep(DECIDE_EVERY_S)

    def once(self, at_ms: int) -> None:
        """One look, and what follows from it."""
        seen = self._seen(at_ms)
        alerts, known = conditions(seen)
        decided = decide(self._file.told, alerts, known, at_ms)
        lost = self._file.take(decided, [each.label for each in self._sending], at_ms)
        for each in self._sending:
            each.count_lost(lost.get(each.label, 0), "too many wait")
        for message in decided.messages:
            _log.info("alert", key=message.key, alert_level=message.level)
        if decided.messages:
            for each in self._sending:
                each.nudge()
        self._alarms = [alert for alert in alerts if alert.level == "alarm" and alert.over]
        self._complete = _complete(seen)
        self._decided_at_ms = at_ms
        self._metrics.looks.inc()
        self._metrics.active.set(len(self._alarms))

    def well(self) -> bool:
        """See `executor.alerts.heartbeat`."""
        refusing = any(each.failing() for each in self._sending)
        return self._complete and not self._alarms and not refusing and not self.problem()

    def active(self) -> list[str]:
        """The first lines of the alarms that hold."""
        return [alert.text.partition("\n")[0] for alert in self._alarms]

    def problem(self) -> str | None:
        """For /healthz."""
        if self._decided_at_ms and now_ms() - self._decided_at_ms > LATE_MS:
            return "nothing has been decided for a minute"
        return None

    def remark(self) -> str | None:
        """For /healthz: which services take nothing."""
        failing = [f"{each.label}: {each.failing()}" for each in self._sending if each.failing()]
        return "; ".join(failing) or None

    def _seen(self, at_ms: int) -> SeenNow:
        told = self._file.told.items()
        return SeenNow(
            at_ms=at_ms,
            since_ms=self._file.number(_SINCE) or at_ms,
            accounts=self._accounts.seen(at_ms),
            system=self._system.status,
            processes=self._system.processes,
            schedule=self._system.schedule,
            proven_at_ms=self._books.proven_at_ms,
            books_problem=self._books.problem,
            disk_free_bytes=self._system.disk_free_bytes,
            failing={each.label: each.failing() for each in self._sending if each.failing()},
            told_keys=tuple((k, row.told_at_ms) for k, row in told if row.level == "alarm"),
        )


def _complete(seen: SeenNow) -> bool:
    """Whether all was seen that there is to see."""
    if any(one.account is None for one in seen.accounts) or seen.books_problem:
        return False
    if seen.system is None or seen.system.stopped:
        return seen.system is None
    running = all(each.state == "running" for each in seen.system.processes)
    return running and all(one.name in seen.schedule for one in seen.accounts)


async def serve(settings: AlertSettings, services: tuple[AlertService, ...]) -> None:
    """Run until cancelled. Exits 2 on what only a person can mend."""
    metrics = AlertMetrics()
    with closing(_opened(settings.executor_data)) as file:
        sending = deliveries(services, file, metrics)
        if gone := file.keep_only(each.label for each in sending):
            why = "their URLs are not in ALERT_URLS any more"
            _log.error("alert_not_sent", to="", alerts=gone, again=False, why=why)
        accounts = WatchedAccounts(settings)
        system = WatchedSystem(settings.executor_data)
        books = WatchedBooks(settings, [series.name for series in settings.series])
        telling = Telling(file, sending, metrics, accounts, system, books)
        commands = PhoneCommands(accounts, telling.active, now_ms)
        bots = [
            TelegramCommands(bot, commands, metrics, file.number, file.note)
            for bot in telegram_bots(services)
        ]
        loops = [accounts.run(), system.run(), books.run(), telling.run()]
        loops += [each.run() for each in sending]
        loops += [each.run() for each in bots]
        if settings.heartbeat_url is not None:
            loops.append(Heartbeat(settings.heartbeat_url, telling.well, metrics).run())
        async with AsyncExitStack() as stack:
            stack.callback(_close_unstarted, loops)
            metrics_port = await stack.enter_async_context(
                health_server(
                    settings.metrics_host,
                    settings.metrics_port,
                    metrics.registry,
                    telling.problem,
                    telling.remark,
                )
            )
            _log.info(
                "alerts_started",
                metrics_port=metrics_port,
                services=[each.label for each in sending],
                telegram_commands=len(bots),
                heartbeat=settings.heartbeat_url is not None,
            )
            stack.callback(_log.info, "alerts_stopped")
            await first_failure(*loops)


def now_ms() -> int:
    """Epoch ms."""
    return time.time_ns() // 1_000_000


def _close_unstarted(loops: Sequence[object]) -> None:
    """What was never started would complain of it at the end."""
    for loop in loops:
        if asyncio.iscoroutine(loop):
            loop.close()


def _opened(data: Path) -> AlertsFile:
    if not data.is_dir():
        refuse_to_start(f"EXECUTOR_DATA: there is no folder {data}")
    try:
        return AlertsFile(data / FILE_NAME)
    except (AlertsFileError, OSError) as error:
        refuse_to_start(str(error))
