"""Resolving a claim: only ours, only from the state we saw, and twice is once."""

from __future__ import annotations

import msgspec
import pytest

from functions.core.intent import TRANSITIONS, Claim, ClaimRefusal, ClaimState
from functions.ports import Claimed, ClaimRefused
from tests.functions.adapters.dynamodb.builders import (
    LIMITS,
    NOW_MS,
    make_account,
    make_claim,
)
from tests.functions.adapters.dynamodb.proxy import LOSE_REPLY

CLAIMED = ClaimState.CLAIMED
NEIGHBOUR = {"0xm2": make_claim("0xm2", "n1")}
TARGETS = [ClaimState.OPEN, ClaimState.UNKNOWN, ClaimState.RELEASED]


def resolved(state: ClaimState) -> Claim:
    return msgspec.structs.replace(
        make_claim(),
        state=state,
        filled_spend_e6=1_099_990,
        filled_size_e6=2_100_000,
        fee_e6=38_000,
        resolved_at_ms=NOW_MS + 40,
        text="matched",
    )


@pytest.fixture(autouse=True)
def account(table):
    table.put_account(make_account(claims={"0xm1": make_claim(), **NEIGHBOUR}))


def expected(state: ClaimState) -> dict[str, Claim]:
    ours = {} if state is ClaimState.RELEASED else {"0xm1": resolved(state)}
    return ours | NEIGHBOUR


@pytest.mark.parametrize("state", TARGETS)
async def test_it_moves_our_claim_and_nothing_else(store, table, state) -> None:
    assert await store.resolve(resolved(state), CLAIMED)
    assert table.account() == make_account(claims=expected(state))


@pytest.mark.parametrize("state", TARGETS)
async def test_twice_is_once(store, table, state) -> None:
    assert await store.resolve(resolved(state), CLAIMED)
    assert await store.resolve(resolved(state), CLAIMED)
    assert table.account().claims == expected(state)


@pytest.mark.parametrize("state", TARGETS)
async def test_a_lost_reply_is_our_own_success(proxied, proxy, table, state) -> None:
    proxy.script.append(LOSE_REPLY)
    assert await proxied.resolve(resolved(state), CLAIMED)
    assert proxy.operations() == ["UpdateItem", "UpdateItem"]
    assert table.account().claims == expected(state)


@pytest.mark.parametrize("state", [ClaimState.OPEN, ClaimState.UNKNOWN])
async def test_somebody_elses_claim_stays_as_it_is(store, table, state) -> None:
    account = make_account(claims={"0xm1": make_claim(attempt="another")})
    table.put_account(account)
    assert not await store.resolve(resolved(state), CLAIMED)
    assert table.account() == account


async def test_our_claim_released_and_the_market_claimed_anew_is_released(store, table) -> None:
    account = make_account(claims={"0xm1": make_claim(attempt="another")})
    table.put_account(account)
    assert await store.resolve(resolved(ClaimState.RELEASED), CLAIMED)
    assert table.account() == account


@pytest.mark.parametrize("state", TARGETS)
async def test_a_claim_that_was_moved_meanwhile_stays_moved(store, table, state) -> None:
    moved = next(other for other in (ClaimState.OPEN, ClaimState.UNKNOWN) if other is not state)
    account = make_account(claims={"0xm1": make_claim(state=moved)})
    table.put_account(account)
    assert not await store.resolve(resolved(state), CLAIMED)
    assert table.account() == account


@pytest.mark.parametrize("state", [ClaimState.OPEN, ClaimState.UNKNOWN])
async def test_a_claim_that_is_gone_is_not_opened(store, table, state) -> None:
    table.put_account(make_account())
    assert not await store.resolve(resolved(state), CLAIMED)
    assert table.account() == make_account()


@pytest.mark.parametrize("state", TARGETS)
async def test_a_vanished_account_proves_nothing(store, table, state) -> None:
    table.delete_account()
    assert not await store.resolve(resolved(state), CLAIMED)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (seen, state)
        for seen in ClaimState
        for state in ClaimState
        if state not in TRANSITIONS[seen]
    ],
)
async def test_what_the_table_does_not_allow_is_a_programming_error(
    proxied, proxy, seen, state
) -> None:
    with pytest.raises(ValueError, match=f"no transition from {seen} to {state}"):
        await proxied.resolve(resolved(state), seen)
    assert proxy.requests == []


async def test_a_released_market_is_free_only_after_its_cooldown(store, table) -> None:
    table.put_account(make_account())
    await store.claim(make_claim(), LIMITS, NOW_MS)
    await store.resolve(resolved(ClaimState.RELEASED), CLAIMED)
    over_ms = NOW_MS + LIMITS.cooldown_ms
    refused = await store.claim(make_claim(attempt="a2"), LIMITS, over_ms - 1)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.COOLDOWN
    assert await store.claim(make_claim(attempt="a2"), LIMITS, over_ms) == Claimed()
