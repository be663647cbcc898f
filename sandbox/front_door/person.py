"""A person at a terminal: types commands of `executor`, reads what they print, presses Ctrl-C.

Every command is a process of its own, with nothing in its environment but what is said here, in a
directory of its own; so the data folder is found as a person's would be.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from local.child import ROOT, ChildError
from local.status import SystemStatus, read_status

FOLDER: Final = "executor-data"
START_S: Final = 60.0
STOP_S: Final = 10.0
LOOK_S: Final = 60.0
_AGAIN_S: Final = 0.05
_LAST_LINES: Final = 12


class Answer(msgspec.Struct, frozen=True):
    """What a command said."""

    code: int
    stdout: str
    stderr: str


class Person:
    """Works in `directory`; what `executor paper` prints goes to `log_path`."""

    def __init__(self, directory: Path, log_path: Path, variables: Mapping[str, str]) -> None:
        self._directory = directory
        self._log_path = log_path
        self._env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(directory),
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        self._paper: asyncio.subprocess.Process | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._directory / FOLDER

    @property
    def pid(self) -> int:
        """Of `executor paper`."""
        assert self._paper is not None  # noqa: S101 - asked only once it was started
        return self._paper.pid

    async def types_paper(self, *options: str) -> None:
        """`executor paper`, until all of its processes run. Raises ChildError."""
        with self._log_path.open("ab") as log:
            self._paper = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "executor", "paper", *options),
                cwd=self._directory,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self.sees("all processes run", START_S, self._all_run)

    async def types(self, *command: str) -> Answer:
        """Any other command, to its end. Raises ChildError when it takes too long."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "executor", *command),
            cwd=self._directory,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(LOOK_S):
                stdout, stderr = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise ChildError(f"executor {' '.join(command)}: no end within {LOOK_S:g} s") from None
        assert process.returncode is not None  # noqa: S101 - it has ended
        return Answer(process.returncode, stdout.decode(), stderr.decode())

    async def sees(self, what: str, within_s: float, seen: Callable[[], bool]) -> None:
        """Wait until `seen()` is true. Raises ChildError."""
        until_s = time.monotonic() + within_s
        while not seen():
            if self._paper is not None and self._paper.returncode is not None:
                code = self._paper.returncode
                raise ChildError(f"executor paper ended with code {code}{self.last_words()}")
            if time.monotonic() > until_s:
                raise ChildError(f"not within {within_s:g} s: {what}{self.last_words()}")
            await asyncio.sleep(_AGAIN_S)  # files and pids: there is nothing to await

    async def presses_ctrl_c(self) -> tuple[int, float]:
        """Its exit code, and how many seconds it took. Raises ChildError."""
        assert self._paper is not None  # noqa: S101 - it was started
        begun_s = time.monotonic()
        self._paper.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(2 * STOP_S):
                code = await self._paper.wait()
        except TimeoutError:
            raise ChildError(f"executor paper does not stop{self.last_words()}") from None
        return code, time.monotonic() - begun_s

    async def leaves(self) -> None:
        """Whatever still runs ends with it."""
        if self._paper is not None and self._paper.returncode is None:
            self._paper.kill()
            await self._paper.wait()

    async def killed(self) -> None:
        """Wait for the end of `executor paper`, which was killed."""
        assert self._paper is not None  # noqa: S101 - it was started
        await self._paper.wait()
        self._paper = None

    def status(self) -> SystemStatus:
        """What the supervisor says of its system. Raises ChildError where it says nothing."""
        status = read_status(self.data)
        if status is None:
            raise ChildError(f"{self.data} has no system{self.last_words()}")
        return status

    def _all_run(self) -> bool:
        status = read_status(self.data)
        if status is None or self._paper is None or status.pid != self._paper.pid:
            return False
        names = {each.name for each in status.processes if each.state == "running"}
        return len(names) == len(status.processes) and {"worker-1", "schedule"} <= names

    def last_words(self) -> str:
        """The end of what it printed, for an error message."""
        try:
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "".join(f"\n    {line}" for line in lines[-_LAST_LINES:])


def runs(pid: int) -> bool:
    """Whether there is such a process; one that nobody has buried yet does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(") ")[2][:1] != "Z"
