"""What every store promises of halts, pauses, pruning and the decision log."""

from __future__ import annotations

import msgspec

from functions.core.account import NO_PAUSE, ClaimRefusal, Pause
from functions.core.pruning import LATE_REQUEST_MS
from functions.ports import Claimed, ClaimRefused, Store
from protocol.decision import Decision, Timeline
from tests.support.store_entries_contract import (
    DAY,
    DAY_MS,
    LIMITS,
    NOW_MS,
    RELEASED_ROW,
    SPEND_E6,
    WON,
    other,
    taken,
)
from tests.support.trading_builders import a_claim


def a_decision(number: int, at_ms: int) -> Decision:
    return Decision(
        decision_id=f"d{number}",
        strategy="strategy",
        worker="w",
        condition_id="0xc1",
        slug="s",
        outcome="Up",
        token_id="up",
        result="refused",
        reason="cooldown",
        imbalance=0.25,
        signal_price_e4=5_000,
        max_price_e4=5_250,
        spend_e6=SPEND_E6,
        decided_at_ms=at_ms,
        timeline=Timeline(),
    )


class UpkeepContract:
    """A part of `StoreContract`."""

    async def test_a_pause_replaces_only_the_one_seen(self, store: Store) -> None:
        await store.open_account()
        first = Pause(reason="rate_limited", since_ms=1, until_ms=2)
        second = Pause(reason="geoblocked", since_ms=1, until_ms=3)
        assert await store.set_pause(first, NO_PAUSE)
        assert not await store.set_pause(second, NO_PAUSE)
        assert (await store.account()).pause == first
        assert await store.set_pause(second, first)
        assert (await store.account()).pause == second

    async def test_halting_needs_no_account_and_resuming_lifts_it(self, store: Store) -> None:
        await store.halt("by hand")
        account = await store.account()
        assert (account.trading, account.halt_reason) == ("halted", "by hand")
        assert not await taken(store, a_claim())
        assert await store.resume(await store.account())
        assert await taken(store, a_claim())

    async def test_a_late_resume_does_not_lift_a_newer_halt(self, store: Store) -> None:
        await store.halt("first")
        first = await store.account()
        assert await store.resume(first)
        await store.halt("second")
        assert not await store.resume(first)
        assert not await taken(store, a_claim())
        account = await store.account()
        assert (account.trading, account.halt_reason) == ("halted", "second")

    async def test_pruning_takes_what_is_over(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, other(1))
        assert await taken(store, other(2), NOW_MS + 1)
        account = await store.account()
        await store.prune(account, NOW_MS + 300_000 + LATE_REQUEST_MS - 1)
        kept = await store.account()
        assert kept.cooldowns == account.cooldowns  # a late try of the claim may still arrive
        await store.prune(account, NOW_MS + 300_000 + LATE_REQUEST_MS)
        pruned = await store.account()
        assert pruned.cooldowns == {"0xc2": NOW_MS + 300_001}
        assert pruned.spent_e6 == {DAY: 2 * SPEND_E6}
        await store.prune(pruned, NOW_MS + 8 * DAY_MS)
        pruned = await store.account()
        assert (pruned.cooldowns, pruned.entries) == ({}, {})
        assert pruned.spent_e6 == {DAY: 2 * SPEND_E6}
        await store.prune(pruned, NOW_MS + 9 * DAY_MS)
        pruned = await store.account()
        assert pruned.spent_e6 == {}
        assert set(pruned.claims) == {"0xc1", "0xc2"}

    async def test_a_cooldown_that_began_anew_is_not_pruned(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        old = await store.account()
        assert await store.move(RELEASED_ROW, a_claim())
        await store.forget(RELEASED_ROW)
        assert await taken(store, a_claim(attempt_id="attempt-2"), NOW_MS + 300_000)
        await store.prune(old, NOW_MS + 300_000 + LATE_REQUEST_MS)
        assert (await store.account()).cooldowns == {"0xc1": NOW_MS + 600_000}

    async def test_redeemed_winnings_wait_no_longer(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(WON, a_claim(), redeem=True)
        other = a_claim(intent_id="i2", attempt_id="a2", token_id="down")
        assert await taken(store, other, NOW_MS + 300_000)
        won = msgspec.structs.replace(WON, intent_id="i2", attempt_id="a2", token_id="down")
        assert await store.move(won, other, redeem=True)
        seen = (await store.account()).redeem
        (one, noted), (two, untouched) = seen.items()
        asked = msgspec.structs.replace(noted, asked_at_ms=NOW_MS)
        assert not await store.set_redemptions({one: None}, {one: asked})
        assert not await store.set_redemptions({one: None}, {one: noted, two: asked})
        assert (await store.account()).redeem == seen
        assert await store.set_redemptions({one: asked}, seen)
        assert not await store.set_redemptions({one: None}, seen)
        assert (await store.account()).redeem == {one: asked, two: untouched}
        now = {one: asked, two: untouched}
        assert await store.set_redemptions({one: None, two: asked}, now)
        assert not await store.set_redemptions({one: None}, {one: asked})
        assert (await store.account()).redeem == {two: asked}
        assert await store.set_redemptions({two: None}, {two: asked})
        assert (await store.account()).redeem == {}

    async def test_a_late_try_of_a_claim_that_ended_is_refused(self, store: Store) -> None:
        await store.open_account()
        limits = msgspec.structs.replace(LIMITS, cooldown_ms=0)
        assert isinstance(await store.claim(a_claim(), limits, NOW_MS), Claimed)
        assert await store.move(RELEASED_ROW, a_claim())
        await store.put_ledger(RELEASED_ROW)
        await store.forget(RELEASED_ROW)
        await store.prune(await store.account(), NOW_MS + LATE_REQUEST_MS)
        late = await store.claim(a_claim(), limits, NOW_MS)
        assert isinstance(late, ClaimRefused)
        assert late.reason is ClaimRefusal.COOLDOWN

    async def test_decisions_are_read_newest_first_by_day(self, store: Store) -> None:
        at_ms = [NOW_MS, NOW_MS + 1, NOW_MS + DAY_MS]
        told = [a_decision(number, each) for number, each in enumerate(at_ms)]
        for _ in range(2):
            await store.put_decisions(told)
        assert await store.decisions(DAY, 10) == [told[1], told[0]]
        assert await store.decisions(DAY, 1) == [told[1]]
        assert await store.decisions("2026-09-22", 10) == [told[2]]
        await store.put_decisions([])
