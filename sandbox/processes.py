"""The processes of a chaos run: killed, stopped and continued on demand, restarted at once.

Services come from the fork server (`fork_server.py`), nats-server from the cluster. A process that
ends without having been killed by us is a defect of it: it is noted, and restarted all the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Final

from local.child import READY_TIMEOUT_S, ROOT, STOP_TIMEOUT_S, ChildError, die_with
from local.services import Service
from runtime.process import stop_tasks
from sandbox.cluster import Cluster

ENDED_IN_ORDER: Final = (0, -signal.SIGTERM)
"""The second: SIGTERM came before it had begun, when there was nothing to tidy up."""
NATS: Final = "nats"
FORK_SERVER: Final = (sys.executable, "-m", "sandbox.fork_server")
_RESTARTS_MAX: Final = 200
"""Of one service, by itself: more is a crash loop, not a run."""


class Processes:
    """All of them, by name."""

    def __init__(self, cluster: Cluster, planned: Sequence[Service]) -> None:
        self._cluster = cluster
        self._planned = {service.name: service for service in planned}
        self._fork_server: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None
        self._pids: dict[str, int] = {}
        self._requested: set[str] = set()
        """Asked for, and not yet heard of."""
        self._killed: set[int] = set()
        self._wanted: set[str] = set()
        self._stopped: dict[str, int] = {}
        self._nats_is_down = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = asyncio.Condition()
        self.kills: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.unexpected: list[str] = []
        """A sentence for each end that nobody caused."""

    async def start(self) -> None:
        """Start the fork server, and every service from it. Raises ChildError."""
        log_path = self._cluster.log_dir / "fork-server.log"
        self._log = log_path.open("ab")
        self._fork_server = await asyncio.create_subprocess_exec(
            *FORK_SERVER,
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid()),
        )
        assert self._fork_server.stdout is not None  # noqa: S101 - PIPE
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                if not await self._fork_server.stdout.readline():
                    raise ChildError(f"the fork server ended at start (see {log_path})")
        except TimeoutError:
            raise ChildError("the fork server is not ready") from None
        self._spawn(self._listen(self._fork_server.stdout))
        self._wanted = set(self._planned)
        for name in self._planned:
            self._request(name)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S), self._started:
                await self._started.wait_for(lambda: self._pids.keys() >= self._wanted)
        except TimeoutError:
            late = ", ".join(sorted(self._wanted - self._pids.keys()))
            raise ChildError(f"the fork server has not started {late} (see {log_path})") from None

    async def begin(self, service: Service) -> None:
        """Start one more service, which goes on to be kept alive. Raises ChildError."""
        self._planned[service.name] = service
        self._wanted.add(service.name)
        self._request(service.name)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S), self._started:
                await self._started.wait_for(lambda: service.name in self._pids)
        except TimeoutError:
            raise ChildError(f"the fork server has not started {service.name}") from None

    def kill(self, name: str) -> None:
        """SIGKILL, and a new one at once. Nothing if it is between two lives."""
        if name == NATS:
            self._spawn(self._kill_nats())
            return
        pid = self._pids.pop(name, None)
        if pid is not None:
            self._killed.add(pid)
            self._stopped.pop(name, None)
            self.kills[name] += 1
            _signal(pid, signal.SIGKILL)

    def stop(self, name: str, for_s: float) -> None:
        """SIGSTOP, and SIGCONT after a while, if it still lives by then."""
        if name == NATS and self._nats_is_down:
            return  # the new one has no pid yet: 0 would be this whole process group
        pid = self._cluster.server(NATS).pid if name == NATS else self._pids.get(name)
        if not pid or name in self._stopped or not _signal(pid, signal.SIGSTOP):
            return
        self.stops[name] += 1
        self._stopped[name] = pid
        asyncio.get_running_loop().call_later(for_s, self._continue, name, pid)

    def continue_all(self) -> None:
        """SIGCONT to whatever is stopped."""
        for name, pid in list(self._stopped.items()):
            self._continue(name, pid)

    async def end(self, name: str) -> None:
        """SIGTERM for good, SIGKILL if it does not listen. One between two lives is waited for."""
        self._wanted.discard(name)
        pid: int | None = None
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S), self._started:
                await self._started.wait_for(lambda: name not in self._requested)
                pid = self._pids.get(name)
                if pid is not None:
                    _signal(pid, signal.SIGTERM)
                    await self._started.wait_for(lambda: self._pids.get(name) != pid)
        except TimeoutError:
            self.unexpected.append(f"{name} did not stop in order")
            if pid is not None:
                self._killed.add(pid)
                _signal(pid, signal.SIGKILL)

    async def end_all(self) -> None:
        """End every service, then the fork server. Idempotent."""
        self.continue_all()
        await asyncio.gather(*(self.end(name) for name in self._planned))
        await stop_tasks(*self._tasks)
        if self._fork_server is not None and self._fork_server.returncode is None:
            self._fork_server.kill()
            await self._fork_server.wait()
        if self._log is not None:
            self._log.close()

    @property
    def workers(self) -> list[str]:
        """Names of all workers."""
        return [name for name in self._planned if name.startswith("worker-")]

    def _continue(self, name: str, pid: int) -> None:
        if self._stopped.get(name) == pid:
            del self._stopped[name]
            _signal(pid, signal.SIGCONT)

    async def _kill_nats(self) -> None:
        child = self._cluster.server(NATS)
        if self._nats_is_down or child.returncode is not None:
            return
        self._nats_is_down = True
        self._stopped.pop(NATS, None)
        self.kills[NATS] += 1
        _signal(child.pid, signal.SIGKILL)
        await child.ended()
        await self._cluster.restart_nats()
        self._nats_is_down = False

    def _request(self, name: str) -> None:
        service = self._planned[name]
        env = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONUNBUFFERED": "1",
            **service.env,
        }
        line = {
            "name": name,
            "module": service.module,
            "arguments": list(service.arguments),
            "env": env,
            "log": str(Path(self._cluster.log_dir, f"{name}.log").absolute()),
        }
        assert self._fork_server is not None and self._fork_server.stdin is not None  # noqa: S101 - PIPE
        self._requested.add(name)
        self._fork_server.stdin.write(json.dumps(line).encode() + b"\n")

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            said = json.loads(line)
            async with self._started:
                if "started" in said:
                    self._pids[said["started"]] = said["pid"]
                    self._requested.discard(said["started"])
                else:
                    self._ended(said["ended"], said["pid"], said["code"])
                self._started.notify_all()
        self.unexpected.append("the fork server ended")

    def _ended(self, name: str, pid: int, code: int) -> None:
        if self._pids.get(name) == pid:
            del self._pids[name]
        if pid not in self._killed and (name in self._wanted or code not in ENDED_IN_ORDER):
            self.unexpected.append(f"{name} (pid {pid}) ended by itself with code {code}")
        self._killed.discard(pid)
        if name in self._wanted and len(self.unexpected) < _RESTARTS_MAX:
            self._request(name)

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.unexpected.append(f"{type(error).__name__}: {error}")


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
