"""One contract for collective limits: in memory, embedded, and on DynamoDB on two engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from functions.adapters.dynamodb.store import DynamoStore
from functions.adapters.sqlite.store import SqliteStore
from tests.support.collective_contract import GROUP, NAMES, CollectiveContract
from tests.support.dynamodb_engines import ministack, moto, one_sdk_session, state_table, store_on
from tests.support.fake_ports import MemoryStore
from tests.support.sqlite_stores import state_file, store_in

__all__ = ["one_sdk_session", "state_file", "state_table"]

ENGINES = {"moto": moto, "ministack": ministack}


class TestMemoryStores(CollectiveContract):
    @pytest.fixture
    def accounts(self) -> list[MemoryStore]:
        stores = [MemoryStore() for _ in NAMES]
        for store in stores:
            store.item, store.groups = None, stores[0].groups
        for group in (GROUP, "another"):
            stores[0].group(group).members |= dict(zip(NAMES, stores, strict=True))
        return stores


class TestSqliteStores(CollectiveContract):
    """Each with a connection of its own."""

    @pytest.fixture
    async def accounts(self, state_file: Path) -> AsyncIterator[list[SqliteStore]]:
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(store_in(state_file, name)) for name in NAMES]


@pytest.fixture(scope="module", params=ENGINES)
def dynamodb_server(request: pytest.FixtureRequest) -> Iterator[str]:
    with ENGINES[request.param]() as url:
        yield url


@pytest.mark.usefixtures("one_sdk_session")
class TestDynamoStores(CollectiveContract):
    @pytest.fixture
    async def accounts(
        self, dynamodb_server: str, state_table: str
    ) -> AsyncIterator[list[DynamoStore]]:
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(store_on(dynamodb_server, state_table, name))
                for name in NAMES
            ]
