"""`executor doctor`, run for the console: in a process of its own, one at a time, bounded."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass, replace
from typing import Final

RUN_MAX_S: Final = 60.0
OUTPUT_BYTES_MAX: Final = 256 << 10
_DOCTOR: Final = (sys.executable, "-m", "executor", "doctor")
_NOT_HANDED_ON: Final = ("CONSOLE_TOKEN",)
_LINE: Final = re.compile(r"(OK|WARN|FAIL) +(\S.*?) {2,}(.*)")


@dataclass(frozen=True)
class DoctorLine:
    """One check."""

    level: str
    """OK, WARN or FAIL; empty: a line of another kind, all of it in `text`."""
    what: str
    text: str
    do: str


@dataclass(frozen=True)
class DoctorReport:
    """What the page shows."""

    running: bool = False
    at_ms: int = 0
    """When it began; 0: it has never."""
    lines: tuple[DoctorLine, ...] = ()
    error: str = ""


class DoctorRun:
    """`report`: the last one, or that it runs."""

    def __init__(
        self, argv: tuple[str, ...] = (sys.executable, "-m", "executor", "doctor")
    ) -> None:
        self.report = DoctorReport()
        self._argv = argv
        self._wanted = asyncio.Event()

    def ask(self, now_ms: int) -> bool:
        """Begin, unless it runs."""
        if self.report.running:
            return False
        self.report = replace(self.report, running=True, at_ms=now_ms)
        self._wanted.set()
        return True

    async def run(self) -> None:
        """Whenever it is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                said, error = await self._said(), ""
            except TimeoutError:
                said, error = "", f"the doctor was not done after {RUN_MAX_S:g} s"
            except (OSError, ValueError) as failure:
                said, error = "", f"the doctor could not be run: {failure}"
            lines = tuple(map(doctor_line, said.splitlines()))
            self.report = DoctorReport(at_ms=self.report.at_ms, lines=lines, error=error)

    async def _said(self) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._argv,
            env={name: text for name, text in os.environ.items() if name not in _NOT_HANDED_ON},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None  # noqa: S101 - PIPE
        said = b""
        try:
            async with asyncio.timeout(RUN_MAX_S):
                while more := await process.stdout.read(65_536):
                    said = (said + more)[:OUTPUT_BYTES_MAX]
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return said.decode("utf-8", "replace")


def doctor_line(line: str) -> DoctorLine:
    """As `executor.rendering.findings_view` writes it."""
    found = _LINE.fullmatch(line)
    if found is None:
        return DoctorLine("", "", line, "")
    level, what, rest = found.groups()
    text, _, do = rest.partition(" -> ")
    return DoctorLine(level, what, text, do)
