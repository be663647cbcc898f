"""A file of an older version becomes one of the newest, in one transaction or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.adapters.sqlite.file import SqliteFile
from functions.adapters.sqlite.place import make
from functions.adapters.sqlite.schema import Schema
from functions.ports import StoreError

ID = 7
OLDEST = Schema(application_id=ID, tables=("CREATE TABLE a (x)",), migrations={})
NEWEST = Schema(
    application_id=ID,
    tables=("CREATE TABLE a (x, y)", "CREATE TABLE b (z)"),
    version=3,
    migrations={
        1: ("ALTER TABLE a ADD COLUMN y DEFAULT 5",),
        2: ("CREATE TABLE b (z)", "INSERT INTO b SELECT x FROM a"),
    },
)
BROKEN = Schema(
    application_id=ID,
    tables=(),
    version=3,
    migrations={1: NEWEST.migrations[1], 2: ("INSERT INTO nowhere VALUES (1)",)},
)


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "file.sqlite"
    make(path, OLDEST)
    with sqlite3.connect(path) as sql:
        sql.execute("INSERT INTO a VALUES (1)")
    sql.close()
    yield path


async def test_each_step_is_made_once(older: Path) -> None:
    for _ in range(2):
        file = SqliteFile(older, NEWEST, "NORMAL")
        rows = await file.read("test", lambda sql: sql.execute("SELECT * FROM a, b").fetchall())
        assert rows == [(1, 5, 1)]
        await file.close()


async def test_a_step_that_fails_leaves_the_file_as_it_was(older: Path) -> None:
    broken = SqliteFile(older, BROKEN, "NORMAL")
    with pytest.raises(StoreError, match="nowhere"):
        await broken.read("test", lambda sql: None)
    await broken.close()
    file = SqliteFile(older, OLDEST, "NORMAL")
    rows = await file.read("test", lambda sql: sql.execute("SELECT * FROM a").fetchall())
    assert rows == [(1,)]
    await file.close()
