"""The claim in any store: each limit alone refuses, what just holds is enough, one is written once.

A subclass in a test module gives the fixtures `store`, and `table`: what it stores as a person sees
and changes it; `store_named`: another account's store.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from functions.core.account import ClaimRefusal, Pause
from functions.core.claim import ClaimEvent, ClaimState
from functions.core.claim import moved as core_moved
from functions.ports import Claimed, ClaimRefused
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_account, make_claim

OTHERS = {f"0xother{n}": make_claim(f"0xother{n}", f"o{n}") for n in range(3)}


class StoredClaimContract:
    """Inherit it, and give the fixtures."""

    async def test_a_claim_is_written_with_its_cooldown(self, store, table) -> None:
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
    async def test_each_condition_refuses_alone(self, store, table, changes, reason) -> None:
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
    async def test_what_just_holds_is_enough(self, store, table, changes) -> None:
        table.put_account(make_account(**changes))
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()

    async def test_no_account_is_a_refusal_not_an_account(self, store, table) -> None:
        refused = await store.claim(make_claim(), LIMITS, NOW_MS)
        assert refused == ClaimRefused(reason=ClaimRefusal.NO_ACCOUNT, account=None)
        await store.open_account()
        assert table.account().claims == {}

    async def test_a_claim_of_ours_that_was_moved_meanwhile_is_recognised(
        self, store, table
    ) -> None:
        moved = make_claim(state=ClaimState.OPEN, version=2, by_intent=True)
        account = make_account(claims={moved.slot: moved}, cooldowns={"0xm1": NOW_MS + 300_000})
        table.put_account(account)
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()
        assert table.account() == account

    async def test_entries_race_for_what_their_window_has_left(self, store, table) -> None:
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

    async def test_a_claim_begins_as_claimed(self, store) -> None:
        with pytest.raises(ValueError, match="begins as claimed"):
            await store.claim(make_claim(state=ClaimState.OPEN), LIMITS, NOW_MS)

    async def test_a_claim_above_the_cap_is_refused_on_the_first_try_of_a_day(
        self, store, table
    ) -> None:
        table.put_account(make_account())
        refused = await store.claim(make_claim(spend_e6=50_000_001), LIMITS, NOW_MS)
        assert isinstance(refused, ClaimRefused)
        assert refused.reason is ClaimRefusal.DAILY_SPEND
        assert await store.claim(make_claim(spend_e6=50_000_000), LIMITS, NOW_MS) == Claimed()

    async def test_accounts_of_two_strategies_do_not_meet(self, store, store_named, table) -> None:
        await store.open_account()
        other = store_named("other")
        await other.open_account()
        results = await asyncio.gather(
            store.claim(make_claim(), LIMITS, NOW_MS),
            other.claim(make_claim(attempt="b1"), LIMITS, NOW_MS),
        )
        assert results == [Claimed(), Claimed()]
        assert table.account("other").claims == {"0xm1": make_claim(attempt="b1")}
