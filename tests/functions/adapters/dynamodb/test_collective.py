"""The group's half of a claim on DynamoDB: each part of its condition, its twin, lost replies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from functions.adapters.dynamodb import conditions, group_requests, together
from functions.adapters.dynamodb.claim_requests import claim_request
from functions.adapters.dynamodb.group_requests import group_key, state_of
from functions.adapters.dynamodb.items import account_key, attributes_of
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import ClaimRefusal
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits, CollectiveState, collective_refusal_of
from functions.ports import Claimed, ClaimRefused, StoreBusyError, StoreDeniedError, StoreError
from tests.support.dynamodb_engines import new_state_table, store_on
from tests.support.dynamodb_items import Table, client_of
from tests.support.dynamodb_proxy import FORWARD, LOSE_REPLY, Proxy, refuse_with
from tests.support.store_builders import LIMITS, NOW_MS, STRATEGY, TODAY, make_account, make_claim

GROUP = "group"
SPEND_E6 = make_claim().spend_e6
COLLECTIVE = CollectiveLimits(
    name=GROUP, config_version=3, daily_loss_limit_e6=4_000_000, exposure_max_e6=5_000_000
)
ROOM_E6 = 5_000_000 - SPEND_E6
FREE = CollectiveState(
    exposure_e6=ROOM_E6, pnl_e6={TODAY: -3_999_999}, config_version=3, item_version=5
)
REFUSING = {
    ClaimRefusal.COLLECTIVE_CHANGED: {"config_version": 4},
    ClaimRefusal.COLLECTIVE_LOSS: {"pnl_e6": {TODAY: -4_000_000}},
    ClaimRefusal.COLLECTIVE_EXPOSURE: {"exposure_e6": ROOM_E6 + 1},
}
PARTS = {
    ClaimRefusal.COLLECTIVE_CHANGED: conditions.COLLECTIVE_IS_IN_FORCE,
    ClaimRefusal.COLLECTIVE_LOSS: conditions.COLLECTIVE_LOSS_IS_WITHIN_LIMIT,
    ClaimRefusal.COLLECTIVE_EXPOSURE: conditions.EXPOSURE_IS_WITHIN_LIMIT,
}


def counted(**changes: Any) -> Claim:
    return make_claim(collective=GROUP, **changes)


def bought(**changes: Any) -> Claim:
    return counted(
        **{
            "state": ClaimState.OPEN,
            "version": 2,
            "by_intent": True,
            "reported_spend_e6": 1_000_000,
            "reported_size_e6": 2_000_000,
            "filled_spend_e6": 1_000_000,
            "filled_size_e6": 2_000_000,
            **changes,
        }
    )


def put_group(table: Table, state: CollectiveState) -> None:
    table.put({**group_key(GROUP), **attributes_of(msgspec.structs.asdict(state))})


def group_of(table: Table) -> CollectiveState:
    reply = client_of(table.url).get_item(
        TableName=table.name, Key=group_key(GROUP), ConsistentRead=True
    )
    return state_of(reply["Item"])


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
    table.put_account(make_account())
    put_group(table, FREE)
    return table


async def test_a_claim_at_the_limits_is_taken_and_counted(store, free) -> None:
    assert await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()
    assert free.account().claims == {"0xm1": counted()}
    assert group_of(free) == msgspec.structs.replace(
        FREE, exposure_e6=ROOM_E6 + SPEND_E6, item_version=6
    )


@pytest.mark.parametrize("reason", REFUSING)
async def test_each_condition_refuses_alone(store, free, reason) -> None:
    state = msgspec.structs.replace(FREE, **REFUSING[reason])
    put_group(free, state)
    refused = await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE)
    assert refused == ClaimRefused(reason=reason, account=make_account(), collective=state)
    assert (free.account(), group_of(free)) == (make_account(), state)


@pytest.mark.parametrize("reason", REFUSING)
async def test_without_its_part_of_the_condition_it_refuses_nothing(
    store, free, reason, monkeypatch
) -> None:
    put_group(free, msgspec.structs.replace(FREE, **REFUSING[reason]))
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
    assert group_of(free) == FREE


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
    assert group_of(free).exposure_e6 == ROOM_E6 + SPEND_E6


async def test_when_only_the_group_refuses_it_may_still_be_our_own_success(
    proxied, proxy, free
) -> None:
    """The first try filled the limit, its reply was lost, and the account's half would hold: its
    cooldown was taken out by hand."""
    free.put_account(make_account(claims={"intent-a1": bought()}))
    put_group(free, msgspec.structs.replace(FREE, exposure_e6=ROOM_E6 + 1))
    claimed = await proxied.claim(counted(), LIMITS, NOW_MS, COLLECTIVE)
    assert claimed == Claimed()
    assert proxy.operations() == ["TransactWriteItems", "GetItem"]


async def test_a_lost_reply_to_a_move_books_once(proxied, proxy, free) -> None:
    free.put_account(make_account(claims={"0xm1": counted()}))
    proxy.script.append(LOSE_REPLY)
    await proxied.move(bought(pnl_e6=7), counted())  # True where the token is honoured
    assert free.account().claims == {"intent-a1": bought(pnl_e6=7)}
    state = group_of(free)
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
    assert group_of(free).exposure_e6 == ROOM_E6 + SPEND_E6


async def test_a_conflict_after_a_lost_reply_is_still_recognised_as_ours(
    proxied, proxy, free
) -> None:
    proxy.script.extend([LOSE_REPLY, conflict])
    assert await proxied.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()
    assert group_of(free).exposure_e6 == ROOM_E6 + SPEND_E6


async def test_a_halt_gets_through_beside_transactions(proxied, proxy, free) -> None:
    def busy(_: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 400, {"__type": "x#TransactionConflictException", "message": "under way"}

    proxy.script.extend([busy] * 5)
    await proxied.halt("enough")
    assert free.account().trading == "halted"


# -- what is not as it should be -------------------------------------------------------------------


async def test_a_group_that_was_deleted_is_made_again_by_what_moves(store, table) -> None:
    table.put_account(make_account(claims={"0xm1": counted()}))
    assert await store.move(bought(pnl_e6=7), counted())
    state = group_of(table)
    assert (state.exposure_e6, state.config_version) == (-100_000, 0)
    assert state.pnl_e6 == {"1970-01-01": 7}


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
    assert group_of(table).exposure_e6 == SPEND_E6


# -- the twin --------------------------------------------------------------------------------------


class Opened:
    def __init__(self, runner: asyncio.Runner, store: DynamoStore, table: Table) -> None:
        self.table = table
        self._runner, self._store = runner, store

    def claim(self, claim: Claim, limits: CollectiveLimits) -> Claimed | ClaimRefused:
        return self._runner.run(self._store.claim(claim, LIMITS, NOW_MS, limits))


@pytest.fixture(scope="module")
def opened(dynamodb_server: str) -> Iterator[Opened]:
    table = Table(dynamodb_server, new_state_table(dynamodb_server))
    with asyncio.Runner() as runner:
        opening = store_on(table.url, table.name, STRATEGY)
        store = runner.run(opening.__aenter__())
        try:
            yield Opened(runner, store, table)
        finally:
            runner.run(opening.__aexit__(None, None, None))


def near(value: int) -> st.SearchStrategy[int]:
    return st.sampled_from([value - 1, value, value + 1, 0])


@given(
    state=st.builds(
        CollectiveState,
        exposure_e6=near(ROOM_E6),
        pnl_e6=st.dictionaries(st.sampled_from([TODAY, "2026-09-20"]), near(-4_000_000)),
        config_version=st.sampled_from([0, 2, 3]),
    ),
    limits=st.builds(
        CollectiveLimits,
        name=st.just(GROUP),
        config_version=st.sampled_from([2, 3]),
        daily_loss_limit_e6=st.sampled_from([None, 4_000_000]),
        exposure_max_e6=st.sampled_from([None, 5_000_000]),
    ),
)
@settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_condition_is_the_model(
    opened: Opened, state: CollectiveState, limits: CollectiveLimits
) -> None:
    opened.table.put_account(make_account())
    put_group(opened.table, state)
    reason = collective_refusal_of(state, counted(), limits, TODAY)
    result = opened.claim(counted(), limits)
    if reason is not None:
        assert result == ClaimRefused(reason=reason, account=make_account(), collective=state)
        assert group_of(opened.table) == state
    else:
        assert result == Claimed()
        assert group_of(opened.table) == msgspec.structs.replace(
            state, exposure_e6=state.exposure_e6 + SPEND_E6, item_version=1
        )


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
