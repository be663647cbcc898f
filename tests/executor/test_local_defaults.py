"""Commands that look at accounts find the system on this machine, unless a variable says more."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest

from executor.command_line import _GROUPS, _NAMES
from executor.local_defaults import LOCK, LOOKING, STALE_S, use_local_system
from local.status import FILE_NAME, SystemStatus, write_status

ENVIRONMENT = {
    "STATE": "sqlite:////x/state.sqlite",
    "NATS_URL": "nats://127.0.0.1:1",
    "SERIES": "a",
}


def told(folder: Path, *, stopped: bool = False, age_s: float = 0) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = SystemStatus(
        pid=1,
        started_at_ms=0,
        written_at_ms=int((time.time() - age_s) * 1000),
        execution="paper",
        environment=ENVIRONMENT,
        venue="http://127.0.0.1:1",
        processes=(),
        stopped=stopped,
    )
    write_status(folder, status)
    return folder


def said(
    capsys: pytest.CaptureFixture[str], environment: dict[str, str], *arguments: str
) -> tuple[str, dict[str, str]]:
    use_local_system(arguments, environment)
    out, err = capsys.readouterr()
    assert out == ""
    return err, environment


def test_what_is_not_set_is_the_systems_and_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = told(tmp_path / "data")
    given = {"EXECUTOR_DATA": str(folder), "COOLDOWN_S": "5", "STATE": ""}
    line, filled = said(capsys, given, "status")
    assert line == f"looking at {folder}: paper, running\n"
    assert filled == {**ENVIRONMENT, "COOLDOWN_S": "5", "EXECUTOR_DATA": str(folder)}


def test_a_halt_reaches_the_systems_accounts_whatever_the_terminal_has_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = told(tmp_path / "data")
    left = {"STRATEGIES": "another", "GROUP": "g", "EXECUTION": "live", "NATS_URL": "nats://x:1"}
    given = {"EXECUTOR_DATA": str(folder), "SERIES": ENVIRONMENT["SERIES"], **left}
    line, filled = said(capsys, given, "halt", "--all", "--reason", "x")
    names = "STRATEGIES, GROUP, EXECUTION, NATS_URL"
    assert line == f"looking at {folder}: paper, running; not as set here: {names}\n"
    assert filled == {**ENVIRONMENT, "EXECUTOR_DATA": str(folder)}


def test_it_is_found_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(capsys, {}, "status") == ("", {})  # there is none
    told(tmp_path / "executor-data", stopped=True)
    line, filled = said(capsys, {}, "halt", "--reason", "x")
    assert line == "looking at executor-data: paper, stopped\n"
    assert filled["STATE"] == ENVIRONMENT["STATE"]
    assert filled["EXECUTOR_DATA"] == "executor-data"


def test_a_system_that_was_killed_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = told(tmp_path / "data", age_s=STALE_S + 1)
    line, _ = said(capsys, {"EXECUTOR_DATA": str(folder)}, "positions")
    assert line == f"looking at {folder}: paper, DOES NOT RUN (it was killed)\n"


def test_on_a_full_disk_its_file_is_old_and_it_still_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = told(tmp_path / "data", age_s=STALE_S + 1)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        line, _ = said(capsys, {"EXECUTOR_DATA": str(folder)}, "status")
    assert line == f"looking at {folder}: paper, running\n"
    line, _ = said(capsys, {"EXECUTOR_DATA": str(folder)}, "status")
    assert "DOES NOT RUN" in line


def test_a_script_reads_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = told(tmp_path / "data")
    line, filled = said(capsys, {"EXECUTOR_DATA": str(folder)}, "status", "--json")
    assert (line, "STATE" in filled) == ("", True)


@pytest.mark.parametrize("name", ["STATE", "STATE_TABLE", "AWS_ENDPOINT_URL_DYNAMODB"])
def test_a_variable_that_names_a_store_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / FILE_NAME).write_text("no JSON")
    given = {"EXECUTOR_DATA": str(tmp_path), name: "x"}
    assert said(capsys, dict(given), "status") == ("", given)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("status", "--help"), ("backtest",)])
def test_nobody_else_is_bothered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    (tmp_path / FILE_NAME).write_text("no JSON")
    given = {"EXECUTOR_DATA": str(tmp_path)}
    assert said(capsys, dict(given), *arguments) == ("", given)


def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE_NAME).write_text('{"pid": 1}')
    with pytest.raises(SystemExit) as ended:
        use_local_system(["status"], {"EXECUTOR_DATA": str(tmp_path)})
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"{tmp_path}/{FILE_NAME}: it cannot be read, or another version")
    assert line.count("\n") == 1


def test_what_others_can_write_is_not_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = told(tmp_path / "data")
    folder.chmod(0o777)
    given = {"EXECUTOR_DATA": str(folder)}
    with pytest.raises(SystemExit) as ended:
        use_local_system(["status"], given)
    assert ended.value.code == 2
    assert "STATE" not in given
    assert "another user can write it" in capsys.readouterr().err


def test_every_command_that_looks_at_accounts_finds_it() -> None:
    names = {
        _NAMES[each] if each in _NAMES else getattr(each, "__name__", "")
        for group in ("Trade", "Look", "Care")
        for each in _GROUPS[group]
    }
    assert names - {"paper", "live"} <= LOOKING
