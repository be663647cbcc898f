"""Opening, and what can go wrong with a file: one line each, and nothing half done."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from functions.adapters.sqlite import file as file_module
from functions.adapters.sqlite import hosts, place
from functions.adapters.sqlite.hosts import Host
from functions.adapters.sqlite.place import RESERVE_BYTES, decisions_beside
from functions.core.claim import ClaimState
from functions.ports import (
    Claimed,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreMisconfiguredError,
)
from tests.support.dynamodb_engines import ROOT
from tests.support.sqlite_stores import SqliteTable, store_in
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_account, make_claim

RELEASED = make_claim(state=ClaimState.RELEASED, version=2, by_intent=True, counted=False)


async def refused(path: Path, *words: str) -> str:
    """The one line that opening the account is refused with."""
    async with store_in(path) as store:
        with pytest.raises(StoreMisconfiguredError) as raised:
            await store.open_account()
    text = str(raised.value)
    assert text.startswith("STATE: ")
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


# -- opening ---------------------------------------------------------------------------------------


async def test_whoever_only_looks_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    async with store_in(path) as store:
        for look in (store.account(), store.ledger(0, 1), store.configuration()):
            with pytest.raises(StoreMisconfiguredError, match=r"^STATE: there is no store "):
                await look
        assert await store.decisions(TODAY, 1) == []
        assert list(tmp_path.iterdir()) == []
        await store.open_account()
    assert [each.name for each in tmp_path.iterdir()] == ["state.sqlite"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_many_make_one_file(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"

    async def opened(name: str) -> None:
        async with store_in(path, name) as store:
            await store.open_account()

    await asyncio.gather(*(opened(f"a{number}") for number in range(6)))
    names = SqliteTable(path).run("SELECT name FROM accounts ORDER BY name")
    assert names == [(f"a{number}",) for number in range(6)]


async def test_where_no_file_can_be_is_said(tmp_path: Path) -> None:
    await refused(tmp_path / "none" / "s.sqlite", f"there is no folder {tmp_path / 'none'}")
    (tmp_path / "folder.sqlite").mkdir()
    await refused(tmp_path / "folder.sqlite", "is not a file")


def test_what_may_not_be_written_to_is_said(state_file: Path) -> None:
    program = """
        import asyncio, os, sys
        from pathlib import Path
        from tests.support.sqlite_stores import store_in
        if os.getuid() == 0:
            os.setuid(65534)
        async def main(path):
            async with store_in(Path(path)) as store:
                try:
                    await store.open_account()
                except Exception as error:
                    print(type(error).__name__, error)
        for path in sys.argv[1:]:
            asyncio.run(main(path))
    """
    with TemporaryDirectory() as name:  # not pytest's own, which is its user's alone
        folder, file = Path(name) / "folder", Path(name) / "file"
        for each in (folder, file):
            each.mkdir()
            shutil.copy(state_file, each)
            (each / "state.sqlite").chmod(0o666)
        folder.chmod(0o555)
        file.chmod(0o777)
        (file / "state.sqlite").chmod(0o444)
        Path(name).chmod(0o755)
        paths = [each / "state.sqlite" for each in (folder, file)]
        told = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", textwrap.dedent(program), *paths],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        folder.chmod(0o755)
    wanted = "StoreMisconfiguredError STATE: {} cannot be written to"
    assert told == [wanted.format(folder), wanted.format(file / "state.sqlite")]


async def test_what_is_no_store_is_left_as_it_is(tmp_path: Path) -> None:
    text, empty, foreign = (tmp_path / name for name in ("text", "empty", "foreign"))
    text.write_bytes(b"not a database, and long enough to be looked at as one" * 100)
    empty.touch()
    with closing(sqlite3.connect(foreign)) as sql:
        sql.execute("CREATE TABLE letters (a)")
    for path in (text, empty, foreign):
        before = path.read_bytes()
        await refused(path, str(path))
        assert path.read_bytes() == before


async def test_a_file_of_a_newer_version_is_refused_at_once_and_while_it_is_used(
    state_file: Path,
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        SqliteTable(state_file).run("PRAGMA user_version = 2")
        with pytest.raises(StoreMisconfiguredError, match="newer version"):
            await store.claim(make_claim(), LIMITS, NOW_MS)
    await refused(state_file, "newer version (2)", "(1)")


async def test_a_damaged_file_is_refused_and_says_how_to_go_on(state_file: Path) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        for number in range(300):
            await store.put_ledger(make_claim(attempt=f"a{number}", claimed_at_ms=NOW_MS + number))
    data = bytearray(state_file.read_bytes())
    for at in range(8 * 4_096, len(data), 4_096):
        data[at : at + 400] = os.urandom(400)
    state_file.write_bytes(data)
    await refused(state_file, "damaged", "backup")


async def test_a_network_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(place, "MOUNTS", mounts)
    (tmp_path / "a b").mkdir()
    shown = str(tmp_path / "a b").replace(" ", r"\040")
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nhost:/x {shown} nfs4 rw 0 0\n")
    await refused(tmp_path / "a b" / "s.sqlite", "network disk (nfs4)", "STATE=dynamodb")
    async with store_in(tmp_path / "s.sqlite") as store:
        await store.open_account()


# -- while it is used ------------------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is in the middle of a write, and does not go on."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_lock_that_is_held_is_busy_in_bounded_time_and_stops_no_loop(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "LOCK_WAIT_MS", 150)
    async with store_in(state_file) as store:
        await store.open_account()
        with locked(state_file):
            claiming = asyncio.create_task(store.claim(make_claim(), LIMITS, NOW_MS))
            turns = 0
            while not claiming.done():
                await asyncio.sleep(0.005)
                turns += 1
            with pytest.raises(StoreBusyError, match=r"^claim: .*locked"):
                await claiming
            assert turns > 5
            assert await store.account() == make_account()  # who reads waits for nobody
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()


async def test_a_cancelled_write_goes_on_to_its_end_and_the_next_one_is_served(
    state_file: Path,
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        with locked(state_file):
            begun = asyncio.create_task(store.claim(make_claim(), LIMITS, NOW_MS))
            waiting = asyncio.create_task(store.halt("not begun"))
            await asyncio.sleep(0.05)
            for each in (begun, waiting):
                each.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await each
        account = await store.account()
        assert account.claims == {"0xm1": make_claim()}
        assert account.trading == "enabled"
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()


async def test_a_disk_that_does_not_answer_is_given_up(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.adapters.sqlite.thread.CALL_TIMEOUT_S", 0.05)
    async with store_in(state_file) as store:
        stuck = asyncio.create_task(store._file.use("stuck", lambda _: time.sleep(0.3)))
        await asyncio.sleep(0)
        with pytest.raises(StoreBusyError, match="no answer within"):  # it has not begun
            await store.claim(make_claim(), LIMITS, NOW_MS)
        with pytest.raises(StoreError, match="no answer within") as raised:
            await stuck
        assert not isinstance(raised.value, StoreBusyError)
        monkeypatch.undo()
        await store.open_account()
        assert (await store.account()).claims == {}


async def test_a_file_that_was_taken_away_is_not_written_to_and_none_is_made(
    state_file: Path,
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        for each in state_file.parent.glob("state.sqlite*"):
            each.unlink()
        with pytest.raises(StoreMisconfiguredError, match="removed or replaced"):
            await store.claim(make_claim(), LIMITS, NOW_MS)
        with pytest.raises(StoreMisconfiguredError, match="there is no store"):
            await store.move(RELEASED, make_claim())
    assert not state_file.exists()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StoreFullError),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusyError),
        (sqlite3.SQLITE_READONLY, StoreMisconfiguredError),
        (sqlite3.SQLITE_CORRUPT, StoreMisconfiguredError),
    ],
)
async def test_each_failure_is_what_the_port_says_and_one_line(
    state_file: Path, code: int, kind: type[StoreError]
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()

        def fails(sql: sqlite3.Connection) -> None:
            sql.execute("DELETE FROM accounts")
            error = sqlite3.OperationalError("it\nfailed")
            error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_THAT"
            raise error

        with pytest.raises(StoreError) as raised:
            await store._file.write("test", fails)
        assert type(raised.value) is kind
        assert "it failed" in str(raised.value)
        assert await store.account() == make_account()  # nothing of it, and it goes on


# -- room ------------------------------------------------------------------------------------------


async def test_on_a_full_disk_no_claim_is_made_and_what_was_claimed_is_written_down(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        assert store.problem() is None
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        monkeypatch.setattr(place, "free_bytes", lambda _: RESERVE_BYTES - 1)
        with pytest.raises(StoreFullError, match=r"^claim: the disk .* 63 MB are left"):
            await store.claim(make_claim("0xm2", "a2"), LIMITS, NOW_MS)
        assert "no claim is made" in str(store.problem())
        assert await store.move(RELEASED, make_claim())
        await store.put_ledger(RELEASED)
        await store.halt("the disk is full")
        monkeypatch.undo()
        assert await store.resume(await store.account())
        assert await store.claim(make_claim("0xm2", "a2"), LIMITS, NOW_MS) == Claimed()


async def test_a_disk_without_any_room_keeps_what_is_there(state_file: Path) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        pages = await store._file.use("test", _limited)
        assert pages
        text = "x" * 200_000
        with pytest.raises(StoreFullError, match="full"):
            await store.halt(text)
        assert await store.account() == make_account()
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()


def _limited(sql: sqlite3.Connection) -> int:
    pages = int(sql.execute("PRAGMA page_count").fetchone()[0])
    return int(sql.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone()[0])


# -- hosts -----------------------------------------------------------------------------------------

ELSEWHERE = Host(name="other-host", machine="m2", kernel="k2")


async def test_a_second_host_is_refused_until_the_first_is_silent(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_in(state_file) as here:
        await here.open_account()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("functions.adapters.sqlite.state_file.this_host", lambda: ELSEWHERE)
            await refused(state_file, "in use on host", "DynamoDB is the only store across hosts")
            SqliteTable(state_file).run("UPDATE host SET seen_at_ms = seen_at_ms - 60001")
            async with store_in(state_file) as there:
                await there.open_account()
        # The first one comes back (a lid that was opened): it may claim nothing any more.
        with pytest.raises(StoreMisconfiguredError, match="in use on host other-host"):
            await here._file.beat()
        with pytest.raises(StoreMisconfiguredError, match="in use on host other-host"):
            await here.claim(make_claim(), LIMITS, NOW_MS)
        assert "other-host" in str(here.problem())


async def test_a_sign_of_life_is_given_while_it_is_kept_up(
    state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_in(state_file) as store:
        await store.open_account()
        table = SqliteTable(state_file)
        table.run("UPDATE host SET seen_at_ms = seen_at_ms - 30000")
        [(before,)] = table.run("SELECT seen_at_ms FROM host")
        await store._file.beat()
        [(now,)] = table.run("SELECT seen_at_ms FROM host")
        assert int(str(now)) - int(str(before)) >= 30_000
        assert store.problem() is None


def test_the_same_machine_is_the_same_after_a_restart_and_in_a_container() -> None:
    here = hosts.this_host()
    assert here.name and here.machine
    restarted = Host(name="new-name", machine="m", kernel="k2")
    assert restarted.is_same(Host(name="n", machine="m", kernel="k1"))
    assert restarted.is_same(Host(name="n", machine="another", kernel="k2"))
    assert not Host(name="n", machine="a", kernel="").is_same(
        Host(name="n", machine="b", kernel="")
    )


def test_the_log_of_decisions_is_beside_the_state() -> None:
    assert decisions_beside(Path("a/state.sqlite")) == Path("a/decisions.sqlite")
    assert decisions_beside(Path("mine.db")) == Path("mine-decisions.db")
