"""One process: started, listened to, stopped, and gone when whoever started it is gone.

Output goes to `<log_dir>/<name>.log`. A child has a session of its own, so Ctrl-C reaches only who
started it, and stops it in order; the kernel kills it should its parent die without having had the
chance (on Linux; elsewhere children outlive a killed parent).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
READY_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 12
"""A worker may take ten seconds to finish its orders."""
LINE_BYTES_MAX: Final = 4 << 20
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class ChildError(Exception):
    """A process did not start, or ended by itself; the text says which and shows its last words."""


class Child:
    """One process whose output goes to a file, and whose first words can be waited for."""

    def __init__(self, name: str, log_dir: Path) -> None:
        self.name = name
        self._log_path = log_dir / f"{name}.log"
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
        self._process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1", **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LINE_BYTES_MAX,
            pass_fds=pass_fds,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101 - PIPE
        self._pumps = [
            asyncio.create_task(self._pump(stream))
            for stream in (self._process.stdout, self._process.stderr)
        ]

    async def wait_for(self, key: str) -> dict[str, object]:
        """The first JSON line with this key, or with this value of `event`.

        Raises ChildError when the process ends first or READY_TIMEOUT_S pass.
        """
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while True:
                    said = asyncio.create_task(self._said.get())
                    ended = asyncio.create_task(self.ended())
                    await asyncio.wait({said, ended}, return_when=asyncio.FIRST_COMPLETED)
                    ended.cancel()
                    if not said.done():
                        said.cancel()
                        raise ChildError(f"{self.name} ended at start{self.last_words()}")
                    line = said.result()
                    if key in line or line.get("event") == key:
                        return line
        except TimeoutError:
            raise ChildError(f"{self.name} is not ready{self.last_words()}") from None

    async def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        assert self._process is not None  # noqa: S101 - only called once started
        return await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after STOP_TIMEOUT_S; reads its output to the end."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await asyncio.gather(*self._pumps)

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
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        except FileNotFoundError:
            return ""
        return "".join(f"\n    {line}" for line in lines) + f"\n  (all of it: {self._log_path})"

    async def _pump(self, stream: asyncio.StreamReader) -> None:
        with self._log_path.open("ab") as log:
            while line := await _line(stream):
                log.write(line)
                log.flush()
                if line.startswith(b"{") and not self._said.full():
                    try:
                        self._said.put_nowait(json.loads(line))
                    except ValueError:
                        continue  # not ours to judge: it is in the log


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)


def die_with_parent() -> None:
    """To be called in a child, before it becomes what it is to be."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
