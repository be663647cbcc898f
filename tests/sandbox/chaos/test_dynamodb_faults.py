"""The faulty door does what its text says, and the production store meets it as it should."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from functions.adapters.dynamodb.store import DynamoStore
from functions.core.claim import ClaimState
from functions.ports import StoreBusyError, StoreError
from sandbox.audit_input import reading_store
from sandbox.chaos import dynamodb_faults
from sandbox.chaos.dynamodb_faults import KINDS, FaultyDynamo, faulty_dynamodb
from sandbox.dynamodb import dynamodb_server
from tests.sandbox.test_audit import claim
from tests.support.dynamodb_engines import one_sdk_session

__all__ = ["one_sdk_session"]

pytestmark = pytest.mark.usefixtures("one_sdk_session")


@asynccontextmanager
async def stores() -> AsyncIterator[tuple[FaultyDynamo, DynamoStore, DynamoStore]]:
    """(the door, a store behind it, a store that goes around it)."""
    table = f"state-{uuid.uuid4().hex}"  # moto keeps its tables for as long as the process lives
    async with (
        dynamodb_server("127.0.0.1", 0, table) as url,
        faulty_dynamodb(url, 1) as door,
        reading_store(door.url, table, "chaos") as behind,
        reading_store(url, table, "chaos") as around,
    ):
        await around.open_account()
        yield door, behind, around


async def trading(store: DynamoStore) -> str:
    return (await store.account()).trading


async def test_without_rates_everything_passes() -> None:
    async with stores() as (door, behind, _):
        assert await trading(behind) == "enabled"
        assert (door.requests, door.injected.total()) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("throttle", StoreBusyError),
        ("conflict", StoreBusyError),
        ("error", StoreError),
        ("cut_before", StoreError),
        ("foreign", StoreError),
    ],
)
async def test_what_is_refused_is_not_written(kind: str, error: type[StoreError]) -> None:
    async with stores() as (door, behind, around):
        door.rates = {kind: 1.0}
        with pytest.raises(error):
            await behind.halt("test")
        assert await trading(around) == "enabled"
        assert door.injected[kind] >= 1


async def test_transactions_meet_conflicts_under_the_name_they_have_there() -> None:
    async with stores() as (door, behind, around):
        row = claim(1, state=ClaimState.RELEASED)
        await around.put_ledger(row)
        back = msgspec.structs.replace(
            row, state=ClaimState.OPEN, version=4, by_intent=True, came_back=True
        )
        door.rates = {"conflict": 1.0}
        with pytest.raises(StoreBusyError):
            await behind.reopen(back, row)
        assert (await around.account()).claims == {}
        assert door.injected["conflict"] >= 1
        door.rates = {}
        assert await behind.reopen(back, row)


async def test_a_lost_reply_is_written() -> None:
    async with stores() as (door, behind, around):
        door.rates = {"cut_after": 1.0}
        with pytest.raises(StoreError):
            await behind.halt("test")
        assert await trading(around) == "halted"


@pytest.mark.parametrize("kind", ["late", "slow"])
async def test_what_comes_too_late_is_written_in_the_end(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb_faults, "TOO_LONG_S", 2.2)
    async with stores() as (door, behind, around):
        door.rates = {kind: 1.0}
        with pytest.raises(StoreError):
            await behind.halt("test")
        await asyncio.gather(*door.late, return_exceptions=True)
        assert await trading(around) == "halted"


async def test_reads_meet_no_conflicts() -> None:
    async with stores() as (door, behind, _):
        door.rates = {"conflict": 1.0}
        assert await trading(behind) == "enabled"


def test_draws_follow_the_seed_and_the_rates() -> None:
    def drawn(seed: int) -> list[str | None]:
        door = FaultyDynamo(seed)
        door.rates = dict.fromkeys(KINDS, 0.1)
        return [door.draw("UpdateItem") for _ in range(300)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) == {*KINDS, None}
