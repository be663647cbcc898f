"""What stands under the file's name, and beside it: the log and the locks, which are part of it."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from functions.adapters.sqlite.backup import back_up
from functions.adapters.sqlite.look import look_at
from functions.ports import Claimed, StoreBusyError, StoreFullError, StoreMisconfiguredError
from tests.functions.adapters.sqlite.test_file import refused
from tests.support.sqlite_stores import store_in
from tests.support.store_builders import LIMITS, NOW_MS, make_claim
from tests.support.stored_account_contract import ended


async def left_by_a_killed_process(path: Path, to: Path) -> None:
    """`to` and its log as they are after `kill -9`, and `to` with another name: a backup."""
    async with store_in(path) as store:
        await store.open_account()
        back_up(path, to.with_name("copy.sqlite"))
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        await store.put_ledger(ended())
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{to}{end}")


async def test_a_copy_beside_the_log_of_another_file_is_refused(
    state_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "killed.sqlite"
    await left_by_a_killed_process(state_file, path)
    shutil.copy(tmp_path / "copy.sqlite", path)
    before = path.read_bytes()
    await refused(path, "is a copy", "take killed.sqlite-wal and -shm away")
    with pytest.raises(StoreMisconfiguredError, match="is a copy"):
        look_at(path)
    assert path.read_bytes() == before

    Path(f"{path}-wal").unlink()
    async with store_in(path) as store:  # and beside its own log it is opened again
        assert (await store.open_account()).claims == {}
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        async with store_in(path) as another:
            assert (await another.open_account()).claims == {"0xm1": make_claim()}


async def test_a_log_without_its_file_is_no_start_of_a_new_one(
    state_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "killed.sqlite"
    await left_by_a_killed_process(state_file, path)
    path.rename(tmp_path / "elsewhere.sqlite")
    await refused(path, "is gone", "put the file back")
    assert not path.exists()
    (tmp_path / "elsewhere.sqlite").rename(path)
    async with store_in(path) as store:
        assert (await store.open_account()).claims == {"0xm1": make_claim()}


@pytest.mark.parametrize("end", ["-wal", "-shm"])
async def test_without_the_log_or_the_locks_nothing_is_claimed_and_nothing_lost(
    state_file: Path, end: str
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        Path(f"{state_file}{end}").unlink()
        with pytest.raises(StoreMisconfiguredError, match="removed or replaced"):
            await store.claim(make_claim("0xm2", "a2"), LIMITS, NOW_MS)
    async with store_in(state_file) as store:
        assert (await store.open_account()).claims == {"0xm1": make_claim()}


async def test_who_only_looks_sees_the_file_that_is_there_and_who_trades_is_told(
    state_file: Path, tmp_path: Path
) -> None:
    async with store_in(state_file) as trades, store_in(state_file) as looks:
        await trades.open_account()
        back_up(state_file, tmp_path / "copy.sqlite")
        assert await trades.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        assert list((await looks.account()).claims) == ["0xm1"]
        for end in ("", "-wal", "-shm"):
            Path(f"{state_file}{end}").unlink()
        with pytest.raises(StoreMisconfiguredError, match="there is no store"):
            await looks.account()
        (tmp_path / "copy.sqlite").rename(state_file)
        assert (await looks.account()).claims == {}
        with pytest.raises(StoreMisconfiguredError, match="removed or replaced"):
            await trades.account()


async def test_a_folder_that_was_moved_is_not_taken_for_a_full_disk(
    state_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = state_file.rename(folder / "state.sqlite")
    async with store_in(path) as store:
        await store.open_account()
        folder.rename(tmp_path / "moved")
        with pytest.raises(StoreMisconfiguredError, match="removed or replaced"):
            await store.claim(make_claim(), LIMITS, NOW_MS)
        with pytest.raises(StoreMisconfiguredError, match="there is no folder"):
            await store.claim(make_claim(), LIMITS, NOW_MS)


async def test_where_a_copy_does_not_fit_its_own_disk_is_named(
    state_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode, full.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"

    def fails(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr("functions.adapters.sqlite.backup.check_integrity", fails)
    target = tmp_path / "copy.sqlite"
    with pytest.raises(StoreFullError, match=f"^backup: {re.escape(str(target))}: .* full"):
        back_up(state_file, target)
    assert not target.exists()


async def test_a_halt_stops_the_account_of_the_file_that_is_there(
    state_file: Path, tmp_path: Path
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        back_up(state_file, tmp_path / "copy.sqlite")
        for end in ("", "-wal", "-shm"):
            Path(f"{state_file}{end}").unlink()
        (tmp_path / "copy.sqlite").rename(state_file)
        await store.halt("by hand")
    async with store_in(state_file) as store:
        assert (await store.open_account()).halt_reason == "by hand"


async def test_what_a_call_failed_with_is_not_hidden_by_a_file_that_does_not_close(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.adapters.sqlite.thread.CALL_TIMEOUT_S", 0.05)
    goes_on = threading.Event()
    with pytest.raises(KeyError, match="this one"):
        async with store_in(state_file) as store:
            stuck = asyncio.create_task(store._file.use("stuck", lambda _: goes_on.wait(5)))
            await asyncio.sleep(0)
            raise KeyError("this one")
    goes_on.set()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_where_no_thread_can_be_had_it_is_asked_for_again(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with store_in(state_file) as store:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuses)
            began_s = time.monotonic()
            with pytest.raises(StoreBusyError, match="new thread"):
                await store.open_account()
            assert time.monotonic() - began_s < 5
        await store.open_account()
