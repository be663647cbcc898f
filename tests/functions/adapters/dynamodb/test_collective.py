"""The group's half of a claim on DynamoDB: each part of its condition, its twin, lost replies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from functions.adapters.dynamodb import conditions, group_requests, together
from functions.adapters.dynamodb.claim_requests import claim_request
from functions.adapters.dynamodb.group_requests import group_key
from functions.adapters.dynamodb.items import account_key
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import ClaimRefusal
from functions.core.claim import ClaimState
from functions.ports import Claimed, ClaimRefused, StoreBusyError, StoreDeniedError, StoreError
from tests.support.dynamodb_items import Table
from tests.support.dynamodb_proxy import FORWARD, LOSE_REPLY, Proxy, refuse_with
from tests.support.store_builders import LIMITS, NOW_MS, STRATEGY, TODAY, make_account, make_claim
from tests.support.stored_group_contract import (
    COLLECTIVE,
    FREE,
    GROUP,
    REFUSING,
    ROOM_E6,
    SPEND_E6,
    bought,
    counted,
    make_free,
)

PARTS = {
    ClaimRefusal.COLLECTIVE_CHANGED: conditions.COLLECTIVE_IS_IN_FORCE,
    ClaimRefusal.COLLECTIVE_LOSS: conditions.COLLECTIVE_LOSS_IS_WITHIN_LIMIT,
    ClaimRefusal.COLLECTIVE_EXPOSURE: conditions.EXPOSURE_IS_WITHIN_LIMIT,
}


def conflict(_: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 400, {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled [None, TransactionConflict]",
        "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
    }


@pytest.fixture(autouse=True)
def no_pause_after_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = (0.0,) * len(together.CONFLICT_PAUSES_S)
    monkeypatch.setattr(together, "CONFLICT_PAUSES_S", pauses)


@pytest.fixture
def free(table: Table) -> Table:
    """An account and a group that take the claim, without a cent to spare."""
    make_free(table)
    return table


@pytest.mark.parametrize("reason", REFUSING)
async def test_without_its_part_of_the_condition_it_refuses_nothing(
    store, free, reason, monkeypatch
) -> None:
    free.put_group(GROUP, msgspec.structs.replace(FREE, **REFUSING[reason]))
    part = PARTS[reason]
    condition = conditions.GROUP_CONDITION.replace(part, f"({part} OR attribute_exists(pk))")
    monkeypatch.setattr(group_requests, "GROUP_CONDITION", condition)
    assert await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()


async def test_a_condition_that_has_drifted_from_its_twin_is_still_a_refusal(
    store, free, monkeypatch
) -> None:
    monkeypatch.setattr(
        group_requests,
        "GROUP_CONDITION",
        "config_version = :config_version AND "
        "exposure_e6 < :exposure_room AND attribute_exists(pnl_e6.#today) AND :loss_floor < :zero",
    )
    refused = await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.UNEXPLAINED


async def test_without_a_collective_limit_a_claim_is_the_one_update_that_it_was(
    proxied: DynamoStore, proxy: Proxy, free: Table
) -> None:
    assert await proxied.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    seen, released = make_claim(), make_claim(state=ClaimState.RELEASED, version=2)
    assert await proxied.move(released, seen)
    assert proxy.operations() == ["UpdateItem", "UpdateItem"]
    assert proxy.requests[0][1] == {
        "TableName": free.name,
        "Key": account_key(STRATEGY),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **claim_request(make_claim(), LIMITS, NOW_MS),
    }
    assert free.group(GROUP) == FREE


async def test_what_the_group_does_not_count_is_one_update(
    proxied: DynamoStore, proxy: Proxy, free: Table
) -> None:
    free.put_account(make_account(claims={"0xm1": counted()}))
    assert await proxied.move(counted(state=ClaimState.UNKNOWN, version=2), counted())
    assert proxy.operations() == ["UpdateItem"]


# -- replies that are lost, and conflicts ----------------------------------------------------------


async def test_a_lost_reply_is_recognised_and_counted_once(proxied, proxy, free) -> None:
    proxy.script.append(LOSE_REPLY)
    assert await proxied.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()
    assert proxy.operations()[:2] == ["TransactWriteItems", "TransactWriteItems"]
    tokens = {request["ClientRequestToken"] for _, request in proxy.requests[:2]}
    assert len(tokens) == 1  # AWS itself does it once, for ten minutes
    assert free.group(GROUP).exposure_e6 == ROOM_E6 + SPEND_E6


async def test_when_only_the_group_refuses_it_may_still_be_our_own_success(
    proxied, proxy, free
) -> None:
    """The first try filled the limit, its reply was lost, and the account's half would hold: its
    cooldown was taken out by hand."""
    free.put_account(make_account(claims={"intent-a1": bought()}))
    free.put_group(GROUP, msgspec.structs.replace(FREE, exposure_e6=ROOM_E6 + 1))
    claimed = await proxied.claim(counted(), LIMITS, NOW_MS, COLLECTIVE)
    assert claimed == Claimed()
    assert proxy.operations() == ["TransactWriteItems", "GetItem"]


async def test_a_lost_reply_to_a_move_books_once(proxied, proxy, free) -> None:
    free.put_account(make_account(claims={"0xm1": counted()}))
    proxy.script.append(LOSE_REPLY)
    await proxied.move(bought(pnl_e6=7), counted())  # True where the token is honoured
    assert free.account().claims == {"intent-a1": bought(pnl_e6=7)}
    state = free.group(GROUP)
    assert state.exposure_e6 == ROOM_E6 - 100_000
    assert state.pnl_e6 == {TODAY: -3_999_999, "1970-01-01": 7}


async def test_a_conflict_is_tried_again_within_bounds(proxied, proxy, free) -> None:
    tries = len(together.CONFLICT_PAUSES_S) + 1
    proxy.script.extend([conflict] * (tries - 1))
    assert await proxied.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()
    proxy.requests.clear()
    proxy.script.extend([conflict] * 20)
    with pytest.raises(StoreBusyError):
        await proxied.move(bought(), counted())
    assert len(proxy.requests) == tries
    assert free.group(GROUP).exposure_e6 == ROOM_E6 + SPEND_E6


async def test_a_conflict_after_a_lost_reply_is_still_recognised_as_ours(
    proxied, proxy, free
) -> None:
    proxy.script.extend([LOSE_REPLY, conflict])
    assert await proxied.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()
    assert free.group(GROUP).exposure_e6 == ROOM_E6 + SPEND_E6


async def test_a_halt_gets_through_beside_transactions(proxied, proxy, free) -> None:
    def busy(_: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 400, {"__type": "x#TransactionConflictException", "message": "under way"}

    proxy.script.extend([busy] * 5)
    await proxied.halt("enough")
    assert free.account().trading == "halted"


# -- what is not as it should be -------------------------------------------------------------------


async def test_an_account_of_an_older_version_is_completed(store, free) -> None:
    item = free.account_item()
    del item["entries"]
    free.put(item)
    assert await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()
    assert free.account().entries == {counted().window: 1}


async def test_a_malformed_group_is_an_error_that_names_what(store, free) -> None:
    free.put({**group_key(GROUP), "exposure_e6": {"S": "much"}})
    with pytest.raises(StoreError, match=r"group item: .*exposure_e6"):
        await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE)
    assert free.account().claims == {}


async def test_a_bare_item_counts_from_nothing(store, table) -> None:
    table.put_account(make_account())
    table.put({**group_key(GROUP), "config_version": {"N": "3"}})
    claimed = await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE)
    assert claimed == Claimed()
    assert table.group(GROUP).exposure_e6 == SPEND_E6


# -- the twin --------------------------------------------------------------------------------------


async def test_accounts_that_may_not_be_written_are_told_after_all_others_were(
    proxied: DynamoStore, proxy: Proxy, free: Table
) -> None:
    group = proxied.group(GROUP)
    for name in ("0-of-another-role", STRATEGY):
        await group.join(name)
    proxy.requests.clear()
    proxy.script.extend([FORWARD, FORWARD, refuse_with("AccessDeniedException"), FORWARD])
    with pytest.raises(StoreDeniedError):
        await group.open(None)
    assert free.account().collective == GROUP
