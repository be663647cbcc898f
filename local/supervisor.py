"""Keeps the processes of a system running, tells of them, and stops them in order.

start    one after the other, as whoever starts them asks
stop     the feeder; then all who are neither feeder, recorder nor nats, who finish what is under
         way; then who records it; then nats. SIGKILL for those that are not gone in time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp

from local.kept_process import KeptProcess, Program, RestartTimes, SystemFailedError
from local.log_files import FILE_BYTES_MAX, LogFile
from local.services import FEEDER, RECORDER
from runtime.output import one_line
from runtime.process import stop_tasks

NATS: Final = "nats"
STOP_S: Final = 8.5
"""From the first word of stopping until the last process is gone. The supervisor itself has ten."""
FEEDER_STOP_S: Final = 1.0
LAST_STOP_S: Final = 1.2
"""What recorder and nats have each, even when the others took all the time before them."""
HEALTH_EVERY_S: Final = 5.0
HEALTH_TIMEOUT_S: Final = 2.0
_PROBLEM_MAX: Final = 300


class Supervisor:
    """`begin` programs, `watch` them, `stop` them."""

    def __init__(
        self,
        log_dir: Path,
        say: Callable[[str], None],
        changed: Callable[[], None],
        times: RestartTimes = RestartTimes(),  # noqa: B008 - frozen
    ) -> None:
        self._log_dir = log_dir
        self._say = say
        self._changed = changed
        self._times = times
        self._keeping: dict[asyncio.Task[None], KeptProcess] = {}
        self._failed: asyncio.Future[SystemFailedError] = asyncio.Future()

    @property
    def kept(self) -> list[KeptProcess]:
        """In the order in which they began."""
        return list(self._keeping.values())

    def begin(self, program: Program) -> KeptProcess:
        """Start it, and keep it running from now on."""
        path = self._log_dir / f"{program.name}.log"
        log = LogFile(path, self._say, file_bytes_max=FILE_BYTES_MAX)
        kept = KeptProcess(program, log, self._say, self._changed, self._times)
        task = asyncio.create_task(kept.keep(), name=program.name)
        self._keeping[task] = kept
        task.add_done_callback(self._has_ended)
        return kept

    async def failure(self) -> None:
        """Wait until the system cannot go on. Raises SystemFailedError."""
        raise await self._failed

    async def watch(self) -> None:
        """Ask for everybody's health, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.gather(*(_look(kept, session) for kept in self.kept))
                await asyncio.sleep(HEALTH_EVERY_S)

    async def stop(self) -> None:
        """In order, within STOP_S; cancelled, it leaves whoever still runs to `kill`."""
        end_at_s = time.monotonic() + STOP_S
        await stop_tasks(*self._keeping)
        by_name = {kept.name: kept for kept in self.kept}
        last = [by_name.pop(name) for name in (RECORDER, NATS) if name in by_name]
        feeder = by_name.pop(FEEDER, None)
        if feeder is not None:
            await feeder.stop(FEEDER_STOP_S)
        within_s = end_at_s - len(last) * LAST_STOP_S - time.monotonic()
        await asyncio.gather(*(kept.stop(max(0.0, within_s)) for kept in by_name.values()))
        for left, kept in zip(range(len(last), 0, -1), last, strict=True):
            within_s = end_at_s - (left - 1) * LAST_STOP_S - time.monotonic()
            await kept.stop(max(LAST_STOP_S, within_s))

    async def kill(self) -> None:
        """SIGKILL to all, at once."""
        self._kill_children()
        await stop_tasks(*self._keeping)
        self._kill_children()  # those that were started meanwhile
        await asyncio.gather(*(kept.stop(0) for kept in self.kept))

    def _kill_children(self) -> None:
        for kept in self.kept:
            if kept.child is not None:
                kept.child.kill()

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failed.done():
            return
        error = task.exception()
        if not isinstance(error, SystemFailedError):  # a defect here
            name = self._keeping[task].name
            error = SystemFailedError(
                f"{name} is no longer watched: {type(error).__name__}: {error}"
            )
        self._failed.set_result(error)


async def _look(kept: KeptProcess, session: aiohttp.ClientSession) -> None:
    url, child = kept.status.metrics_url, kept.child
    if not url:
        return
    problem = await _problem_at(f"{url.removesuffix('/metrics')}/healthz", session)
    if kept.child is child and kept.status.metrics_url == url:  # else another one by now
        kept.looked_at(problem)


async def _problem_at(url: str, session: aiohttp.ClientSession) -> str | None:
    """What a process says of itself at `/healthz`; empty: it is well; None: no answer."""
    try:
        async with session.get(url) as answer:
            text = await answer.content.read(_PROBLEM_MAX)
            return "" if answer.status == 200 else one_line(text.decode("utf-8", "replace"))
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
