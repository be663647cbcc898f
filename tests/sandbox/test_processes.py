"""What a chaos run does to processes hits those processes, and only them.

The fork server is a stand-in: it starts `sleep` instead of services, at once or when it is told to.
Not modelled: imports, logs, environments.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local.child import Child
from local.services import Service
from sandbox import processes as processes_module
from sandbox.cluster import Cluster
from sandbox.processes import NATS, Processes
from sandbox.services import Options

FEEDER = Service(name="feeder", module="feeder", started_event="feeder_started", env={})
# Every start after the first waits for somebody to open the gate; pids go to stderr, which is the
# fork_server's log.
FORK_SERVER = """
import json, subprocess, sys, threading
def say(**line):
    print(json.dumps(line), flush=True)
def end(child):
    say(ended="feeder", pid=child.pid, code=child.wait())
say(ready=True)
for number, line in enumerate(sys.stdin):
    if number:
        open(sys.argv[1]).read()
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, file=sys.stderr, flush=True)
    threading.Thread(target=end, args=[child], daemon=True).start()
    say(started=json.loads(line)["name"], pid=child.pid)
"""


@asynccontextmanager
async def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Processes]:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    monkeypatch.setattr(
        processes_module, "FORK_SERVER", (sys.executable, "-c", FORK_SERVER, str(gate))
    )
    cluster = Cluster(Options(), tmp_path)
    all_of_them = Processes(cluster, [FEEDER])
    try:
        await all_of_them.start()
        yield all_of_them
    finally:
        await all_of_them.end_all()
        await cluster.stop()


async def test_what_is_ended_between_two_lives_has_no_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with processes(tmp_path, monkeypatch) as running:
        running.kill("feeder")
        # Opens as soon as the fork server was asked for another one and is about to start it.
        gate = await asyncio.to_thread((tmp_path / "gate").open, "w")
        ending = asyncio.create_task(running.end("feeder"))
        await asyncio.sleep(0)  # it begins to wait
        gate.close()
        await ending
        started = [int(pid) for pid in (tmp_path / "fork-server.log").read_text().split()]
        assert len(started) == 2
        for pid in started:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


async def test_a_nats_server_that_is_being_restarted_is_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no pid yet, and a signal to pid 0 goes to the whole process group: to us."""
    dead, unborn = Child(NATS, tmp_path), Child(NATS, tmp_path)
    await dead.start("sleep", "60", env={})
    cluster = Cluster(Options(), tmp_path)
    signalled: list[int] = []
    restarting, restarted = asyncio.Event(), asyncio.Event()
    current = dead
    kill = os.kill

    async def restart() -> None:
        nonlocal current
        current = unborn
        restarting.set()
        await restarted.wait()

    def signal_to(pid: int, number: int) -> None:
        signalled.append(pid)
        if number == signal.SIGKILL:
            kill(pid, number)

    monkeypatch.setattr(cluster, "server", lambda _: current)
    monkeypatch.setattr(cluster, "restart_nats", restart)
    monkeypatch.setattr(os, "kill", signal_to)
    running = Processes(cluster, [])
    running.kill(NATS)
    await restarting.wait()
    running.stop(NATS, 1)
    restarted.set()
    await running.end_all()
    await dead.stop()
    await cluster.stop()
    assert signalled == [dead.pid]
    assert not running.stops
    assert not running.unexpected
