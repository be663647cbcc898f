"""One contract for the store in memory and the one on DynamoDB, the latter on two engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from functions.adapters.dynamodb.store import DynamoStore
from tests.support.dynamodb_engines import ministack, moto, one_sdk_session, state_table, store_on
from tests.support.fake_ports import MemoryStore
from tests.support.store_contract import StoreContract

__all__ = ["one_sdk_session", "state_table"]

ENGINES = {"moto": moto, "ministack": ministack}


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        store = MemoryStore()
        store.item = None
        return store


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
