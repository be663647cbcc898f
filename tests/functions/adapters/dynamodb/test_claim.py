"""The claim: each condition alone refuses, our own success is recognised, one call each."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from functions.adapters.dynamodb import store as store_module
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.account import ClaimRefusal, Pause
from functions.core.claim import ClaimEvent, ClaimState
from functions.core.claim import moved as core_moved
from functions.ports import Claimed, ClaimRefused, StoreBusyError, StoreError
from tests.support.dynamodb_engines import store_on
from tests.support.dynamodb_items import Table
from tests.support.dynamodb_proxy import LOSE_REPLY, Proxy, refuse_with
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_account, make_claim

OTHERS = {f"0xother{n}": make_claim(f"0xother{n}", f"o{n}") for n in range(3)}


async def test_a_claim_is_written_with_its_cooldown(store: DynamoStore, table: Table) -> None:
    await store.open_account()
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    assert table.account() == make_account(
        claims={"0xm1": make_claim()},
        cooldowns={"0xm1": NOW_MS + 300_000},
        spent_e6={TODAY: 1_100_000},
        entries={make_claim().window: 1},
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trading": "halted", "halt_reason": "by hand"}, ClaimRefusal.HALTED),
        ({"claims": {"0xm1": make_claim(attempt="a0")}}, ClaimRefusal.MARKET_CLAIMED),
        ({"cooldowns": {"0xm1": NOW_MS + 1}}, ClaimRefusal.COOLDOWN),
        ({"entries": {make_claim().window: 2}}, ClaimRefusal.MAX_ENTRIES),
        ({"claims": OTHERS}, ClaimRefusal.MAX_POSITIONS),
        ({"pnl_e6": {TODAY: -10_000_000}}, ClaimRefusal.DAILY_LOSS),
        ({"spent_e6": {TODAY: 48_900_001}}, ClaimRefusal.DAILY_SPEND),
        ({"pause": Pause(reason="r", since_ms=1, until_ms=NOW_MS + 1)}, ClaimRefusal.PAUSED),
        ({"config_version": 1}, ClaimRefusal.CONFIG_CHANGED),
        ({"config_version": None}, ClaimRefusal.CONFIG_CHANGED),
        ({"collective": "group"}, ClaimRefusal.COLLECTIVE_CHANGED),
    ],
    ids=lambda value: value.value if isinstance(value, ClaimRefusal) else "",
)
async def test_each_condition_refuses_alone(store, table, changes, reason) -> None:
    account = make_account(**changes)
    table.put_account(account)
    refused = await store.claim(make_claim(), LIMITS, NOW_MS)
    assert refused == ClaimRefused(reason=reason, account=account)
    assert table.account() == account


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": {name: OTHERS[name] for name in list(OTHERS)[:2]}},
        {"claims": {"a0": make_claim(attempt="a0", state=ClaimState.OPEN, by_intent=True)}},
        {"cooldowns": {"0xm1": NOW_MS}},
        {"cooldowns": {"0xm2": NOW_MS + 300_000}},
        {"entries": {make_claim().window: 1}},
        {"entries": {make_claim("0xm2").window: 2}},
        {"pnl_e6": {TODAY: -9_999_999}},
        {"pnl_e6": {"2026-09-20": -99_000_000}},
        {"spent_e6": {TODAY: 48_900_000}},
        {"spent_e6": {"2026-09-20": 99_000_000}},
        {"pause": Pause(reason="r", since_ms=1, until_ms=NOW_MS)},
    ],
    ids=[
        "a slot left",
        "resolved",
        "cooldown over",
        "other market",
        "an entry left",
        "other window",
        "above floor",
        "yesterday's loss",
        "just within the cap",
        "yesterday's spending",
        "pause over",
    ],
)
async def test_what_just_holds_is_enough(store, table, changes) -> None:
    table.put_account(make_account(**changes))
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()


async def test_no_account_is_a_refusal_not_an_account(store, table) -> None:
    refused = await store.claim(make_claim(), LIMITS, NOW_MS)
    assert refused == ClaimRefused(reason=ClaimRefusal.NO_ACCOUNT, account=None)
    await store.open_account()
    assert table.account().claims == {}


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


async def test_a_claim_of_ours_that_was_moved_meanwhile_is_recognised(store, table) -> None:
    moved = make_claim(state=ClaimState.OPEN, version=2, by_intent=True)
    account = make_account(claims={moved.slot: moved}, cooldowns={"0xm1": NOW_MS + 300_000})
    table.put_account(account)
    assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
    assert table.account() == account


async def test_entries_race_for_what_their_window_has_left(store, table) -> None:
    """Five windows' worth of workers at once, after a cooldown of nothing."""
    limits = msgspec.structs.replace(LIMITS, max_positions=9, cooldown_ms=0)
    window = make_claim().window
    table.put_account(make_account(entries={window: 1}))
    rivals = [make_claim(attempt=f"r{number}") for number in range(6)]
    results = await asyncio.gather(*(store.claim(each, limits, NOW_MS) for each in rivals))
    assert results.count(Claimed()) == 1
    assert table.account().entries == {window: 2}
    [winner] = table.account().claims.values()
    opened = core_moved(winner, ClaimEvent.FOUND)
    assert await store.move(opened, winner)
    late = await store.claim(make_claim(attempt="late"), limits, NOW_MS + 1)
    assert isinstance(late, ClaimRefused)
    assert late.reason is ClaimRefusal.MAX_ENTRIES


async def test_a_claim_begins_as_claimed(store) -> None:
    with pytest.raises(ValueError, match="begins as claimed"):
        await store.claim(make_claim(state=ClaimState.OPEN), LIMITS, NOW_MS)


async def test_a_claim_above_the_cap_is_refused_on_the_first_try_of_a_day(store, table) -> None:
    table.put_account(make_account())
    refused = await store.claim(make_claim(spend_e6=50_000_001), LIMITS, NOW_MS)
    assert isinstance(refused, ClaimRefused)
    assert refused.reason is ClaimRefusal.DAILY_SPEND
    assert await store.claim(make_claim(spend_e6=50_000_000), LIMITS, NOW_MS) == Claimed()


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


async def test_accounts_of_two_strategies_do_not_meet(store, table) -> None:
    await store.open_account()
    async with store_on(table.url, table.name, "other") as other:
        await other.open_account()
        results = await asyncio.gather(
            store.claim(make_claim(), LIMITS, NOW_MS),
            other.claim(make_claim(attempt="b1"), LIMITS, NOW_MS),
        )
    assert results == [Claimed(), Claimed()]
    assert table.account("other").claims == {"0xm1": make_claim(attempt="b1")}
