"""Changing a claim: only ours, only as it was seen, twice is once, money in the same write."""

from __future__ import annotations

import pytest

from functions.core.claim import ClaimState
from functions.ports import StoreBusyError
from tests.support.dynamodb_proxy import LOSE_REPLY
from tests.support.store_builders import TODAY, make_claim
from tests.support.stored_move_contract import bought, make_moving, moved


@pytest.fixture(autouse=True)
def account(table):
    make_moving(table)


async def test_after_a_lost_reply_the_caller_is_told_to_look_again(proxied, proxy, table) -> None:
    proxy.script.append(LOSE_REPLY)
    assert not await proxied.move(bought(pnl_e6=5), make_claim())
    assert proxy.operations() == ["UpdateItem", "UpdateItem"]
    assert table.account().claims["0xm1"] == bought(pnl_e6=5)
    assert table.account().pnl_e6 == {TODAY: 5}


# -- the end and the way back ----------------------------------------------------------------------


async def test_reopening_twice_because_of_a_lost_reply_reopens_once(proxied, proxy, table) -> None:
    await proxied.put_ledger(moved(ClaimState.RELEASED))
    proxy.script.append(LOSE_REPLY)
    back = bought(version=3, by_intent=True, came_back=True)
    await proxied.reopen(back, moved(ClaimState.RELEASED))
    assert proxy.operations()[-2:] == ["TransactWriteItems"] * 2
    assert table.account().claims[back.intent_id] == back
    assert table.account().spent_e6 == {TODAY: 3_300_000}


async def test_a_conflict_of_transactions_is_busy(proxied, proxy, table) -> None:
    await proxied.put_ledger(moved(ClaimState.RELEASED))

    def conflict(_):
        return 400, {
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled, please refer cancellation reasons",
            "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
        }

    proxy.script.append(conflict)
    with pytest.raises(StoreBusyError):
        await proxied.reopen(
            bought(version=3, by_intent=True, came_back=True), moved(ClaimState.RELEASED)
        )
    assert table.account().claims["0xm1"] == make_claim()
