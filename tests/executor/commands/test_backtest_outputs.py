"""The files that a backtest writes: which are refused beforehand, and that none is ever half."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from executor.commands.backtest_options import Asked, BadInputError
from executor.commands.backtest_outputs import check_outputs, write_whole
from recordings.loader import BUNDLED


def test_files_are_tried_and_left_as_they_were(tmp_path: Path) -> None:
    (old := tmp_path / "old").write_text("kept", encoding="utf-8")
    check_outputs(Asked(json=old, trades=tmp_path / "new"))
    assert [each.name for each in tmp_path.iterdir()] == ["old"]
    assert old.read_text(encoding="utf-8") == "kept"
    check_outputs(Asked(json=Path("-")))


def test_a_file_that_cannot_be_written_is_said_beforehand(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "file", "No such file or directory"),
        (tmp_path / ("n" * 300), "File name too long"),
        (Path("a\0b"), "embedded null byte"),
    ):
        with pytest.raises(BadInputError, match=rf"^--html: [^\n]+ cannot be written: {why}$"):
            check_outputs(Asked(html=path))


def test_a_pipe_that_nobody_reads_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(BadInputError, match="not a file"):
        check_outputs(Asked(trades=pipe))


def test_two_files_are_not_one(tmp_path: Path) -> None:
    same = tmp_path / "same"
    with pytest.raises(BadInputError, match=r"^--html and --trades: the same file$"):
        check_outputs(Asked(html=same, trades=same))


@pytest.mark.parametrize("way", ["..", "symbolic", "hard"])
def test_other_names_of_a_file_are_the_same_file(tmp_path: Path, way: str) -> None:
    (same := tmp_path / "same").touch()
    other = tmp_path / "other"
    if way == "..":
        other = tmp_path / ".." / tmp_path.name / "same"
    elif way == "symbolic":
        other.symlink_to(same)
    else:
        other.hardlink_to(same)
    with pytest.raises(BadInputError, match=r"^--html and --json: the same file$"):
        check_outputs(Asked(html=same, json=other))
    check_outputs(Asked(html=Path("/dev/null"), json=Path("/dev/null")))


@pytest.mark.parametrize(
    ("out", "asked"),
    [
        ("a.jsonl.gz", {"paths": "a.jsonl.gz"}),
        ("link", {"paths": "a.jsonl.gz"}),
        ("a.jsonl.gz", {"paths": "."}),
        ("books.csv", {"paths": "."}),
        ("new.jsonl.gz", {"paths": "."}),
        ("my.py", {"strategy": "my.py:Mine"}),
        ("latest.json", {"latency": "latest.json"}),
    ],
)
def test_nothing_is_written_over_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, asked: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl.gz", "books.csv", "my.py", "latest.json", "report.json"):
        Path(name).touch()
    Path("link").symlink_to("a.jsonl.gz")
    if "paths" in asked:
        asked = {"paths": (Path(asked["paths"]),)}
    with pytest.raises(BadInputError, match=rf"^--json: {re.escape(out)} is what is to be read$"):
        check_outputs(Asked(json=Path(out), **asked))
    check_outputs(Asked(json=Path("report.json"), **asked))


def test_the_bundled_markets_are_read_where_nothing_is_named() -> None:
    path = BUNDLED / "new.jsonl.gz"
    with pytest.raises(BadInputError, match="is what is to be read"):
        check_outputs(Asked(trades=path))
    assert not path.exists()


def test_only_figures_go_to_stdout() -> None:
    with pytest.raises(BadInputError, match=r"^--trades: a file is wanted"):
        check_outputs(Asked(trades=Path("-")))


# -- writing ---------------------------------------------------------------------------------------


def test_a_file_is_replaced_with_its_rights_and_through_its_links(tmp_path: Path) -> None:
    (old := tmp_path / "old").write_bytes(b"old")
    old.chmod(0o640)
    (link := tmp_path / "link").symlink_to(old)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (old.read_bytes(), stat.S_IMODE(old.stat().st_mode)) == (b"new", 0o640)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "old"]


def test_a_disk_that_is_full_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (old := tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(old, b"new")
    assert old.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["old"]
    with pytest.raises(OSError, match="No space"):
        write_whole(Path("/dev/full"), b"new")


def test_a_signal_waits_until_the_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[bytes] = []
    path, fsync = tmp_path / "file", os.fsync

    def interrupted(descriptor: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    before = signal.signal(signal.SIGINT, lambda *_: came.append(path.read_bytes()))
    try:
        write_whole(path, b"all of it")
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [b"all of it"]
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
