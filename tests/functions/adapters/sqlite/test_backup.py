"""A copy made while it is written to: of one moment, whole or not there, never over another."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from functions.adapters.sqlite import backup as module
from functions.adapters.sqlite import place
from functions.adapters.sqlite.backup import back_up
from functions.ports import Claimed, StoreMisconfiguredError
from tests.support.sqlite_stores import store_in
from tests.support.store_builders import LIMITS, NOW_MS, STRATEGY, make_claim
from tests.support.stored_account_contract import ended


async def filled(path: Path, rows: int) -> None:
    async with store_in(path) as store:
        await store.open_account()
        for number in range(rows):
            await store.put_ledger(ended(attempt=f"a{number}", claimed_at_ms=NOW_MS + number))


async def test_a_copy_is_of_one_moment_however_much_is_written_meanwhile(
    state_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGES_AT_ONCE", 2)
    await filled(state_file, 60)
    target, shares = tmp_path / "copy.sqlite", []
    async with store_in(state_file) as store:
        loop = asyncio.get_running_loop()

        def tell(share: float) -> None:
            """Between two steps of the copy somebody claims, and files."""
            shares.append(share)
            number = len(shares)
            claim = make_claim(f"0xm{number}", f"n{number}")
            if number <= 3:
                claimed = asyncio.run_coroutine_threadsafe(store.claim(claim, LIMITS, NOW_MS), loop)
                assert claimed.result(5) == Claimed()

        contents = await asyncio.to_thread(back_up, state_file, target, tell)
        assert len((await store.account()).claims) == 3
    assert len(shares) > 3
    assert (contents.accounts, contents.ledger_rows) == ((STRATEGY,), 60)
    async with store_in(target) as copied:
        assert (await copied.account()).claims == {}
        assert len(await copied.ledger(0, 10**14)) == 60


async def test_nothing_is_written_over_and_nothing_is_left(
    state_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(state_file, 3)
    target = tmp_path / "copy.sqlite"
    target.write_text("mine")
    with pytest.raises(FileExistsError):
        back_up(state_file, target)
    assert target.read_text() == "mine"
    target.unlink()

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "check_integrity", dies)
    with pytest.raises(KeyboardInterrupt):
        back_up(state_file, target)
    assert [each.name for each in tmp_path.iterdir()] == ["state.sqlite"]


async def test_a_damaged_file_is_not_taken_for_a_backup(state_file: Path, tmp_path: Path) -> None:
    await filled(state_file, 400)
    data = bytearray(state_file.read_bytes())
    for at in range(9 * 4_096, len(data), 4_096):
        data[at : at + 200] = b"\xff" * 200
    state_file.write_bytes(data)
    with pytest.raises(StoreMisconfiguredError, match="damaged"):
        back_up(state_file, tmp_path / "copy.sqlite")
    assert not (tmp_path / "copy.sqlite").exists()


def test_of_two_that_make_one_file_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with pytest.raises(FileExistsError), place.new_file(path) as first:
        first.write_text("first")
        with place.new_file(path) as second:
            second.write_text("second")
    assert path.read_text() == "second"
    assert [each.name for each in tmp_path.iterdir()] == ["new"]


async def test_a_copy_is_one_file_and_serves(state_file: Path, tmp_path: Path) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        back_up(state_file, tmp_path / "copy.sqlite")  # its last write is still in the log
    with sqlite3.connect(tmp_path / "copy.sqlite") as sql:
        assert sql.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    sql.close()
    async with store_in(tmp_path / "copy.sqlite") as restored:
        assert (await restored.open_account()).claims == {"0xm1": make_claim()}
