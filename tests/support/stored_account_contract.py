"""An account and its ledger in any store: opened, halted, paused, pruned.

A subclass in a test module gives the fixtures `store`, and `table`: what it stores as a person sees
and changes it.
"""

from __future__ import annotations

import asyncio

from functions.core.account import NO_PAUSE, Pause, Redemption
from functions.core.claim import Claim, ClaimState
from functions.core.pruning import LATE_REQUEST_MS
from functions.ports import Claimed, ClaimRefused
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_account, make_claim

OLD_MS = NOW_MS - LATE_REQUEST_MS


def ended(version: int = 2, **changes) -> Claim:
    return make_claim(state=ClaimState.RELEASED, version=version, **changes)


class StoredAccountContract:
    """Inherit it, and give the fixtures."""

    async def test_opening_creates_an_account_that_may_trade(self, store, table) -> None:
        assert await store.open_account() == make_account()
        assert table.account() == make_account()

    async def test_opening_never_changes_what_is_there(self, store, table) -> None:
        account = make_account(
            trading="halted",
            halt_reason="by hand",
            claims={"0xm1": make_claim()},
            cooldowns={"0xm1": NOW_MS},
            pnl_e6={TODAY: -5},
        )
        table.put_account(account)
        assert await store.open_account() == account
        assert table.account() == account

    async def test_many_may_open_at_once(self, store) -> None:
        accounts = await asyncio.gather(*(store.open_account() for _ in range(8)))
        assert accounts == [make_account()] * 8

    async def test_the_ledger_never_goes_back(self, store) -> None:
        newer = ended(5, text="newer")
        await store.put_ledger(newer)
        await store.put_ledger(ended(4, text="older"))
        assert await store.ledger_row(newer) == newer
        newest = ended(6, text="newest")
        await store.put_ledger(newest)
        assert await store.ledger_row(newer) == newest

    async def test_the_ledger_is_read_by_time_of_claim(self, store) -> None:
        rows = [ended(attempt=f"a{n}", claimed_at_ms=NOW_MS + n) for n in range(4)]
        for row in rows:
            await store.put_ledger(row)
        assert await store.ledger(NOW_MS + 1, NOW_MS + 3) == rows[1:3]
        assert await store.ledger(0, 10**14) == rows
        assert await store.ledger(NOW_MS + 4, NOW_MS + 9) == []
        assert await store.ledger(NOW_MS + 4, NOW_MS) == []
        assert await store.ledger_row(make_claim(attempt="other")) is None

    async def test_once_halted_nobody_claims_and_after_resuming_they_do(self, store, table) -> None:
        await store.halt("by hand")
        account = table.account()
        assert (account.trading, account.halt_reason) == ("halted", "by hand")
        assert isinstance(await store.claim(make_claim(), LIMITS, NOW_MS), ClaimRefused)
        assert await store.resume(await store.account())
        assert table.account() == make_account(halt_id=account.halt_id)
        assert await store.claim(make_claim(), LIMITS, NOW_MS) == Claimed()

    async def test_a_pause_replaces_only_the_one_that_was_seen(self, store, table) -> None:
        await store.open_account()
        first = Pause(reason="rate_limited", since_ms=1, until_ms=2)
        second = Pause(reason="rate_limited", since_ms=3, until_ms=9)
        assert await store.set_pause(first, NO_PAUSE)
        assert not await store.set_pause(second, NO_PAUSE)
        assert table.account().pause == first
        assert await store.set_pause(second, first)
        assert table.account().pause == second

    async def test_pruning_takes_what_is_over_and_nothing_else(self, store, table) -> None:
        account = make_account(
            cooldowns={"0xm1": OLD_MS, "0xm2": OLD_MS + 1},
            pnl_e6={TODAY: 1, "2026-09-01": 2},
            spent_e6={TODAY: 3, "2026-09-12": 4},
        )
        table.put_account(account)
        await store.prune(account, NOW_MS)
        assert table.account() == make_account(
            cooldowns={"0xm2": OLD_MS + 1}, pnl_e6={TODAY: 1}, spent_e6={TODAY: 3}
        )
        await store.prune(account, NOW_MS)  # what is not there any more cannot be taken

    async def test_a_cooldown_that_began_anew_is_not_pruned(self, store, table) -> None:
        seen = make_account(cooldowns={"0xm1": OLD_MS - 1})
        anew = make_account(cooldowns={"0xm1": NOW_MS + 300_000})
        table.put_account(anew)
        await store.prune(seen, NOW_MS)
        assert table.account() == anew

    async def test_many_cooldowns_are_pruned_over_several_runs(self, store, table) -> None:
        account = make_account(cooldowns={f"0xm{n}": OLD_MS for n in range(120)})
        table.put_account(account)
        for _ in range(3):
            await store.prune(table.account(), NOW_MS)
        assert table.account() == make_account()

    async def test_redeemed_winnings_wait_no_longer(self, store, table) -> None:
        one, two = (Redemption(token_id="7", since_ms=number) for number in (1, 2))
        table.put_account(make_account(redeem={"0xm1": one, "0xm2": two}))
        await store.set_redemptions({"0xm1": None}, {"0xm1": one})
        await store.set_redemptions({"0xm1": None}, {"0xm1": one})
        assert table.account().redeem == {"0xm2": two}
