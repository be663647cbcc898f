"""What every store promises (`functions.ports.Store`): one set of tests for the fake and the real.

A subclass in a test module gives the fixtures `store`, a store whose account `strategy` nobody has
opened, and `store_named`: the store of another account in the same table, by its name.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from functions.core.account import NO_PAUSE, Account, ClaimRefusal, Pause, Redemption
from functions.core.claim import Claim
from functions.ports import ClaimRefused, Store
from tests.support.store_configuration_contract import ConfigurationContract
from tests.support.store_entries_contract import (
    BOUGHT,
    DAY,
    DAY_MS,
    LIMITS,
    NOTE_KEY,
    NOW_MS,
    OPEN,
    RELEASED,
    RELEASED_ROW,
    SETTLED,
    SPEND_E6,
    WINDOW,
    WON,
    EntriesContract,
    opened,
    other,
    taken,
)
from tests.support.store_upkeep_contract import UpkeepContract
from tests.support.store_wallets_contract import WalletsContract
from tests.support.trading_builders import MARKET_END_MS, TRADER, a_claim


class StoreContract(EntriesContract, ConfigurationContract, UpkeepContract, WalletsContract):
    """Inherit it, and give the fixtures `store` and `store_named`."""

    # -- the account and its claims --------------------------------------------------------------

    async def test_a_new_account_is_enabled_and_empty_and_opening_again_changes_nothing(
        self, store: Store
    ) -> None:
        new = await store.open_account()
        assert new == Account(
            trading="enabled",
            claims={},
            cooldowns={},
            pnl_e6={},
            spent_e6={},
            pause=NO_PAUSE,
            redeem={},
            entries={},
            config_version=0,
        )
        assert await taken(store, a_claim())
        await store.halt("by hand")
        before = await store.account()
        assert await store.open_account() == before
        assert await store.account() == before

    async def test_without_an_account_nothing_is_claimed(self, store: Store) -> None:
        refused = await store.claim(a_claim(), LIMITS, NOW_MS)
        assert refused == ClaimRefused(reason=ClaimRefusal.NO_ACCOUNT, account=None)

    async def test_a_claim_takes_market_cooldown_and_money(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        account = await store.account()
        assert account.claims == {"0xc1": a_claim()}
        assert account.cooldowns == {"0xc1": NOW_MS + 300_000}
        assert account.spent_e6 == {DAY: SPEND_E6}
        assert account.entries == {WINDOW: 1}

    async def test_the_same_attempt_again_is_ours_and_another_is_refused(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await taken(store, a_claim())
        refused = await store.claim(a_claim(attempt_id="attempt-9"), LIMITS, NOW_MS)
        assert isinstance(refused, ClaimRefused)
        assert refused.reason is ClaimRefusal.MARKET_CLAIMED
        assert refused.account == await store.account()
        assert (await store.account()).spent_e6 == {DAY: SPEND_E6}

    async def test_a_claim_begins_as_claimed(self, store: Store) -> None:
        await store.open_account()
        for claim in (BOUGHT, a_claim(version=2), a_claim(counted=False)):
            with pytest.raises(ValueError, match="begins as claimed"):
                await store.claim(claim, LIMITS, NOW_MS)

    async def test_every_limit_refuses(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, other(1))
        assert await taken(store, other(2))

        async def refusal(claim: Claim, now_ms: int = NOW_MS, **limits: int) -> ClaimRefusal:
            tight = msgspec.structs.replace(LIMITS, **{"max_positions": 9, **limits})
            refused = await store.claim(claim, tight, now_ms)
            assert isinstance(refused, ClaimRefused)
            return refused.reason

        assert await refusal(other(3), max_positions=2) is ClaimRefusal.MAX_POSITIONS
        rival = msgspec.structs.replace(other(1), attempt_id="rival")
        assert await refusal(rival, NOW_MS + 300_000) is ClaimRefusal.MARKET_CLAIMED
        assert await refusal(other(3), daily_spend_cap_e6=3_299_999) is ClaimRefusal.DAILY_SPEND
        assert await refusal(other(3), daily_spend_cap_e6=1) is ClaimRefusal.DAILY_SPEND
        pause = Pause(reason="rate_limited", since_ms=NOW_MS, until_ms=NOW_MS + 10)
        assert await store.set_pause(pause, NO_PAUSE)
        assert await refusal(other(3), NOW_MS + 9) is ClaimRefusal.PAUSED
        ended = msgspec.structs.replace(
            other(1), state=RELEASED, version=2, resolved_at_ms=NOW_MS, pnl_e6=-5_000_000
        )
        assert await store.move(ended, other(1))
        await store.forget(ended)
        late_ms = NOW_MS + 299_999
        assert await refusal(other(1), late_ms) is ClaimRefusal.COOLDOWN
        assert await store.move(opened(other(2)), other(2))
        again = msgspec.structs.replace(other(2), intent_id="again", attempt_id="again")
        over_ms = NOW_MS + 300_000
        entries = await refusal(again, over_ms, max_entries_per_market=1)
        assert entries is ClaimRefusal.MAX_ENTRIES
        assert await refusal(other(3), late_ms) is ClaimRefusal.DAILY_LOSS
        await store.halt("enough")
        assert await refusal(other(3), late_ms) is ClaimRefusal.HALTED
        assert await store.resume(await store.account())
        # Tomorrow has a loss and a spending of its own.
        assert await taken(store, other(3), NOW_MS + DAY_MS)

    async def test_of_many_at_once_as_many_win_as_there_are_places(self, store: Store) -> None:
        await store.open_account()
        won = await asyncio.gather(*(taken(store, other(number)) for number in range(8)))
        assert sum(won) == 2
        assert len((await store.account()).claims) == 2

    # -- moving ----------------------------------------------------------------------------------

    async def test_a_move_replaces_what_was_seen(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(BOUGHT, a_claim())
        account = await store.account()
        assert account.claims == {"intent-1": BOUGHT}
        assert account.spent_e6 == {DAY: SPEND_E6}  # all of it is reserved until the end
        assert account.pnl_e6 == {}

    async def test_the_same_move_again_books_nothing_twice(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(BOUGHT, a_claim())
        assert await store.move(WON, BOUGHT, redeem=True)
        assert not await store.move(WON, BOUGHT, redeem=True)
        account = await store.account()
        assert account.pnl_e6 == {DAY: 999_993}
        assert account.spent_e6 == {DAY: 1_000_000}
        waiting = Redemption(
            token_id="up",
            wallet=TRADER.wallet,
            since_ms=MARKET_END_MS,
            size_e6=WON.filled_size_e6,
        )
        assert account.redeem == {NOTE_KEY: waiting}

    @pytest.mark.parametrize(
        "seen",
        [
            a_claim(version=2),
            a_claim(attempt_id="attempt-9"),
            a_claim(condition_id="0xc9"),
            a_claim(by_intent=True, came_back=True),
        ],
    )
    async def test_what_is_not_as_seen_is_not_replaced(self, store: Store, seen: Claim) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        before = await store.account()
        assert not await store.move(BOUGHT, seen)
        assert await store.account() == before

    async def test_of_many_moves_one_wins(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        moves = [msgspec.structs.replace(BOUGHT, text=str(number)) for number in range(5)]
        won = await asyncio.gather(*(store.move(each, a_claim()) for each in moves))
        assert sum(won) == 1
        assert (await store.account()).claims == {"intent-1": moves[won.index(True)]}

    async def test_what_was_not_spent_is_given_back_to_the_day_of_the_claim(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        tomorrow_ms = NOW_MS + DAY_MS
        ended = msgspec.structs.replace(RELEASED_ROW, resolved_at_ms=tomorrow_ms)
        assert await store.move(ended, a_claim())
        assert (await store.account()).spent_e6 == {DAY: 0}

    async def test_pnl_goes_to_the_day_it_is_booked_and_only_the_difference(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(BOUGHT, a_claim())
        assert await store.move(WON, BOUGHT)
        tomorrow_ms = MARKET_END_MS + DAY_MS
        again = msgspec.structs.replace(WON, state=OPEN, version=4)
        assert await store.move(again, WON)
        corrected = msgspec.structs.replace(
            again, state=SETTLED, version=5, pnl_e6=900_000, settled_at_ms=tomorrow_ms
        )
        assert await store.move(corrected, again)
        assert (await store.account()).pnl_e6 == {DAY: 999_993, "2026-09-22": -99_993}

    async def test_what_is_taken_back_is_taken_from_the_day_of_its_settlement(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(BOUGHT, a_claim())
        assert await store.move(WON, BOUGHT)
        # Every trade of it fails a day later, or by a clock that is a day ahead.
        later_ms = MARKET_END_MS + DAY_MS
        again = msgspec.structs.replace(WON, state=OPEN, version=4, resolved_at_ms=later_ms)
        assert await store.move(again, WON)
        failed = msgspec.structs.replace(
            again, state=RELEASED, version=5, pnl_e6=0, payout_e6=0, resolved_at_ms=later_ms
        )
        assert await store.move(failed, again)
        assert (await store.account()).pnl_e6 == {DAY: 0}

    async def test_a_settlement_is_booked_when_it_is_made(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        ahead = msgspec.structs.replace(BOUGHT, resolved_at_ms=MARKET_END_MS + DAY_MS)
        assert await store.move(ahead, a_claim())  # by a worker whose clock is a day ahead
        settled = msgspec.structs.replace(WON, resolved_at_ms=ahead.resolved_at_ms)
        assert await store.move(settled, ahead, redeem=True)
        account = await store.account()
        assert account.pnl_e6 == {DAY: WON.pnl_e6}
        assert [note.since_ms for note in account.redeem.values()] == [WON.settled_at_ms]

    # -- the end, and back -----------------------------------------------------------------------

    async def test_what_ended_is_filed_and_forgotten(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        assert await store.move(RELEASED_ROW, a_claim())
        assert await store.ledger_row(a_claim()) is None
        for _ in range(2):
            await store.put_ledger(RELEASED_ROW)
            await store.forget(RELEASED_ROW)
        assert (await store.account()).claims == {}
        assert await store.ledger_row(a_claim()) == RELEASED_ROW
        # The market stays closed for as long as its cooldown.
        assert not await taken(store, a_claim(attempt_id="attempt-2"), NOW_MS + 299_999)
        assert await taken(store, a_claim(attempt_id="attempt-2"), NOW_MS + 300_000)

    async def test_only_what_is_as_it_was_is_forgotten(self, store: Store) -> None:
        await store.open_account()
        assert await taken(store, a_claim())
        for older in (a_claim(version=2), a_claim(attempt_id="x"), other(7)):
            await store.forget(older)
        assert (await store.account()).claims == {"0xc1": a_claim()}

    async def test_the_ledger_never_goes_back(self, store: Store) -> None:
        await store.open_account()
        for row in (RELEASED_ROW, WON, RELEASED_ROW):
            await store.put_ledger(row)
        assert await store.ledger_row(a_claim()) == WON
        same_version = msgspec.structs.replace(WON, text="again")
        await store.put_ledger(same_version)
        assert await store.ledger_row(a_claim()) == same_version

    async def test_the_ledger_is_read_by_the_time_of_the_claim(self, store: Store) -> None:
        rows = [
            other(number, state=RELEASED, version=2, claimed_at_ms=NOW_MS + at_ms)
            for number, at_ms in ((1, 0), (2, 10), (3, 20), (4, 30))
        ]
        for row in reversed(rows):
            await store.put_ledger(row)
        assert await store.ledger(0, NOW_MS + 1_000) == rows
        assert await store.ledger(NOW_MS + 10, NOW_MS + 30) == rows[1:3]
        assert await store.ledger(-5, 5) == []

    async def test_a_reopened_claim_gets_a_slot_of_its_own_and_closes_its_market(
        self, store: Store
    ) -> None:
        await store.open_account()
        assert await taken(store, a_claim(intent_id="new", attempt_id="new"))
        await store.put_ledger(RELEASED_ROW)
        back = msgspec.structs.replace(BOUGHT, version=3, by_intent=True, came_back=True)
        assert await store.reopen(back, RELEASED_ROW)
        account = await store.account()
        assert set(account.claims) == {"0xc1", "intent-1"}
        assert account.claims["intent-1"] == back
        assert account.entries == {WINDOW: 2}
        assert account.cooldowns == {"0xc1": MARKET_END_MS}
        assert account.spent_e6 == {DAY: 2 * SPEND_E6}
        assert await store.ledger_row(back) == RELEASED_ROW
        ended = msgspec.structs.replace(back, state=RELEASED, version=4, filled_spend_e6=0)
        assert await store.move(ended, back)
        await store.put_ledger(ended)
        await store.forget(ended)
        account = await store.account()
        assert (set(account.claims), account.entries) == ({"0xc1"}, {WINDOW: 2})
        assert await store.ledger_row(back) == ended
        assert (await store.account()).spent_e6 == {DAY: SPEND_E6}

    async def test_of_many_one_reopens(self, store: Store) -> None:
        await store.open_account()
        await store.put_ledger(RELEASED_ROW)
        backs = [
            msgspec.structs.replace(
                BOUGHT, version=3, by_intent=True, came_back=True, text=str(number)
            )
            for number in range(4)
        ]
        won = await asyncio.gather(*(store.reopen(back, RELEASED_ROW) for back in backs))
        assert sum(won) == 1
        winner = backs[won.index(True)]
        assert not await store.reopen(winner, RELEASED_ROW)
        account = await store.account()
        assert account.claims == {"intent-1": winner}
        assert account.spent_e6 == {DAY: SPEND_E6}

    async def test_an_old_copy_is_not_put_back(self, store: Store) -> None:
        await store.open_account()
        back = msgspec.structs.replace(BOUGHT, version=3, by_intent=True, came_back=True)
        assert not await store.reopen(back, RELEASED_ROW)  # there is no row at all
        await store.put_ledger(msgspec.structs.replace(RELEASED_ROW, version=7))
        assert not await store.reopen(back, RELEASED_ROW)
        account = await store.account()
        assert (account.claims, account.cooldowns, account.spent_e6) == ({}, {}, {})
