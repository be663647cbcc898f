"""A process that is killed, and a disk that loses its newest bytes: nothing that was answered goes.

Not modelled: a disk that writes sectors out of order within what it was told to keep, or lies
about it.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from functions.adapters.sqlite.place import make
from functions.adapters.sqlite.schema import STATE_SCHEMA
from tests.support.dynamodb_engines import ROOT
from tests.support.sqlite_stores import store_in
from tests.support.store_script import ACCOUNT, Held, held_by, script, states

KILLS = 30
FRAME_BYTES = 24 + 4_096
HEADER_BYTES = 32


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is some: these tests write thousands of files, and read them again."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture
def state_file(folder: Path) -> Path:
    return begun_anew(folder / "state.sqlite")


def begun_anew(path: Path) -> Path:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    make(path, STATE_SCHEMA)
    return path


def held_in(path: Path) -> Held:
    async def held() -> Held:
        async with store_in(path, ACCOUNT) as store:
            return await held_by(store)

    with closing(sqlite3.connect(path)) as sql:
        assert sql.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return asyncio.run(held())


def one_of(held: Held, first: int, last: int) -> int:
    """Which of the states it is, of those after `first` writes to those after `last`."""
    every = states()
    found = [n for n in range(first, min(last, len(every) - 1) + 1) if every[n] == held]
    assert found, f"none of the states after {first} to {last} writes: {held}"
    return found[0]


# -- kill -9 ---------------------------------------------------------------------------------------


@contextmanager
def writer(path: Path, synchronous: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "tests.support.store_writer", str(path), synchronous],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def run_and_kill(process: subprocess.Popen[str], first: int, answers: int, wait_s: float) -> int:
    """Start at write `first`; kill after so many answers and a moment. How many were answered."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{first}\n")
    process.stdin.flush()
    pid = int(process.stdout.readline().removeprefix("pid "))
    answered = 0
    while answered < answers:
        assert process.stdout.readline() == f"{first + answered}\n"
        answered += 1
    time.sleep(wait_s)
    os.kill(pid, signal.SIGKILL)
    while (line := process.stdout.readline()) != "ended\n":
        assert line, "the writer ended"
        answered += 1
    return answered


def test_a_killed_process_loses_no_answer_and_tears_nothing(state_file: Path) -> None:
    seeded, done, kills, unanswered = random.Random(7), 0, 0, 0
    with writer(state_file, "NORMAL") as process:
        while kills < KILLS or not unanswered:  # it is to be met within a write, too
            if (left := len(script()) - done) == 0:
                begun_anew(state_file)
                done, left = 0, len(script())
            answers, wait_s = min(left, seeded.randint(0, 7)), seeded.random() * 0.004
            answered = run_and_kill(process, done, answers, wait_s)
            now = one_of(held_in(state_file), done + answered, done + answered + 1)
            unanswered += now - done - answered
            done, kills = now, kills + 1


# -- a power cut -----------------------------------------------------------------------------------


class Recorded:
    """The bytes of both files after each write."""

    def __init__(self, path: Path, writes: int, pages_max: int) -> None:
        self.files: list[tuple[bytes, bytes]] = []
        asyncio.run(self._record(path, writes, pages_max))

    async def _record(self, path: Path, writes: int, pages_max: int) -> None:
        async with store_in(path, ACCOUNT, durable=True) as store:
            every = f"PRAGMA wal_autocheckpoint = {pages_max}"
            await store._file.use("test", lambda sql: sql.execute(every).fetchone())
            self._keep(path)
            for write in script()[:writes]:
                await write(store)
                self._keep(path)

    def _keep(self, path: Path) -> None:
        log = path.with_name(f"{path.name}-wal")
        self.files.append((path.read_bytes(), log.read_bytes() if log.exists() else b""))


def opened_with(folder: Path, data: bytes, log: bytes) -> Held:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / "state.sqlite"
    path.write_bytes(data)
    path.with_name("state.sqlite-wal").write_bytes(log)
    return held_in(path)


def cuts(log: bytes, kept: int) -> list[bytes]:
    """The log with a part of what comes after its first `kept` bytes: cut off, zeroed, spoilt."""
    found = []
    for frame in range(kept, len(log) + 1, FRAME_BYTES):
        for more in (0, 1, 20, 24, 600, FRAME_BYTES - 1):
            end = min(frame + more, len(log))
            found.append(log[:end])
        found.append(log[:frame] + bytes(len(log) - frame))
        spoilt = bytearray(log)
        if frame + 100 < len(log):
            spoilt[frame + 100] ^= 0xFF
            found.append(bytes(spoilt))
    return found


def test_of_a_write_that_a_power_cut_met_all_is_there_or_nothing(
    state_file: Path, folder: Path
) -> None:
    recorded = Recorded(state_file, writes=24, pages_max=1_000)
    for number in range(4, 24, 3):
        (_, before), (data, log) = recorded.files[number], recorded.files[number + 1]
        # With FULL the log up to the last answered write is on the disk.
        for cut in cuts(log, len(before)):
            one_of(opened_with(folder / "cut", data, cut), number, number + 1)
        assert opened_with(folder / "cut", data, log) == states()[number + 1]


def test_without_an_fsync_a_power_cut_takes_only_the_newest_writes(
    state_file: Path, folder: Path
) -> None:
    recorded = Recorded(state_file, writes=20, pages_max=1_000)
    data, log = recorded.files[-1]
    last = 0
    for end in range(HEADER_BYTES, len(log) + 1, FRAME_BYTES):
        now = one_of(opened_with(folder / "cut", data, log[: end + 77]), last, 20)
        last = now
    assert last == 20


def test_a_power_cut_while_the_log_is_copied_into_the_file_loses_nothing(
    state_file: Path, folder: Path
) -> None:
    recorded, seeded = Recorded(state_file, writes=60, pages_max=10), random.Random(3)
    copied = 0
    for number in range(1, 61):
        (older, _), (data, log) = recorded.files[number - 1], recorded.files[number]
        if data == older:
            continue
        copied += 1
        # Any of the file's pages may have been written by then: the log still has them all.
        pages = range(0, len(data), 4_096)
        mixed = b"".join(
            (older if seeded.random() < 0.5 else data)[at : at + 4_096] or data[at : at + 4_096]
            for at in pages
        )
        assert opened_with(folder / "cut", mixed, log) == states()[number]
    assert copied >= 3
