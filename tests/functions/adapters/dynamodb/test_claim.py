"""The claim: each condition alone refuses, our own success is recognised, one call each."""

from __future__ import annotations

import pytest

from functions.adapters.dynamodb import store as store_module
from functions.core.account import ClaimRefusal
from functions.ports import Claimed, ClaimRefused, StoreBusyError, StoreError
from tests.support.dynamodb_proxy import LOSE_REPLY, Proxy, refuse_with
from tests.support.store_builders import LIMITS, NOW_MS, make_account, make_claim


async def test_a_claim_costs_exactly_one_call(proxied, proxy: Proxy) -> None:
    await proxied.open_account()
    proxy.requests.clear()
    await proxied.claim(make_claim(), LIMITS, NOW_MS)
    assert proxy.operations() == ["UpdateItem"]
    await proxied.claim(make_claim(attempt="a2"), LIMITS, NOW_MS)
    assert proxy.operations() == ["UpdateItem", "UpdateItem"]


async def test_a_success_whose_reply_was_lost_is_recognised(proxied, proxy, table) -> None:
    await proxied.open_account()
    proxy.requests.clear()
    proxy.script.append(LOSE_REPLY)
    assert await proxied.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    assert proxy.operations() == ["UpdateItem", "UpdateItem"]  # the SDK really tried again
    assert table.account().claims == {"0xm1": make_claim()}


async def test_a_lost_reply_of_another_attempt_is_not_ours(proxied, proxy, table) -> None:
    table.put_account(make_account(claims={"0xm1": make_claim(attempt="a0")}))
    proxy.script.append(LOSE_REPLY)
    refused = await proxied.claim(make_claim(), LIMITS, NOW_MS)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.MARKET_CLAIMED


async def test_no_reply_at_all_is_an_error_although_it_was_written(proxied, proxy, table) -> None:
    await proxied.open_account()
    proxy.script.extend([LOSE_REPLY, LOSE_REPLY])
    with pytest.raises(StoreError, match=r"^claim: "):
        await proxied.claim(make_claim(), LIMITS, NOW_MS)
    assert table.account().claims == {"0xm1": make_claim()}


async def test_our_own_claim_is_seen_beside_a_malformed_one(store, table) -> None:
    table.put_account(make_account(claims={"0xm1": make_claim()}))
    item = table.account_item()
    item["claims"]["M"]["0xm2"] = {"S": "broken"}
    table.put(item)
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    with pytest.raises(StoreError, match=r"account item: .*claims"):
        await store.claim(make_claim(attempt="a2"), LIMITS, NOW_MS)


async def test_a_refusal_that_the_pure_twin_cannot_explain_is_still_a_refusal(
    store, table, monkeypatch
) -> None:
    table.put_account(make_account(trading="halted"))
    monkeypatch.setattr(store_module, "refusal_of", lambda *_: None)
    refused = await store.claim(make_claim(), LIMITS, NOW_MS)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.UNEXPLAINED


@pytest.mark.parametrize("code", ["TransactionConflictException", "ThrottlingException"])
async def test_a_busy_table_is_asked_again_with_the_same_attempt(
    proxied, proxy, table, code, monkeypatch
) -> None:
    monkeypatch.setattr(store_module, "BUSY_PAUSE_S", 0)
    await proxied.open_account()
    sdk_tries = 2 if code == "ThrottlingException" else 1
    proxy.script.extend([refuse_with(code)] * sdk_tries)
    assert await proxied.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    assert table.account().claims == {"0xm1": make_claim()}


async def test_a_busy_table_is_not_asked_for_ever(proxied, proxy, table, monkeypatch) -> None:
    monkeypatch.setattr(store_module, "BUSY_PAUSE_S", 0)
    await proxied.open_account()
    proxy.requests.clear()
    proxy.script.extend([refuse_with("TransactionConflictException")] * 9)
    with pytest.raises(StoreBusyError, match="TransactionConflict"):
        await proxied.claim(make_claim(), LIMITS, NOW_MS)
    assert len(proxy.requests) == 2
    assert table.account().claims == {}


async def test_busy_after_a_lost_reply_is_still_recognised_as_ours(proxied, proxy, table) -> None:
    await proxied.open_account()
    proxy.script.extend([LOSE_REPLY, refuse_with("ThrottlingException")])
    assert await proxied.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    assert table.account().claims == {"0xm1": make_claim()}
