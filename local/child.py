"""One process: started, listened to, stopped, and gone when whoever started it is gone.

Output goes to `<log_dir>/<name>.log`, or to the log that it is given. A child has a session of its
own, so Ctrl-C reaches only who started it, and stops it in order; the kernel kills it should its
parent die without having had the chance (on Linux; elsewhere children outlive a killed parent).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from local.last_words import in_words, is_trouble
from local.log_files import LogFile
from runtime.process import stop_tasks

ROOT: Final = Path(__file__).parent.parent
READY_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 12
"""A worker may take ten seconds to finish its orders."""
LINE_BYTES_MAX: Final = 4 << 20
OUTPUT_TIMEOUT_S: Final = 1
"""For the rest of its output once it has ended: a child of its own may keep the pipe open."""
LAST_WORDS_S: Final = 10
"""What it complained of longer before its end is not why it ended."""
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class ChildError(Exception):
    """A process did not start, or ended by itself; the text says which and shows its last words."""


class Child:
    """One process whose output goes to a file, and whose first words can be waited for."""

    def __init__(self, name: str, log_dir: Path, log: LogFile | None = None) -> None:
        self.name = name
        self._log = log or LogFile(log_dir / f"{name}.log")
        self._trouble, self._trouble_at_s = b"", 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._said: asyncio.Queue[dict[str, object]] = asyncio.Queue(maxsize=1_000)

    async def start(
        self,
        *argv: str,
        env: Mapping[str, str],
        pass_fds: Collection[int] = (),
        cwd: Path = ROOT,
    ) -> None:
        """Start it; secrets go in `env`, never in `argv`, which anybody may list."""
        # Pipes of our own: asyncio takes a process for ended once its pipes are closed, too, which
        # a child of its own may keep open.
        pipes = [os.pipe(), os.pipe()]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=cwd,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1", **env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                start_new_session=True,
                pass_fds=pass_fds,
                preexec_fn=partial(die_with, os.getpid()),
            )
        except BaseException:
            for reader, _ in pipes:
                os.close(reader)
            raise
        finally:
            for _, writer in pipes:
                os.close(writer)
        self._pumps = [asyncio.create_task(self._pump(reader)) for reader, _ in pipes]

    async def wait_for(
        self, key: str, timeout_s: float | None = READY_TIMEOUT_S
    ) -> dict[str, object]:
        """The first JSON line with this key, or with this value of `event`.

        Raises ChildError when the process ends first or `timeout_s` pass (None: it may take its
        time).
        """
        ended = asyncio.create_task(self.ended())
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    said = asyncio.create_task(self._said.get())
                    try:
                        await asyncio.wait({said, ended}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        said.cancel()  # nothing, once it is done
                    if not said.done():
                        await self.output_ended()
                        if self._said.empty():
                            raise ChildError(f"{self.name} ended at start{self.last_words()}")
                        continue  # its end was known before its last lines were
                    line = said.result()
                    if key in line or line.get("event") == key:
                        return line
        except TimeoutError:
            raise ChildError(f"{self.name} is not ready{self.last_words()}") from None
        finally:
            ended.cancel()

    async def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process is not None  # noqa: S101 - only called once started
        return await self._process.wait()

    async def stop(self, within_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM, then SIGKILL after `within_s`; reads its output to the end."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(within_s):
                    await self._process.wait()
            except TimeoutError:
                self.kill()
                await self._process.wait()
        await self.output_ended()

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # Not by asyncio's process: that asks the kernel whether it has ended, and then whoever
        # waits for it gets 255 instead of its exit code.
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def output_ended(self) -> None:
        """Wait, not for long, until all that it said before its end was read."""
        if not self._pumps:
            return
        _, unread = await asyncio.wait(self._pumps, timeout=OUTPUT_TIMEOUT_S)
        await stop_tasks(*unread)
        self._log.close()

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.returncode if self._process else None

    @property
    def pid(self) -> int:
        """Process id, 0 before it was started."""
        return self._process.pid if self._process else 0

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        try:
            lines = self._log.tail()[-8:]
        except OSError:
            return ""
        return "".join(f"\n    {line}" for line in lines) + f"\n  (all of it: {self._log.path})"

    def complaint(self) -> str:
        """What it complained of last, if that was not long ago, in a sentence; else empty."""
        recent = time.monotonic() - self._trouble_at_s <= LAST_WORDS_S
        return in_words(self._trouble) if self._trouble and recent else ""

    async def _pump(self, descriptor: int) -> None:
        stream = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", 0)
        )
        try:
            while line := await _line(stream):
                self._take(line)
        finally:
            transport.close()

    def _take(self, line: bytes) -> None:
        self._log.write(line)
        if is_trouble(line):
            self._trouble, self._trouble_at_s = line, time.monotonic()
        if line.startswith(b"{") and not self._said.full():
            with suppress(ValueError, RecursionError):  # not ours to judge: it is in the log
                self._said.put_nowait(json.loads(line))


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)


def die_with(parent: int) -> None:
    """To be called in a child of that process, before it becomes what it is to be."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it is gone already, and nobody will be told
            os.kill(os.getpid(), signal.SIGKILL)
