from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from botocore.retries.standard import ExponentialBackoff

from functions.adapters.dynamodb.store import DynamoStore
from sandbox.dynamodb import decision_table_of
from tests.support.dynamodb_engines import (
    credentials,
    ministack,
    moto,
    new_state_table,
    one_sdk_session,
    state_table,
    store_on,
)
from tests.support.dynamodb_items import Table, client_of
from tests.support.dynamodb_proxy import Proxy, proxy_to
from tests.support.store_builders import STRATEGY
from tests.support.store_wallets_contract import StoreNamed
from tests.support.stored_model_contract import Opened, opened_on

__all__ = ["one_sdk_session", "state_table"]


@pytest.fixture(autouse=True)
def sdk_credentials() -> Iterator[None]:
    """Some of these tests reach no engine, whose fixture would bring them."""
    with credentials():
        yield


ENGINES = {"moto": moto, "ministack": ministack}


@pytest.fixture(scope="session", params=ENGINES)
def dynamodb_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of one engine, then of the other: every test that reaches for a table runs on both.

    That includes the few whose proxy never lets a request through: a fraction of a second each is
    cheaper than a list of exceptions to keep.
    """
    with ENGINES[request.param]() as url:
        yield url


@pytest.fixture(autouse=True)
def no_pause_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK pauses up to a second, at random, before its second try."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0)


@pytest.fixture(autouse=True)
def shared_session(one_sdk_session: None) -> None:
    """In every test here."""


@pytest.fixture
def table(dynamodb_server: str, state_table: str) -> Table:
    """The state table."""
    return Table(dynamodb_server, state_table)


@pytest.fixture
def log_table(dynamodb_server: str, state_table: str) -> Table:
    """The decision table beside it."""
    name = decision_table_of(state_table)
    # ministack deletes expired rows once a minute, and the rows of tests are of a day that is over.
    client_of(dynamodb_server).update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )
    return Table(dynamodb_server, name)


@pytest.fixture
async def store(table: Table) -> AsyncIterator[DynamoStore]:
    async with store_on(table.url, table.name, STRATEGY) as opened:
        yield opened


@pytest.fixture
def store_named(store: DynamoStore, table: Table) -> StoreNamed:
    client, log = store._table._client, decision_table_of(table.name)
    return lambda name: DynamoStore(client, table=table.name, decision_table=log, account_name=name)


@pytest.fixture(scope="session")
def opened(dynamodb_server: str) -> Iterator[Opened]:
    """A store and its table for properties, on a loop of its own."""
    table = Table(dynamodb_server, new_state_table(dynamodb_server))
    with opened_on(store_on(table.url, table.name, STRATEGY), table) as it:
        yield it


@pytest.fixture
async def proxy(table: Table) -> AsyncIterator[Proxy]:
    async with proxy_to(table.url) as opened:
        yield opened


@pytest.fixture
async def proxied(table: Table, proxy: Proxy) -> AsyncIterator[DynamoStore]:
    """The same store behind `proxy`."""
    async with store_on(proxy.url, table.name, STRATEGY) as opened:
        yield opened
