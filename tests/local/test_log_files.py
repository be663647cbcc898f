from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.log_files import LogFile


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    """As on a full disk: a write takes what fits, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_size_and_number_are_bounded_and_lines_stay_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "worker-1.log", file_bytes_max=100, files_max=3)
    lines = [f'{{"event": "line", "number": {number}}}' for number in range(50)]
    for line in lines:
        log.write(f"{line}\n".encode())
    files = ["worker-1.log.2", "worker-1.log.1", "worker-1.log"]
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(files)
    assert all((tmp_path / name).stat().st_size <= 100 for name in files)
    kept = [line for name in files for line in (tmp_path / name).read_text().splitlines()]
    assert kept == lines[-len(kept) :]
    assert len(kept) >= 6


def test_a_line_longer_than_a_file_is_kept_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", file_bytes_max=10, files_max=2)
    for line in (b"short", b"a" * 50, b"b" * 50):
        log.write(line)
    assert (tmp_path / "a.log").read_bytes() == b"b" * 50 + b"\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"a" * 50 + b"\n"


def test_it_goes_on_where_it_was_and_behind_a_line_that_broke_off(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"whole\nbroken o")
    log = LogFile(tmp_path / "a.log", file_bytes_max=24)
    log.write(b"next")
    assert (tmp_path / "a.log").read_text().splitlines() == ["whole", "broken o", "next"]
    log.write(b"one more")
    assert (tmp_path / "a.log").read_text() == "one more\n"


def test_on_a_full_disk_lines_are_counted_and_said_once_and_none_is_torn(tmp_path: Path) -> None:
    said: list[str] = []
    log = LogFile(tmp_path / "a.log", said.append, quiet_s=0)
    log.write(b"first")
    with files_end_at(12):
        for _ in range(3):
            log.write(b"does not fit")
    assert log.lost == 3
    assert (tmp_path / "a.log").read_text() == "first\n"
    log.write(b"last")
    log.write(b"very last")
    assert (tmp_path / "a.log").read_text() == "first\nlast\nvery last\n"
    path = tmp_path / "a.log"
    assert said[1:] == [f"{path} is written again; lines lost meanwhile: 3"]
    assert said[0].startswith(f"cannot write {path}: ")


def test_a_directory_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    said: list[str] = []
    log = LogFile(tmp_path / "gone" / "a.log", said.append)
    log.write(b"lost")
    assert log.lost == 1
    assert said == [
        f"cannot write {log.path}: No such file or directory; all else goes on",
    ]
