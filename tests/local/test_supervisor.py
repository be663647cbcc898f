"""Keeping processes running, with processes that stand in for ours (`stand_ins`)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from local import supervisor as supervisor_module
from local.kept_process import RestartTimes, SystemFailedError
from local.supervisor import Supervisor
from runtime.log import line_of
from runtime.process import stop_tasks
from tests.local.stand_ins import HANGS, RUNS, SAYS_STARTED, Told, stand_in

TIMES = RestartTimes(first_s=0.02, most_s=0.08, steady_s=60)


@asynccontextmanager
async def supervising(
    tmp_path: Path, said: Told, times: RestartTimes = TIMES
) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path, said, lambda: None, times)
    try:
        yield supervisor
    finally:
        await supervisor.kill()


async def test_a_killed_process_is_started_again_and_its_reason_told(tmp_path: Path) -> None:
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        kept = supervisor.begin(stand_in("worker-1", RUNS, tmp_path))
        await said.line("worker-1 runs")
        first = kept.status
        assert (first.state, first.restarts, first.last_end) == ("running", 0, "")
        os.kill(first.pid, signal.SIGKILL)
        await said.line("worker-1 runs again")
        second = kept.status
        assert (second.state, second.restarts, second.last_end) == ("running", 1, "SIGKILL")
        assert second.pid not in (0, first.pid)
    assert said.lines == [
        "worker-1 runs",
        "worker-1 ended (SIGKILL): it is started again in 0.02 s",
        "worker-1 runs again",
        "worker-1 did not stop in order: it was killed",
    ]
    assert kept.status.state == "stopped"


async def test_a_crash_loop_is_slowed_down_and_its_reason_told_each_time(tmp_path: Path) -> None:
    critical = line_of("critical", {"event": "crashed", "exc_info": OSError("gone")})
    crashes = (
        f'print({critical[:-1]!r} + \', "level": "critical"}}\', flush=True); raise SystemExit(3)'
    )
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        supervisor.begin(stand_in("feeder", crashes, tmp_path))
        await said.line("feeder ended", 5)
    assert said.lines[:5] == [
        f"feeder ended (exit code 3: crashed: OSError: gone): it is started again in {wait_s} s"
        for wait_s in ("0.02", "0.04", "0.08", "0.08", "0.08")
    ]


async def test_who_ran_for_long_is_started_again_soon(tmp_path: Path) -> None:
    times = RestartTimes(first_s=0.02, most_s=10, steady_s=0)
    said = Told()
    async with supervising(tmp_path, said, times) as supervisor:
        supervisor.begin(stand_in("feeder", f"{SAYS_STARTED}; raise SystemExit(1)", tmp_path))
        await said.line("feeder ended", 3)
    assert said.lines.count("feeder ended (exit code 1): it is started again in 0.02 s") == 3


REFUSED = (
    "import sys; print('cannot start: SIZE_USD: too much', file=sys.stderr); raise SystemExit(2)"
)


async def test_what_only_a_person_can_mend_ends_the_start(tmp_path: Path) -> None:
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        supervisor.begin(stand_in("worker-1", REFUSED, tmp_path))
        with pytest.raises(SystemFailedError) as failed:
            await asyncio.wait_for(supervisor.failure(), 20)
    assert str(failed.value) == "worker-1 cannot start: SIZE_USD: too much"
    assert said.lines == []


async def test_without_the_console_trading_goes_on(tmp_path: Path) -> None:
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        supervisor.begin(stand_in("console", REFUSED, tmp_path, needed=False))
        await said.line("console ended (exit code 2: SIZE_USD: too much)", 2)


async def test_refused_later_it_is_tried_again(tmp_path: Path) -> None:
    """A file of a person's changes while the system runs."""
    refused_later = f"""
import os
if os.path.exists('begun'):
    {REFUSED}
open('begun', 'w')
{SAYS_STARTED}
raise SystemExit(1)
"""
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        supervisor.begin(stand_in("worker-1", refused_later, tmp_path))
        await said.line("worker-1 ended (exit code 2", 2)


async def test_what_cannot_even_begin_ends_the_start(tmp_path: Path) -> None:
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        supervisor.begin(stand_in("worker-1", RUNS, tmp_path / "gone"))
        with pytest.raises(SystemFailedError, match=r"^worker-1 cannot start: No such file"):
            await asyncio.wait_for(supervisor.failure(), 20)


async def test_they_are_stopped_in_order(tmp_path: Path) -> None:
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        for name in ("nats", "recorder", "feeder", "worker-1", "schedule"):
            supervisor.begin(stand_in(name, RUNS, tmp_path))
            await said.line(f"{name} runs")
        await supervisor.stop()
        stopped = (tmp_path / "stopped").read_text().split()
        assert stopped[0] == "feeder"
        assert sorted(stopped[1:3]) == ["schedule", "worker-1"]
        assert stopped[3:] == ["recorder", "nats"]
        assert {kept.status.state for kept in supervisor.kept} == {"stopped"}
        assert len(said.lines) == 5


async def test_who_does_not_listen_is_killed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "STOP_S", 0.6)
    monkeypatch.setattr(supervisor_module, "FEEDER_STOP_S", 0.1)
    monkeypatch.setattr(supervisor_module, "LAST_STOP_S", 0.1)
    said = Told()
    names = ["nats", "recorder", "feeder", "worker-1"]
    async with supervising(tmp_path, said) as supervisor:
        for name in names:
            supervisor.begin(stand_in(name, HANGS, tmp_path))
            await said.line(f"{name} runs")
        os.kill(supervisor.kept[-1].status.pid, signal.SIGSTOP)
        started_s = time.monotonic()
        await supervisor.stop()
        assert time.monotonic() - started_s < 1.5
    ends = [f"{name} did not stop in order: it was killed" for name in names]
    assert sorted(said.lines[4:]) == sorted(ends)


async def test_one_between_two_lives_has_no_second_one(tmp_path: Path) -> None:
    said = Told()
    times = RestartTimes(first_s=60, most_s=60)
    async with supervising(tmp_path, said, times) as supervisor:
        kept = supervisor.begin(stand_in("worker-1", "raise SystemExit(1)", tmp_path))
        await said.line("worker-1 ended")
        states = [kept.status.state]
        await supervisor.stop()
        assert [*states, kept.status.state] == ["waiting", "stopped"]


async def test_health_stands_in_the_status_and_nobody_is_killed_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "HEALTH_EVERY_S", 0.01)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=503, text="no proven book\nfor 30 s")

    async def serving(port: int) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/healthz", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    runner = await serving(0)
    port = runner.addresses[0][1]
    started = f"print('{json.dumps({'event': 'started', 'metrics_port': port})}', flush=True)"
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        code = RUNS.replace(SAYS_STARTED, started)
        kept = supervisor.begin(stand_in("feeder", code, tmp_path))
        watching = asyncio.create_task(supervisor.watch())

        async def problem_is(text: str) -> None:
            async with asyncio.timeout(20):
                while kept.status.problem != text:  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0.01)

        await said.line("feeder runs")
        assert kept.status.metrics_url == f"http://127.0.0.1:{port}/metrics"
        await problem_is("no proven book for 30 s")
        await runner.cleanup()
        await problem_is("it does not answer")
        await said.line("feeder does not answer")
        answering = await serving(port)
        await said.line("feeder answers again")
        await answering.cleanup()
        await stop_tasks(watching)
    assert kept.status.problem == ""
    assert kept.status.restarts == 0


async def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    said = Told()
    async with supervising(tmp_path / "gone", said) as supervisor:
        supervisor.begin(stand_in("feeder", RUNS, tmp_path))
        await said.line("feeder runs")
    assert said.lines[0].startswith(f"cannot write {tmp_path}/gone/feeder.log: ")


async def test_a_process_of_its_own_that_holds_its_output_holds_up_nothing(tmp_path: Path) -> None:
    leaves_one = (
        f"import subprocess; subprocess.Popen(['sleep', '3']); {SAYS_STARTED}; raise SystemExit(1)"
    )
    said = Told()
    async with supervising(tmp_path, said) as supervisor:
        supervisor.begin(stand_in("feeder", leaves_one, tmp_path))
        await said.line("feeder ended (exit code 1)")
