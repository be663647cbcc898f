"""Embedded stores of tests, each in a file of its own; and what a person with `sqlite3` would do.

from tests.support.sqlite_stores import state_file

__all__ = ["state_file"]
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from functions.adapters.sqlite import groups
from functions.adapters.sqlite.accounts import find, put
from functions.adapters.sqlite.place import make
from functions.adapters.sqlite.schema import STATE_SCHEMA
from functions.adapters.sqlite.store import SqliteStore, open_stores
from functions.core.account import Account
from functions.core.collective import CollectiveState
from tests.support.store_builders import STRATEGY


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    """A new, empty state file."""
    path = tmp_path / "state.sqlite"
    make(path, STATE_SCHEMA)
    return path


@asynccontextmanager
async def store_in(
    path: Path, account_name: str = STRATEGY, *, durable: bool = False
) -> AsyncIterator[SqliteStore]:
    async with open_stores([account_name], path, durable=durable) as stores:
        yield stores[account_name]


class SqliteTable:
    """The file behind the store's back; as `tests.support.dynamodb_items.Table`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _sql(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as sql:
            sql.execute("PRAGMA synchronous = OFF")  # nobody cuts the power
            yield sql

    def run(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with self._sql() as sql:
            return sql.execute(statement, values).fetchall()

    def put_account(self, account: Account, account_name: str = STRATEGY) -> None:
        with self._sql() as sql:
            put(sql, account_name, account)

    def account(self, account_name: str = STRATEGY) -> Account:
        with self._sql() as sql:
            account = find(sql, account_name)
        assert account is not None
        return account

    def put_group(self, name: str, state: CollectiveState) -> None:
        with self._sql() as sql:
            groups.put(sql, name, state)

    def group(self, name: str) -> CollectiveState:
        with self._sql() as sql:
            state = groups.find(sql, name)
        assert state is not None
        return state

    def delete_account(self, account_name: str = STRATEGY) -> None:
        self.run("DELETE FROM accounts WHERE name = ?", account_name)

    def delete_configurations(self, account_name: str = STRATEGY) -> None:
        self.run("DELETE FROM configurations WHERE owner = ?", f"STRATEGY#{account_name}")
