"""What every store promises about entries: when a market is entered again, and how often.

Part of `store_contract`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from functions.core.account import ClaimRefusal, Limits, Redemption
from functions.core.claim import Claim, ClaimEvent, ClaimFill, ClaimState, Finality, moved
from functions.core.pruning import WINDOW_KEPT_MS
from functions.core.winnings import key_of, markets_of
from functions.ports import Claimed, ClaimRefused, Store
from protocol.decision import Timeline
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, STRANGER, TRADER, a_claim

CLAIMED, UNKNOWN, OPEN, RELEASED, SETTLED = ClaimState
NOW_MS = MADE_AT_MS
DAY = "2026-09-21"
DAY_MS = 86_400_000
LIMITS = Limits(
    max_positions=2,
    cooldown_ms=300_000,
    daily_loss_limit_e6=5_000_000,
    daily_spend_cap_e6=10_000_000,
)
SPEND_E6 = 1_100_000
BOUGHT = a_claim(
    state=OPEN,
    version=2,
    by_intent=True,
    reported_spend_e6=1_000_000,
    reported_size_e6=2_000_000,
    filled_spend_e6=1_000_000,
    filled_size_e6=2_000_000,
    fee_e6=7,
    fills={"t1": ClaimFill(standing=Finality.CONFIRMED, price_e4=5_000, size_e6=2_000_000)},
    resolved_at_ms=NOW_MS + 50,
    text="matched",
    timeline=Timeline(received_at_ns=1, answered_at_ns=2),
)
WON = msgspec.structs.replace(
    BOUGHT,
    state=SETTLED,
    version=3,
    payout_e6=2_000_000,
    pnl_e6=999_993,
    settled_at_ms=MARKET_END_MS,
)
WINDOW = a_claim().window
RELEASED_ROW = a_claim(
    state=RELEASED, version=2, by_intent=True, counted=False, resolved_at_ms=NOW_MS + 50
)


def other(number: int, **changes: Any) -> Claim:
    return a_claim(
        intent_id=f"intent-{number}",
        attempt_id=f"attempt-{number}",
        order_id=f"0xorder{number}",
        condition_id=f"0xc{number}",
        **changes,
    )


NOTE_KEY = key_of(WON)


def opened(claim: Claim) -> Claim:
    return moved(claim, ClaimEvent.FOUND, resolved_at_ms=NOW_MS + 50)


async def taken(store: Store, claim: Claim, now_ms: int = NOW_MS) -> bool:
    return isinstance(await store.claim(claim, LIMITS, now_ms), Claimed)


class EntriesContract:
    """Of `store_contract.StoreContract`."""

    async def test_a_market_is_entered_again_once_its_claim_is_resolved_and_its_cooldown_over(
        self, store: Store
    ) -> None:
        await store.open_account()
        claims = [
            a_claim(intent_id=f"i{number}", attempt_id=f"a{number}", order_id=f"o{number}")
            for number in range(3)
        ]
        limits = msgspec.structs.replace(LIMITS, max_positions=9, max_entries_per_market=2)

        async def refusal(number: int, now_ms: int) -> ClaimRefusal | None:
            result = await store.claim(claims[number], limits, now_ms)
            return result.reason if isinstance(result, ClaimRefused) else None

        first, second, third = (NOW_MS + number * 300_000 for number in range(3))
        assert await refusal(0, first) is None
        unknown = moved(claims[0], ClaimEvent.NO_PROOF)
        assert await store.move(unknown, claims[0])
        assert await refusal(1, second) is ClaimRefusal.MARKET_CLAIMED
        known = moved(unknown, ClaimEvent.FOUND)
        assert await store.move(known, unknown)
        assert await refusal(1, second - 1) is ClaimRefusal.COOLDOWN
        assert await refusal(1, second) is None
        account = await store.account()
        assert account.claims == {"i0": known, "0xc1": claims[1]}
        assert account.entries == {WINDOW: 2}
        assert await refusal(2, third) is ClaimRefusal.MARKET_CLAIMED
        opened_too = moved(claims[1], ClaimEvent.FOUND)
        assert await store.move(opened_too, claims[1])
        assert await refusal(2, third) is ClaimRefusal.MAX_ENTRIES
        # What turns out to have bought nothing gives its entry back.
        assert await store.move(moved(opened_too, ClaimEvent.ALL_FAILED), opened_too)
        assert await refusal(2, third) is None
        account = await store.account()
        assert account.entries == {WINDOW: 2}
        assert set(account.claims) == {"i0", "i1", "0xc1"}

    async def test_a_claim_from_right_before_the_windows_end_meets_its_count_after_it(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(BOUGHT, a_claim())
        one = msgspec.structs.replace(LIMITS, max_entries_per_market=1)
        for pruned_at_ms in (MARKET_END_MS - 1, MARKET_END_MS + WINDOW_KEPT_MS):
            await store.prune(await store.account(), pruned_at_ms)
            rival = a_claim(intent_id="i2", attempt_id="a2")
            refused = await store.claim(rival, one, MARKET_END_MS - 1)
            assert isinstance(refused, ClaimRefused)
            assert refused.reason is ClaimRefusal.MAX_ENTRIES

    async def test_our_own_claim_is_recognised_after_somebody_has_moved_it(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(BOUGHT, a_claim())
        assert await taken(store, a_claim())
        account = await store.account()
        assert (account.claims, account.entries) == ({"intent-1": BOUGHT}, {WINDOW: 1})

    async def test_an_open_claim_of_an_older_version_keeps_its_market_until_it_moves(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        # As an older version leaves it: under its market, and without what it does not know.
        older = msgspec.structs.replace(BOUGHT, by_intent=False, counted=False)
        assert await store.move(older, a_claim())
        assert (await store.account()).claims == {"0xc1": older}
        assert not await taken(store, a_claim(attempt_id="attempt-2"), NOW_MS + 300_000)
        now = moved(older, ClaimEvent.FOUND, resolved_at_ms=NOW_MS + 60)
        assert await store.move(now, older)
        assert (await store.account()).claims == {"intent-1": now}
        another = a_claim(intent_id="intent-2", attempt_id="attempt-2")
        assert await taken(store, another, NOW_MS + 300_000)

    async def test_winnings_of_one_token_and_wallet_are_one_note_of_all_their_shares(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(BOUGHT, a_claim())
        second = a_claim(intent_id="intent-2", attempt_id="attempt-2")
        assert await taken(store, second, NOW_MS + 300_000)
        assert await store.move(opened(second), second)
        assert await store.move(WON, BOUGHT, redeem=True)
        [(key, first)] = (await store.account()).redeem.items()
        looked = msgspec.structs.replace(first, asked_at_ms=MARKET_END_MS, tries=3, looks=1)
        assert await store.set_redemptions({key: looked}, {key: first})
        later_ms = MARKET_END_MS + 1_000
        won = msgspec.structs.replace(
            opened(second),
            state=SETTLED,
            version=3,
            reported_size_e6=3,
            filled_size_e6=3,
            pnl_e6=7,
            settled_at_ms=later_ms,
        )
        assert await store.move(won, opened(second), redeem=True)
        account = await store.account()
        assert account.redeem == {
            NOTE_KEY: Redemption(
                token_id="up",
                wallet=TRADER.wallet,
                since_ms=later_ms,
                size_e6=WON.filled_size_e6 + won.filled_size_e6,
                unseen=True,
            )
        }
        assert not await store.move(won, opened(second), redeem=True)
        assert (await store.account()).redeem == account.redeem
        assert account.pnl_e6 == {DAY: 1_000_000}
        assert account.claims == {"intent-1": WON, "intent-2": won}

    async def test_winnings_of_another_token_or_wallet_have_a_note_of_their_own(
        self, store: Store
    ) -> None:
        await store.open_account()
        changes: list[dict[str, Any]] = [{}, {"token_id": "down"}, {"trader": STRANGER}]
        for number, change in enumerate(changes):
            names = {"intent_id": f"intent-{number}", "attempt_id": f"attempt-{number}"}
            claim = a_claim(**names, **change)
            assert await taken(store, claim, NOW_MS + number * 300_000)
            assert await store.move(opened(claim), claim)
            won = msgspec.structs.replace(opened(claim), state=SETTLED, version=3, settled_at_ms=7)
            assert await store.move(won, opened(claim), redeem=True)
            await store.forget(won)
        notes = (await store.account()).redeem
        assert sorted((note.token_id, note.wallet) for note in notes.values()) == sorted(
            [("up", TRADER.wallet), ("down", TRADER.wallet), ("up", STRANGER.wallet)]
        )
        assert markets_of(notes) == ["0xc1"]

    async def test_settlements_of_one_token_at_the_same_moment_lose_no_shares(
        self, store: Store
    ) -> None:
        await store.open_account()
        moves = []
        for number in range(4):
            claim = a_claim(intent_id=f"intent-{number}", attempt_id=f"attempt-{number}")
            many = msgspec.structs.replace(LIMITS, max_positions=4)
            at_ms = NOW_MS + number * 300_000
            assert isinstance(await store.claim(claim, many, at_ms), Claimed)
            assert await store.move(opened(claim), claim)
            won = msgspec.structs.replace(
                opened(claim), state=SETTLED, version=3, settled_at_ms=7, filled_size_e6=5
            )
            moves.append(store.move(won, opened(claim), redeem=True))
        assert await asyncio.gather(*moves) == [True] * 4
        [note] = (await store.account()).redeem.values()
        assert note.size_e6 == 20

    async def test_entries_are_counted_until_their_window_has_ended(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, other(1))
        later = other(2, market_end_ms=MARKET_END_MS + 1)
        assert await taken(store, later)
        # A claim that was made right before the end may still be on its way.
        await store.prune(await store.account(), MARKET_END_MS + WINDOW_KEPT_MS)
        assert (await store.account()).entries == {other(1).window: 1, later.window: 1}
        await store.prune(await store.account(), MARKET_END_MS + WINDOW_KEPT_MS + 1)
        assert (await store.account()).entries == {later.window: 1}
        released = moved(other(1), ClaimEvent.REJECTED, resolved_at_ms=MARKET_END_MS)
        assert await store.move(released, other(1))
        assert (await store.account()).entries == {
            later.window: 1
        }  # nothing is left to be given back
