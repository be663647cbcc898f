"""The decision log in its own file: rows go after a week, and it keeps no claim waiting."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from functions.adapters.sqlite import decisions as module
from functions.ports import Claimed, StoreError
from tests.support.sqlite_stores import SqliteTable
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_claim, make_decision

DAY_MS = 86_400_000


@pytest.fixture
def log_file(state_file: Path) -> Path:
    return state_file.with_name("decisions.sqlite")


async def test_rows_go_after_a_week(store, log_file: Path) -> None:
    old = [make_decision(n, decided_at_ms=NOW_MS + n) for n in range(5)]
    await store.put_decisions(old)
    await store.put_decisions([make_decision(9, decided_at_ms=NOW_MS + 7 * DAY_MS + 3)])
    ids = SqliteTable(log_file).run("SELECT decision_id FROM decisions ORDER BY decided_at_ms")
    assert ids == [("d003",), ("d004",), ("d009",)]


async def test_a_decision_from_a_clock_that_is_ahead_takes_no_other_with_it(store) -> None:
    told = make_decision(1)
    await store.put_decisions([told])
    # By a year; the clock of who writes them is not.
    await store.put_decisions([make_decision(2, decided_at_ms=NOW_MS + 10**11)])
    assert await store.decisions(TODAY, 9) in ([told], [])


async def test_the_file_does_not_grow_without_end(
    store, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 300_000)
    for number in range(0, 900, 25):
        batch = [make_decision(n, text="x" * 900) for n in range(number, number + 25)]
        await store.put_decisions(batch)
    assert log_file.stat().st_size < 800_000
    newest = await store.decisions(TODAY, 1_000)
    assert newest[0].decision_id == "d899"
    assert len(newest) < 900


async def test_a_batch_that_has_one_twice_keeps_the_last(store) -> None:
    await store.put_decisions([make_decision(1), make_decision(2), make_decision(1, repeats=4)])
    assert [each.repeats for each in await store.decisions(TODAY, 9)] == [0, 4]


async def test_a_log_that_waits_concerns_no_claim(store, log_file: Path) -> None:
    await store.open_account()
    await store.put_decisions([make_decision(1)])
    with closing(sqlite3.connect(log_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()


async def test_a_log_that_is_no_database_fails_its_own_calls_alone(store, log_file: Path) -> None:
    log_file.write_bytes(b"no database" * 1_000)
    await store.open_account()
    for call in (store.put_decisions([make_decision(2)]), store.decisions(TODAY, 1)):
        with pytest.raises(StoreError, match="decisions"):
            await call
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
