from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from local import data_folder as data_folder_module
from local.data_folder import DataFolder, DataFolderError


def refusal(path: Path, timeout_s: float = 5.0) -> str:
    with pytest.raises(DataFolderError) as caught:
        DataFolder.open(path, timeout_s)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def ended_pid() -> int:
    """Of a process that has ended, and was waited for."""
    process = subprocess.Popen(["true"])  # noqa: S607
    process.wait()
    return process.pid


def test_it_is_made_for_its_owner_alone_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    data = DataFolder.open(path)
    assert data.path == path
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "version").read_text() == "1\n"
    assert (path / "lock").read_text() == f"{os.getpid()}\n"
    assert data.nats.is_dir()
    assert data.logs.is_dir()
    assert data.state == f"sqlite:///{path}/state.sqlite"
    data.close()
    path.chmod(0o755)
    DataFolder.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_relative_path_is_one_of_where_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = DataFolder.open(Path("executor-data"))
    data.close()
    assert data.path == tmp_path / "executor-data"


def test_a_second_one_is_refused_with_the_pid_that_holds_it(tmp_path: Path) -> None:
    data = DataFolder.open(tmp_path)
    started_s = time.monotonic()
    assert refusal(tmp_path, 60) == f"a system runs here already (pid {os.getpid()})"
    assert time.monotonic() - started_s < 30
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    data.close()
    DataFolder.open(tmp_path).close()


def test_processes_of_a_killed_supervisor_are_waited_for(tmp_path: Path) -> None:
    data = DataFolder.open(tmp_path)
    (tmp_path / "lock").write_text(f"{ended_pid()}\n")
    threading.Timer(0.2, data.close).start()
    started_s = time.monotonic()
    DataFolder.open(tmp_path).close()
    assert time.monotonic() - started_s >= 0.2


def test_while_one_of_them_lives_on_the_folder_is_refused(tmp_path: Path) -> None:
    data = DataFolder.open(tmp_path)
    child = subprocess.Popen(["sleep", "60"], pass_fds=[data.lock])  # noqa: S607
    data.close()
    (tmp_path / "lock").write_text(f"{ended_pid()}\n")
    try:
        assert "was killed, and processes of it still run" in refusal(tmp_path, 0.1)
    finally:
        child.kill()
        child.wait()
    DataFolder.open(tmp_path).close()


def test_a_supervisor_that_nobody_has_asked_about_does_not_hold_it(tmp_path: Path) -> None:
    """Killed, and its parent has not looked yet: a zombie."""
    code = f"from local.data_folder import *; DataFolder.open(Path({str(tmp_path)!r})); "
    process = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", code + "import os; os.kill(os.getpid(), 9)"],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    DataFolder.open(tmp_path).close()
    process.wait()


def test_what_is_no_directory_of_ours_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert refusal(file) == "not a directory"
    assert refusal(file / "data") == "not a directory"
    holiday = tmp_path / "photos"
    holiday.mkdir(0o755)
    (holiday / "beach.jpg").write_text("")
    assert refusal(holiday) == "holds something else (beach.jpg); name a directory of its own"
    assert holiday.stat().st_mode & 0o777 == 0o755
    assert [each.name for each in holiday.iterdir()] == ["beach.jpg"]


@pytest.mark.parametrize(
    ("version", "shown"), [("2\n", "2"), ("", "(none)"), ("\x1b[1m\xff", "[1m")]
)
def test_of_another_version_it_is_refused_and_not_held(
    tmp_path: Path, version: str, shown: str
) -> None:
    DataFolder.open(tmp_path).close()
    (tmp_path / "version").write_text(version, encoding="latin-1")
    assert refusal(tmp_path).startswith(f"of version {shown}")
    (tmp_path / "version").write_text("1\n")
    DataFolder.open(tmp_path).close()


@pytest.mark.parametrize("name", ["what?", "#1", "50%", "two\nlines"])
def test_a_name_that_no_url_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataFolderError, match=r"^[^\n]*: name a directory without \?, #, %$"):
        DataFolder.open(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_home_of_nobody_is_refused() -> None:
    with pytest.raises(DataFolderError, match=r"^~nobody.s/x: there is no such home directory$"):
        DataFolder.open(Path("~nobody.s/x"))


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    DataFolder.open(tmp_path).close()
    for name in ("lock", "version", "logs"):
        away = tmp_path / f".{name}"
        (tmp_path / name).rename(away)
        in_the_way = tmp_path / name
        in_the_way.touch() if name == "logs" else in_the_way.mkdir()
        assert refusal(tmp_path).startswith(f"cannot be used: {name}: ")
        in_the_way.unlink() if name == "logs" else in_the_way.rmdir()
        away.rename(tmp_path / name)


def test_without_space_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_folder_module, "SPACE_MIN_BYTES", 1 << 60)
    assert "no space left on the disk" in refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o500)
    assert refusal(tmp_path / "data") == f"cannot be used: {os.strerror(errno.EACCES)}"


def test_where_nothing_can_be_made_it_is_refused() -> None:
    assert refusal(Path("/proc/self/fdinfo/data")).startswith("cannot be used: ")
