"""The system on one machine: nats-server and our processes, kept running until it is stopped.

    nats ─▶ recorder ─▶ feeder, user-feeder (live), workers, schedule, console, alerts

The supervisor is whoever calls `run_system`. It tells a person of each event in a line, and
everybody else by `system.json` (`local.status`). Cancelled, it stops all within ten seconds;
cancelled once more, or by a SIGINT or SIGTERM then, it kills them at once. Killed itself, the
kernel takes the others with it (on Linux).
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from local.child import Child
from local.kept_process import KeptProcess, Program, RestartTimes, SystemFailedError
from local.log_files import FILE_BYTES_MAX, LogFile
from local.nats_server import FREE_PORT, start_nats
from local.plan import SystemPlan, VenueUrls
from local.services import RECORDER, Service, looking_env, services_of
from local.setback import Setback
from local.status import SystemStatus, write_status
from local.supervisor import NATS, Supervisor
from runtime.log import line_of
from runtime.process import first_failure, stop_tasks

__all__ = ["SystemFailedError", "SystemPlan", "VenueUrls", "run_system"]

STATUS_EVERY_S: Final = 1.0
_UNNEEDED: Final = frozenset({"console", "alerts"})
"""Those that only look: trading goes on without them."""


async def run_system(
    plan: SystemPlan,
    say: Callable[[str], None],
    times: RestartTimes = RestartTimes(),  # noqa: B008 - frozen
) -> None:
    """Start all of it and keep it running, until cancelled; then stop it, within ten seconds.

    `say` gets a line for each event, which also stands in `supervisor.log`; it raises nothing, and
    waits for nobody. Cancelled a second time, or told by a signal to hurry, it kills what still
    runs. Raises SystemFailedError when it cannot start, or not go on, after having stopped what had
    started.
    """
    system = _System(plan, say, times)
    telling = asyncio.create_task(system.tell())
    try:
        try:
            await system.run()
        finally:
            await _stopped(system.supervisor)
    finally:
        await stop_tasks(telling)
        system.write(stopped=True)


async def _stopped(supervisor: Supervisor) -> None:
    """Stop all; a cancellation or a signal meanwhile is a person in a hurry."""
    stopping = asyncio.create_task(supervisor.stop())
    try:
        with _cancelled_by_signals():
            await asyncio.shield(stopping)
    except asyncio.CancelledError:
        await stop_tasks(stopping)
        await supervisor.kill()
        raise


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Whoever runs the event loop takes no notice of the second SIGINT, or too much of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - within a coroutine

    def cancel(*_: object) -> None:
        loop.call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _System:
    """One run."""

    def __init__(self, plan: SystemPlan, say: Callable[[str], None], times: RestartTimes) -> None:
        self._plan = plan
        self._to_person = say
        self._log = LogFile(plan.data.logs / "supervisor.log", file_bytes_max=FILE_BYTES_MAX)
        self._started_at_ms = _now_ms()
        self._nats_url = ""
        self._environment: dict[str, str] = {}
        self._been_up: set[str] = set()
        self._setback = Setback(self._say)
        self.supervisor = Supervisor(plan.data.logs, self._say, self.write, times)

    async def run(self) -> None:
        """Until cancelled. Raises SystemFailedError."""
        await first_failure(self._run(), self.supervisor.failure())

    async def _run(self) -> None:
        supervisor = self.supervisor
        nats = supervisor.begin(Program(name=NATS, start=self._start_nats))
        await nats.tried.wait()
        if not self._nats_url:
            raise SystemFailedError(f"nats cannot start: {nats.status.last_end or 'it takes long'}")
        self._environment = looking_env(self._plan, self._nats_url)
        services = services_of(self._plan, self._nats_url)
        for recorder in (each for each in services if each.name == RECORDER):
            await self._begin(recorder).tried.wait()  # to be there before there is anything
        others = [self._begin(each) for each in services if each.name != RECORDER]
        for each in others:
            await each.tried.wait()
        late = [each.name for each in supervisor.kept if each.status.state != "running"]
        self._say(f"not up yet: {', '.join(late)}" if late else "all processes run")
        await supervisor.watch()

    def _begin(self, service: Service) -> KeptProcess:
        start = partial(self._start, service)
        needed = service.name not in _UNNEEDED
        return self.supervisor.begin(Program(name=service.name, start=start, needed=needed))

    async def _start(self, service: Service, child: Child) -> Mapping[str, object]:
        now = service.seeded() if service.name in self._been_up else service
        await now.launch(child, (self._plan.data.lock,), Path.cwd())
        said = await child.wait_for(service.started_event, timeout_s=None)
        self._been_up.add(service.name)
        return said

    async def _start_nats(self, child: Child) -> Mapping[str, object]:
        """Again on the port of before, which all others know."""
        data = self._plan.data
        port = urlsplit(self._nats_url).port if self._nats_url else None
        self._nats_url = await start_nats(child, data.nats, port or FREE_PORT, (data.lock,))
        return {}

    def _say(self, line: str) -> None:
        self._to_person(line)
        said = {"service": "supervisor", "event": "told", "text": line}
        self._log.write(line_of("info", said).encode())

    async def tell(self) -> None:
        """Write the status every second, until cancelled."""
        while True:
            self.write()
            await asyncio.sleep(STATUS_EVERY_S)

    def write(self, *, stopped: bool = False) -> None:
        """Write the status. A disk that refuses it stops nothing."""
        try:
            write_status(self._plan.data.path, self._status(stopped=stopped))
        except OSError as error:
            self._setback.failed(
                f"cannot write the status: {error.strerror or error}; all else goes on"
            )
        else:
            self._setback.worked(lambda: "the status is written again")

    def _status(self, *, stopped: bool) -> SystemStatus:
        plan, kept = self._plan, self.supervisor.kept
        return SystemStatus(
            pid=os.getpid(),
            started_at_ms=self._started_at_ms,
            written_at_ms=_now_ms(),
            execution=plan.execution,
            environment=self._environment,
            venue=plan.venue.origin,
            console_url=next((each.console_url for each in kept if each.console_url), ""),
            recording=str(plan.data.recording) if plan.recording_bytes_max else "",
            processes=tuple(each.status for each in kept),
            stopped=stopped,
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
