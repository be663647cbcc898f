"""What doctor says of the system on this machine."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from executor.doctor import checks, configuration, system
from executor.doctor.finding import Finding, Level
from local.status import ProcessStatus, SystemStatus, write_status


def told(folder: Path, *, stopped: bool = False, age_s: float = 0, **process: Any) -> Path:
    feeder = ProcessStatus(
        **{"name": "feeder", "state": "running", "since_ms": 0, "pid": 1, **process}
    )
    status = SystemStatus(
        pid=1,
        started_at_ms=0,
        written_at_ms=int((time.time() - age_s) * 1000),
        execution="paper",
        environment={},
        venue="http://127.0.0.1:1",
        processes=(feeder,),
        stopped=stopped,
    )
    write_status(folder, status)
    return folder


async def of(folder: Path) -> dict[str, Finding]:
    return {each.what: each for each in await system.check(folder)}


async def test_without_a_folder_nothing_is_said(tmp_path: Path) -> None:
    assert await system.check(None) == []
    assert await system.check(tmp_path) == []
    assert not system.stands_still(None)


async def test_all_that_runs_is_well(tmp_path: Path) -> None:
    found = await of(told(tmp_path))
    assert {each.level for each in found.values()} == {Level.OK}
    assert found.keys() == {system.WHAT, "process feeder", "room on the disk"}
    assert not system.stands_still(tmp_path)


async def test_what_does_not_run_is_said_with_what_to_do(tmp_path: Path) -> None:
    found = (await of(told(tmp_path, stopped=True)))[system.WHAT]
    assert (found.level, found.do) == (Level.WARN, "start it: executor paper")
    found = (await of(told(tmp_path, age_s=60)))[system.WHAT]
    assert (found.level, found.do) == (Level.FAIL, "start it: executor paper")
    assert system.stands_still(tmp_path)


@pytest.mark.parametrize(
    ("process", "level", "says"),
    [
        ({"state": "waiting", "last_end": "SIGSEGV"}, Level.FAIL, "it does not run: SIGSEGV"),
        ({"problem": "not connected"}, Level.WARN, "not connected"),
        ({"restarts": 7}, Level.WARN, "7 times"),
        ({"state": "starting"}, Level.WARN, "starting"),
    ],
)
async def test_a_process_in_trouble_is_named(
    tmp_path: Path, process: dict[str, Any], level: Level, says: str
) -> None:
    found = (await of(told(tmp_path, **process)))["process feeder"]
    assert (found.level, says in found.text) == (level, True), found


async def test_little_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, level in ((100 << 20, Level.FAIL), (10**9, Level.WARN)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert (await of(told(tmp_path)))["room on the disk"].level is level


async def test_of_a_stopped_system_the_store_is_looked_at_and_nats_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTOR_DATA", str(told(tmp_path, stopped=True)))
    monkeypatch.setenv("STATE", f"sqlite:///{tmp_path}/state.sqlite")
    found = {each.what: each for each in await checks.examine(configuration.read())}
    assert (found["NATS"].level, found["NATS"].text[:9]) == (Level.WARN, "not asked")
    assert found["store"].text == f"{tmp_path}/state.sqlite: not there yet"
