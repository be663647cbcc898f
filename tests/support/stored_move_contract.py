"""Changing a claim in any store: only ours, only as it was seen, twice is once, money in the same
write.

A subclass in a test module gives the fixtures `store`, and `table`: what it stores as a person sees
and changes it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from functions.core.account import ClaimRefusal, Redemption
from functions.core.claim import Claim, ClaimFill, ClaimState, Finality
from functions.core.winnings import key_of
from functions.ports import Claimed, ClaimRefused
from protocol.decision import Timeline
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_account, make_claim

NEIGHBOUR = {"0xm2": make_claim("0xm2", "n1")}
replace = msgspec.structs.replace


def moved(state: ClaimState, **changes) -> Claim:
    fields = {
        "state": state,
        "version": 2,
        "resolved_at_ms": NOW_MS + 40,
        "text": "matched",
        "fills": {
            "t1": ClaimFill(standing=Finality.PROVISIONAL, price_e4=5_000, size_e6=2_000_000)
        },
        "timeline": Timeline(received_at_ns=3, answered_at_ns=9),
    }
    return make_claim(**{**fields, **changes})


def bought(**changes) -> Claim:
    amounts = {"filled_spend_e6": 1_000_000, "filled_size_e6": 2_000_000, "fee_e6": 35_000}
    return moved(ClaimState.OPEN, **{**amounts, **changes})


def make_moving(table: Any) -> None:
    """An account with the claim that is moved, and a neighbour."""
    table.put_account(
        make_account(claims={"0xm1": make_claim(), **NEIGHBOUR}, spent_e6={TODAY: 2_200_000})
    )


class StoredMoveContract:
    """Inherit it, and give the fixtures."""

    @pytest.fixture(autouse=True)
    def account(self, table):
        make_moving(table)

    @pytest.mark.parametrize("state", list(ClaimState)[1:])
    async def test_it_replaces_our_claim_and_nothing_else(self, store, table, state) -> None:
        assert await store.move(moved(state), make_claim())
        claims = table.account().claims
        assert claims == {"0xm1": moved(state), **NEIGHBOUR}

    async def test_twice_is_once_and_the_second_is_told_to_look_again(self, store, table) -> None:
        assert await store.move(bought(pnl_e6=5), make_claim())
        assert not await store.move(bought(pnl_e6=5), make_claim())
        assert table.account().pnl_e6 == {TODAY: 5}

    @pytest.mark.parametrize(
        "stored",
        [
            make_claim(attempt="another"),
            make_claim(version=2),
            bought(text="somebody else's evidence"),
            None,
        ],
        ids=["another attempt", "another version", "moved by another", "gone"],
    )
    async def test_what_is_not_as_seen_stays_as_it_is(self, store, table, stored) -> None:
        account = make_account(claims={} if stored is None else {"0xm1": stored})
        table.put_account(account)
        assert not await store.move(bought(), make_claim())
        assert table.account() == account

    async def test_a_vanished_account_proves_nothing(self, store, table) -> None:
        table.delete_account()
        assert not await store.move(bought(), make_claim())

    async def test_what_was_not_spent_is_given_back_to_the_day_of_the_claim(
        self, store, table
    ) -> None:
        released = moved(ClaimState.RELEASED, resolved_at_ms=NOW_MS + 86_400_000)
        assert await store.move(released, make_claim())
        assert table.account().spent_e6 == {TODAY: 1_100_000}

    async def test_settling_books_the_pnl_of_the_day_and_gives_back_the_rest(
        self, store, table
    ) -> None:
        await store.move(bought(), make_claim())
        settled = replace(
            bought(),
            state=ClaimState.SETTLED,
            version=3,
            pnl_e6=965_000,
            payout_e6=2_000_000,
            settled_at_ms=NOW_MS + 86_400_000,
        )
        assert await store.move(settled, bought(), redeem=True)
        account = table.account()
        assert account.pnl_e6 == {"2026-09-22": 965_000}
        assert account.spent_e6 == {TODAY: 2_100_000}
        waiting = Redemption(
            token_id="7" * 77,
            since_ms=NOW_MS + 86_400_000,
            size_e6=settled.filled_size_e6,
            unseen=True,
        )
        assert account.redeem == {key_of(settled): waiting}

    async def test_only_the_difference_to_what_was_booked_is_booked(self, store, table) -> None:
        seen = bought(pnl_e6=900_000)
        table.put_account(make_account(claims={"0xm1": seen}, pnl_e6={TODAY: 900_000}))
        failed = replace(seen, state=ClaimState.RELEASED, version=3, pnl_e6=0)
        assert await store.move(failed, seen)
        assert table.account().pnl_e6 == {TODAY: 0}

    async def test_an_ended_claim_is_forgotten_once_and_only_as_it_was(self, store, table) -> None:
        released = moved(ClaimState.RELEASED)
        await store.move(released, make_claim())
        await store.forget(make_claim())
        assert "0xm1" in table.account().claims
        await store.forget(released)
        await store.forget(released)
        assert table.account().claims == NEIGHBOUR

    async def test_a_market_is_free_again_only_after_its_cooldown(self, store, table) -> None:
        table.put_account(make_account())
        await store.claim(make_claim(), LIMITS, NOW_MS)
        await store.move(moved(ClaimState.RELEASED), make_claim())
        over_ms = NOW_MS + LIMITS.cooldown_ms
        still_there = await store.claim(make_claim(attempt="a2"), LIMITS, over_ms)
        assert isinstance(still_there, ClaimRefused)
        assert still_there.reason is ClaimRefusal.MARKET_CLAIMED
        await store.forget(moved(ClaimState.RELEASED))
        refused = await store.claim(make_claim(attempt="a2"), LIMITS, over_ms - 1)
        assert isinstance(refused, ClaimRefused)
        assert refused.reason is ClaimRefusal.COOLDOWN
        assert await store.claim(make_claim(attempt="a2"), LIMITS, over_ms) == Claimed()

    async def test_a_reopened_claim_takes_nobodys_place_and_closes_its_market(
        self, store, table
    ) -> None:
        anew = {"0xm1": make_claim(attempt="a2")}
        table.put_account(make_account(claims=anew))
        row = moved(ClaimState.RELEASED)
        await store.put_ledger(row)
        back = bought(version=3, by_intent=True, came_back=True)
        assert await store.reopen(back, row)
        account = table.account()
        assert account.claims == {**anew, back.intent_id: back}
        assert account.cooldowns == {"0xm1": back.market_end_ms}
        assert account.spent_e6 == {TODAY: 1_100_000}

    async def test_only_one_of_many_reopens(self, store, table) -> None:
        row = moved(ClaimState.RELEASED)
        await store.put_ledger(row)
        assert await store.reopen(bought(version=3, by_intent=True, came_back=True), row)
        other = bought(version=3, by_intent=True, came_back=True, text="other evidence")
        assert not await store.reopen(other, row)
        assert table.account().spent_e6 == {TODAY: 3_300_000}
