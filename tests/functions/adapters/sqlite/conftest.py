from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from functions.adapters.sqlite.place import make
from functions.adapters.sqlite.schema import STATE_SCHEMA
from functions.adapters.sqlite.store import SqliteStore
from tests.support.sqlite_stores import SqliteTable, state_file, store_in
from tests.support.store_wallets_contract import StoreNamed
from tests.support.stored_model_contract import Opened, opened_on

__all__ = ["state_file"]


@pytest.fixture
def table(state_file: Path) -> SqliteTable:
    """The state file as a person with `sqlite3` sees it."""
    return SqliteTable(state_file)


@pytest.fixture
def store_named(store: SqliteStore) -> StoreNamed:
    return lambda name: SqliteStore(store._file, store._log, name)


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A store and its file for properties, on a loop of its own."""
    path = tmp_path_factory.mktemp("opened") / "state.sqlite"
    make(path, STATE_SCHEMA)
    with opened_on(store_in(path), SqliteTable(path)) as it:
        yield it


@pytest.fixture
async def store(state_file: Path) -> AsyncIterator[SqliteStore]:
    async with store_in(state_file) as opened:
        yield opened
