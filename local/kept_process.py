"""One process that is kept running: started again whenever it ends, later and later.

Each end is told to the person in one line, with its reason. A process that hangs or is suspended is
left alone: what its health says stands in the status.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from local.child import Child, ChildError
from local.last_words import why_ended
from local.log_files import LogFile
from local.status import ProcessState, ProcessStatus
from runtime.settings import EXIT_BAD_CONFIGURATION

SLOW_START_S: Final = 20.0
"""After it the person is told that it is not up yet."""
SILENT_LOOKS: Final = 3
"""After so many the person is told that it does not answer."""
NO_ANSWER: Final = "it does not answer"
START_ENDED_S: Final = 5.0
"""For the end of what could not be started."""


class SystemFailedError(Exception):
    """The system cannot run; one line says why."""


@dataclass(frozen=True, kw_only=True)
class RestartTimes:
    """How long a process is let rest before it is started again, seconds."""

    first_s: float = 1.0
    """Doubled each time, up to `most_s`."""
    most_s: float = 30.0
    steady_s: float = 60.0
    """After running so long it begins with `first_s` again."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is kept running."""

    name: str
    start: Callable[[Child], Awaitable[Mapping[str, object]]] = field(repr=False)
    """Starts it and waits until it is up, for as long as it takes; returns what it said then.
    Raises ChildError when it ends before, OSError."""
    needed: bool = True
    """Whether the system ends where only a person can mend what keeps it from its first start."""


class KeptProcess:
    """`keep` it; `child` is the newest."""

    def __init__(
        self,
        program: Program,
        log: LogFile,
        say: Callable[[str], None],
        changed: Callable[[], None],
        times: RestartTimes,
    ) -> None:
        self.name = program.name
        self.child: Child | None = None
        self.tried = asyncio.Event()
        """It is up, or has ended, for the first time."""
        self.console_url = ""
        self._program = program
        self._log = log
        self._say = say
        self._changed = changed
        self._times = times
        self._state: ProcessState = "starting"
        self._since_ms = _now_ms()
        self._restarts = 0
        self._was_up = False
        self._last_end = ""
        self._metrics_url = ""
        self._problem = ""
        self._silent = 0
        """Looks at its health that it has not answered, one after the other."""

    @property
    def status(self) -> ProcessStatus:
        """As of now."""
        runs = self._state in ("starting", "running") and self.child is not None
        return ProcessStatus(
            name=self.name,
            state=self._state,
            pid=self.child.pid if runs and self.child is not None else 0,
            since_ms=self._since_ms,
            restarts=self._restarts,
            last_end=self._last_end,
            metrics_url=self._metrics_url,
            problem=self._problem,
        )

    async def keep(self) -> None:
        """Until cancelled; the process is then left as it is, for `stop`.

        Raises SystemFailedError when it is needed, has never been up, and only a person can mend
        that: it says so by its exit code, or cannot even begin.
        """
        delay_s = self._times.first_s
        while True:
            started_at_s = time.monotonic()
            why, code = await self._live()
            mendable = code in (EXIT_BAD_CONFIGURATION, None)
            if mendable and self._program.needed and not self._was_up:
                plain = why.removeprefix(f"exit code {EXIT_BAD_CONFIGURATION}: ")
                raise SystemFailedError(f"{self.name} cannot start: {plain}")
            if time.monotonic() - started_at_s >= self._times.steady_s:
                delay_s = self._times.first_s
            self._last_end = why
            self._become("waiting")
            self.tried.set()
            self._say(f"{self.name} ended ({why}): it is started again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, self._times.most_s)
            self._restarts += 1

    async def stop(self, within_s: float) -> None:
        """SIGTERM, SIGKILL after `within_s`. To be called when `keep` was cancelled."""
        if self.child is not None:
            await self.child.stop(within_s)
            if self._state in ("starting", "running") and self.child.returncode == -signal.SIGKILL:
                self._say(f"{self.name} did not stop in order: it was killed")
        self._log.close()
        self._become("stopped")

    def looked_at(self, problem: str | None) -> None:
        """What its health has said: nothing (empty), a sentence, or no answer (None)."""
        self._problem = NO_ANSWER if problem is None else problem
        if problem is None:
            self._silent += 1
            if self._silent == SILENT_LOOKS:
                self._say(f"{self.name} does not answer: it hangs, or somebody has suspended it")
            return
        if self._silent >= SILENT_LOOKS:
            self._say(f"{self.name} answers again")
        self._silent = 0

    async def _live(self) -> tuple[str, int | None]:
        """From one start to the next end: why, and its exit code if it ever began."""
        child = self.child = Child(self.name, self._log.path.parent, self._log)
        self._become("starting")
        slow = asyncio.get_running_loop().call_later(SLOW_START_S, self._say_slow, child)
        try:
            said = await self._program.start(child)
        except OSError as error:  # no process, no file
            await child.stop(START_ENDED_S)
            return f"{error.strerror or error}", None
        except ChildError as error:
            begun = child.pid != 0
            await child.stop(START_ENDED_S)
            return (_why(child) if begun else str(error)), child.returncode
        finally:
            slow.cancel()
        self._is_up(said)
        await child.ended()
        await child.output_ended()
        return _why(child), child.returncode

    def _is_up(self, said: Mapping[str, object]) -> None:
        port, url = said.get("metrics_port"), said.get("url")
        self._metrics_url = f"http://127.0.0.1:{port}/metrics" if isinstance(port, int) else ""
        if isinstance(url, str):
            parts = urlsplit(url)  # without a token
            self.console_url = f"{parts.scheme}://{parts.netloc}"
        self._was_up = True
        self._become("running")
        self._say(f"{self.name} runs" if not self._restarts else f"{self.name} runs again")
        self.tried.set()

    def _say_slow(self, child: Child) -> None:
        complaint = child.complaint()
        self._say(f"{self.name} is not up yet{f': {complaint}' if complaint else ''}")
        self.tried.set()

    def _become(self, state: ProcessState) -> None:
        if state != "running":
            self._metrics_url, self._problem, self._silent = "", "", 0
        self._state, self._since_ms = state, _now_ms()
        self._changed()


def _why(child: Child) -> str:
    code = child.returncode
    return why_ended(code if code is not None else os.EX_SOFTWARE, child.complaint())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
