"""One contract for the store in memory, the embedded one, and DynamoDB's on two engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from functions.adapters.dynamodb.store import DynamoStore
from functions.adapters.sqlite.store import SqliteStore
from tests.support.dynamodb_engines import (
    decision_table_of,
    ministack,
    moto,
    one_sdk_session,
    state_table,
    store_on,
)
from tests.support.fake_ports import MemoryStore
from tests.support.sqlite_stores import state_file, store_in
from tests.support.store_contract import StoreContract
from tests.support.store_wallets_contract import StoreNamed

__all__ = ["one_sdk_session", "state_file", "state_table"]

ENGINES = {"moto": moto, "ministack": ministack}


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        store = MemoryStore()
        store.item = None
        return store

    @pytest.fixture
    def store_named(self, store: MemoryStore) -> StoreNamed:
        return lambda name: MemoryStore(table=store.table, name=name)


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def store(self, state_file: Path) -> AsyncIterator[SqliteStore]:
        async with store_in(state_file, "strategy") as opened:
            yield opened

    @pytest.fixture
    def store_named(self, store: SqliteStore) -> StoreNamed:
        return lambda name: SqliteStore(store._file, store._log, name)


@pytest.fixture(scope="module", params=ENGINES)
def dynamodb_server(request: pytest.FixtureRequest) -> Iterator[str]:
    with ENGINES[request.param]() as url:
        yield url


@pytest.mark.usefixtures("one_sdk_session")
class TestDynamoStore(StoreContract):
    @pytest.fixture
    async def store(self, dynamodb_server: str, state_table: str) -> AsyncIterator[DynamoStore]:
        async with store_on(dynamodb_server, state_table, "strategy") as opened:
            yield opened

    @pytest.fixture
    def store_named(self, store: DynamoStore, state_table: str) -> StoreNamed:
        client, decisions = store._table._client, decision_table_of(state_table)
        return lambda name: DynamoStore(
            client, table=state_table, decision_table=decisions, account_name=name
        )
