"""Sending: each service has its own task and thread, so a slow or refusing one delays nobody.

1. A message at most every ten seconds a service: what has gathered meanwhile goes along with it.
2. apprise blocks, and its timeouts are a socket's: a send that takes a minute is given up, its
   (daemon) thread left behind; of these a service has three at most, and then waits for one's end.
3. What was not taken is tried again after 1, 2, 4, 8, then 10 minutes each, for six hours. What is
   given up is counted, and said in the log without its URL (`alert_not_sent`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from executor.alerts.alerts_file import AlertsFile, WaitingAlert
from executor.alerts.services import AlertService

SPACING_S: Final = 10.0
SEND_MAX_S: Final = 60.0
HUNG_MAX: Final = 3
BACK_OFF_S: Final = (60.0, 120.0, 240.0, 480.0, 600.0)
FAILING_AFTER: Final = 2
"""So many failures in a row are an alert of their own."""
TEXT_MAX: Final = 3_500
"""Telegram and others cut at 4,096."""
TITLE_MAX: Final = 120
_log = structlog.get_logger()


class Sends(Protocol):
    """What can send: an `AlertService`, or a test's."""

    @property
    def label(self) -> str: ...

    def send(self, title: str, text: str, *, alarm: bool) -> str | None: ...


class AlertMetrics:
    """One registry a process. Labels are places in ALERT_URLS, which are few."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.sent = Counter("alerts_sent", "Messages taken", ["service"], registry=r)
        self.failed = Counter("alerts_failed", "Messages not taken", ["service"], registry=r)
        self.given_up = Counter("alerts_given_up", "Alerts never sent", ["service"], registry=r)
        self.waiting = Gauge("alerts_waiting", "Alerts that wait", ["service"], registry=r)
        self.active = Gauge("alerts_active", "Alarms that hold", registry=r)
        self.looks = Counter("alerts_looks", "Looks at the system", registry=r)
        self.heartbeats = Counter("alerts_heartbeats", "Pings, by result", ["result"], registry=r)
        self.commands = Counter(
            "alerts_telegram_commands", "Commands by Telegram", ["command"], registry=r
        )


class AlertDelivery:
    """To one service, until cancelled."""

    def __init__(
        self,
        service: Sends,
        file: AlertsFile,
        metrics: AlertMetrics,
        *,
        spacing_s: float = SPACING_S,
        back_off_s: Sequence[float] = BACK_OFF_S,
        send_max_s: float = SEND_MAX_S,
    ) -> None:
        self._service = service
        self._file = file
        self._metrics = metrics
        self._spacing_s = spacing_s
        self._back_off_s = back_off_s
        self._send_max_s = send_max_s
        self._failures = 0
        self._why = ""
        self._hung: list[threading.Thread] = []
        self._more = asyncio.Event()

    @property
    def label(self) -> str:
        """The service's."""
        return self._service.label

    def nudge(self) -> None:
        """Something waits."""
        self._more.set()

    def failing(self) -> str:
        """Why it takes nothing, for a while now; empty: it does."""
        return self._why if self._failures >= FAILING_AFTER else ""

    async def run(self) -> None:
        """Send what waits, as it may be sent."""
        while True:
            self._more.clear()
            tried = await self._once()
            label = self.label
            self._metrics.waiting.labels(label).set(self._file.waiting(label))
            if self._failures:
                longest = len(self._back_off_s)
                await asyncio.sleep(self._back_off_s[min(self._failures, longest) - 1])
            elif tried:
                await asyncio.sleep(self._spacing_s)
            else:
                with contextlib.suppress(TimeoutError):  # what waits out its minute nudges nobody
                    async with asyncio.timeout(self._spacing_s):
                        await self._more.wait()

    async def _once(self) -> bool:
        """Whether anything was tried."""
        label = self.label
        if lost := self._file.give_up(label, _now_ms()):
            self._give_up(lost, "they waited for six hours")
        rows = self._file.due(label, _now_ms())
        if not rows:
            return False
        self._file.attempting(label, rows, _now_ms())
        why = await self._send(*joined(rows), alarm=any(row.level == "alarm" for row in rows))
        if why is None:
            self._file.sent(label, rows)
            self._metrics.sent.labels(label).inc()
            self._failures, self._why = 0, ""
            _log.info("alert_sent", to=label, alerts=len(rows))
            return True
        self._failures, self._why = self._failures + 1, why
        self._metrics.failed.labels(label).inc()
        _log.warning("alert_not_sent", to=label, why=why, tries=self._failures, again=True)
        return True

    def count_lost(self, lost: int, why: str) -> None:
        """Alerts that never come so far."""
        if lost:
            self._give_up(lost, why)

    def _give_up(self, lost: int, why: str) -> None:
        self._metrics.given_up.labels(self.label).inc(lost)
        _log.error("alert_not_sent", to=self.label, why=why, alerts=lost, again=False)

    async def _send(self, title: str, text: str, *, alarm: bool) -> str | None:
        self._hung = [thread for thread in self._hung if thread.is_alive()]
        if len(self._hung) >= HUNG_MAX:
            return "its last answers have not come to an end"
        return await sent_in_thread(
            lambda: self._service.send(title, text, alarm=alarm), self._send_max_s, self._hung
        )


async def sent_in_thread(
    send: Callable[[], str | None], send_max_s: float, hung: list[threading.Thread] | None = None
) -> str | None:
    """`send()` in a daemon thread of its own, which nobody waits for at the end of the process.

    Why it was not taken, None when it was. A thread that takes longer is added to `hung`.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | None] = loop.create_future()

    def tell(said: str | None) -> None:
        if not answer.done():
            answer.set_result(said)

    def work() -> None:
        said: str | None
        try:
            said = send()
        except BaseException as error:  # noqa: BLE001 - its text may show a URL
            said = type(error).__name__
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, said)

    thread = threading.Thread(target=work, name="alert", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads on this machine
        return "this machine starts no more threads"
    try:
        async with asyncio.timeout(send_max_s):
            return await answer
    except TimeoutError:
        if hung is not None:
            hung.append(thread)
        return f"no end of its answer within {send_max_s:g} s"


def joined(rows: Sequence[WaitingAlert]) -> tuple[str, str]:
    """Title and text of one message for all of them."""
    first, _, rest = rows[0].text.partition("\n")
    title = first if len(first) <= TITLE_MAX else f"{first[: TITLE_MAX - 3]}..."
    if len(rows) == 1 and len(first) <= TITLE_MAX:
        return title, (rest or first)[:TEXT_MAX]
    if len(rows) > 1:
        title = f"{title} (and {len(rows) - 1} more)"
    parts: list[str] = []
    left = TEXT_MAX - 40
    for number, row in enumerate(rows):
        if len(row.text) + 2 > left:
            parts.append(row.text[:left] if not parts else f"... and {len(rows) - number} more")
            break
        parts.append(row.text)
        left -= len(row.text) + 2
    return title, "\n\n".join(parts)


def deliveries(
    services: Sequence[AlertService], file: AlertsFile, metrics: AlertMetrics
) -> list[AlertDelivery]:
    """One each."""
    return [AlertDelivery(service, file, metrics) for service in services]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
