"""Processes of ours that need not import anything: `pytest.mark.usefixtures("forked")`.

Each start of a worker takes most of a second of processor time, nearly all of it for imports. Where
these are not what is tested, what a test starts by `asyncio.create_subprocess_exec` as
`python -m MODULE` comes from `tests/support/fork_server.py`, one of which each process of the suite
has. Whatever else is started is started as ever.

Each of them is started for real where that is tested: `tests/test_start.py`,
`tests/sandbox/test_cluster.py`, `tests/executor/test_entry.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from local.child import die_with
from tests.support.session import UNTIL_THE_SESSION_ENDS

ROOT = Path(__file__).parents[2]
REAL = asyncio.create_subprocess_exec
REPEATED = ("-P",)
LIKE_OURS = partial(die_with, 0)
"""What the fork server does for each anyway."""
KNOWN = {"cwd", "env", "stdin", "stdout", "stderr", "start_new_session", "preexec_fn", "pass_fds"}


@cache
def server() -> socket.socket:
    """Where the one of this process takes requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    UNTIL_THE_SESSION_ENDS.callback(process.wait)
    UNTIL_THE_SESSION_ENDS.callback(ours.close)
    return ours


class Forked:
    """What `asyncio.subprocess.Process` is of a process that is started from its beginning."""

    def __init__(self) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.stdin = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._ending: asyncio.Task[None] | None = None

    async def start(self, module: str, arguments: tuple[str, ...], how: dict[str, Any]) -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        opened = [nothing]
        readers: dict[str, int] = {}

        def stream(name: str, inherited: int) -> int:
            wanted = how.get(name)
            if wanted == PIPE:
                readers[name], writer = os.pipe()
                opened.append(writer)
                return writer
            if wanted == DEVNULL:
                return nothing
            return inherited if wanted is None else getattr(wanted, "fileno", lambda: wanted)()

        out = stream("stdout", 1)
        err = out if how.get("stderr") == STDOUT else stream("stderr", 2)
        said, status = os.pipe()
        opened.append(status)
        request = {
            "module": module,
            "arguments": arguments,
            "cwd": str(how.get("cwd") or Path.cwd()),
            "env": dict(os.environ if how.get("env") is None else how["env"]),
            "session": bool(how.get("start_new_session")),
        }
        try:
            given = [nothing, out, err, status]
            socket.send_fds(server(), [json.dumps(request).encode()], given)
        finally:
            for each in opened:
                os.close(each)
        told = await self._reader(said)
        self.pid = int(await told.readline())
        self.stdout = await self._reader(readers["stdout"]) if "stdout" in readers else None
        self.stderr = await self._reader(readers["stderr"]) if "stderr" in readers else None
        self._ending = asyncio.create_task(self._end(told))

    async def _reader(self, descriptor: int) -> asyncio.StreamReader:
        stream = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", 0)
        )
        return stream

    async def _end(self, told: asyncio.StreamReader) -> None:
        self.returncode = int(await told.readline())

    async def wait(self) -> int:
        assert self._ending is not None
        await asyncio.shield(self._ending)
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes | None, bytes | None]:
        async def rest(stream: asyncio.StreamReader | None) -> bytes | None:
            return None if stream is None else await stream.read()

        stdout, stderr, _ = await asyncio.gather(rest(self.stdout), rest(self.stderr), self.wait())
        return stdout, stderr

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def create_subprocess_exec(*argv: Any, **how: Any) -> Process | Forked:
    """As asyncio's, but what is `python -m MODULE` is forked. Raises OSError."""
    python, *rest = argv
    rest = [each for each in rest if each not in REPEATED]
    if (
        python != sys.executable
        or rest[:1] != ["-m"]
        or how.keys() - KNOWN
        or how.get("pass_fds")
        or getattr(how.get("preexec_fn", LIKE_OURS), "func", None) is not die_with
        or how.get("stdin") == PIPE
    ):
        return await REAL(*argv, **how)
    forked = Forked()
    await forked.start(rest[1], tuple(rest[2:]), how)
    return forked


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started as `python -m MODULE` is forked."""
    monkeypatch.setattr(asyncio, "create_subprocess_exec", create_subprocess_exec)
