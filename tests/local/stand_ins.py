"""Processes that stand in for ours: they say that they have started, and end as they are told.

Not modelled: everything that ours do. Signals, output, exit codes and deaths are real.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from local.child import Child
from local.kept_process import Program
from local.services import Service

QUICK = (sys.executable, "-S", "-c")
SAYS_STARTED = 'print(\'{"event": "started"}\', flush=True)'
RUNS = f"""
import signal, sys
def end(*_):
    open('stopped', 'a').write(sys.argv[1] + ' ')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
{SAYS_STARTED}
while True:
    signal.pause()
"""
"""Until SIGTERM, of which it leaves its name in the file `stopped`."""
HANGS = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{SAYS_STARTED}
while True:
    signal.pause()
"""


def stand_in(name: str, code: str, cwd: Path, *, needed: bool = True) -> Program:
    """A program that is this Python code."""

    async def start(child: Child) -> Mapping[str, object]:
        await child.start(*QUICK, code, name, env={}, cwd=cwd)
        return await child.wait_for("started", timeout_s=None)

    return Program(name=name, start=start, needed=needed)


def module(folder: Path, name: str, code: str) -> Service:
    """The same as a module, as `run_system` starts its own."""
    file = "stand_in_" + name.replace("-", "_")
    (folder / f"{file}.py").write_text(code)
    return Service(
        name=name,
        module=file,
        arguments=(name,),
        started_event="started",
        env={"PYTHONPATH": str(folder)},
    )


class Told:
    """What was said to the person."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    async def until(self, is_it: Callable[[str], bool], count: int = 1) -> str:
        """The `count`th line of that kind, also one that was said before."""
        async with asyncio.timeout(20):
            while len(found := [line for line in self.lines if is_it(line)]) < count:
                self._more.clear()
                await self._more.wait()
        return found[count - 1]

    async def line(self, text: str, count: int = 1) -> str:
        """The `count`th line with this in it."""
        return await self.until(lambda line: text in line, count)
