"""One contract for collective limits: in memory, and on DynamoDB on two engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from functions.adapters.dynamodb.store import DynamoStore
from tests.support.collective_contract import GROUP, NAMES, CollectiveContract
from tests.support.dynamodb_engines import ministack, moto, one_sdk_session, state_table, store_on
from tests.support.fake_ports import MemoryStore

__all__ = ["one_sdk_session", "state_table"]

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
