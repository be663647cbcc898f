"""What every store promises about limits over all accounts of a group: one set of tests for the
fake and the real.

A subclass in a test module gives the fixture `accounts`: stores of several accounts in one table,
in the order of `NAMES`, which nobody has opened.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import pytest

from functions.core.account import ClaimRefusal, Limits
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits, CollectiveState
from functions.ports import Claimed, ClaimRefused, Store
from tests.support.configuration_builders import a_row
from tests.support.store_entries_contract import (
    BOUGHT,
    DAY,
    DAY_MS,
    LIMITS,
    NOW_MS,
    RELEASED_ROW,
    SETTLED,
    SPEND_E6,
    WON,
    other,
)
from tests.support.trading_builders import a_claim

NAMES: Final = ("one", "two", "three", "four")
GROUP: Final = "group-paper"
COLLECTIVE: Final = CollectiveLimits(
    name=GROUP, config_version=1, daily_loss_limit_e6=3_000_000, exposure_max_e6=2 * SPEND_E6
)
WIDE: Final = msgspec.structs.replace(LIMITS, max_positions=9, config_version=0)


def counted(claim: Claim, **changes: Any) -> Claim:
    return msgspec.structs.replace(claim, collective=GROUP, **changes)


async def opened(accounts: list[Store]) -> None:
    """All accounts, and the group with its first limits in force."""
    for name, store in zip(NAMES, accounts, strict=True):
        await store.open_account()
        await store.group(GROUP).open(name)
    assert await accounts[0].group(GROUP).set_configuration(a_row(1), 0)


async def state_of(store: Store) -> CollectiveState:
    state = await store.group(GROUP).state()
    assert state is not None
    return state


async def refusal(
    store: Store,
    claim: Claim,
    limits: CollectiveLimits = COLLECTIVE,
    now_ms: int = NOW_MS,
    account: Limits = WIDE,
) -> ClaimRefusal | None:
    result = await store.claim(claim, account, now_ms, limits)
    return result.reason if isinstance(result, ClaimRefused) else None


class CollectiveContract:
    """Inherit it, and give the fixture `accounts`."""

    async def test_a_group_is_opened_once_and_keeps_what_is_there(
        self, accounts: list[Store]
    ) -> None:
        group = accounts[0].group(GROUP)
        assert await group.state() is None
        assert await group.open("one") == CollectiveState()
        assert await group.set_configuration(a_row(1), 0)
        assert await group.open("two") == CollectiveState(config_version=1)
        assert await group.configuration() == a_row(1)

    async def test_claims_of_all_accounts_are_counted_in_one_item(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        assert await refusal(accounts[0], counted(other(1))) is None
        assert await refusal(accounts[1], counted(other(2))) is None
        state = await state_of(accounts[2])
        assert (state.exposure_e6, state.item_version) == (2 * SPEND_E6, 2)
        # The third would be one too many, and leaves nothing behind.
        refused = await accounts[2].claim(counted(other(3)), WIDE, NOW_MS, COLLECTIVE)
        assert refused == ClaimRefused(
            reason=ClaimRefusal.COLLECTIVE_EXPOSURE,
            account=await accounts[2].account(),
            collective=state,
        )
        assert (await accounts[2].account()).claims == {}
        assert (await accounts[2].account()).spent_e6 == {}

    async def test_a_claim_above_the_limit_is_refused_where_nothing_is_at_stake(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        tight = msgspec.structs.replace(COLLECTIVE, exposure_max_e6=SPEND_E6 - 1)
        reason = await refusal(accounts[0], counted(other(1)), tight)
        assert reason is ClaimRefusal.COLLECTIVE_EXPOSURE

    async def test_the_same_attempt_again_is_ours_and_counted_once(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        only_one = msgspec.structs.replace(COLLECTIVE, exposure_max_e6=SPEND_E6)
        for _ in range(2):  # the second time there is no room left: for this very claim
            assert await refusal(accounts[0], counted(other(1)), only_one) is None
        assert (await state_of(accounts[0])).exposure_e6 == SPEND_E6

    async def test_what_the_account_refuses_the_group_does_not_count(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        await accounts[0].halt("enough")
        assert await refusal(accounts[0], counted(other(1))) is ClaimRefusal.HALTED
        assert (await state_of(accounts[0])) == CollectiveState(config_version=1)

    async def test_a_claim_names_the_group_that_counts_it(self, accounts: list[Store]) -> None:
        await opened(accounts)
        with pytest.raises(ValueError, match="names the group"):
            await accounts[0].claim(other(1), WIDE, NOW_MS, COLLECTIVE)
        with pytest.raises(ValueError, match="names the group"):
            await accounts[0].claim(counted(other(1)), WIDE, NOW_MS)

    async def test_a_claim_of_an_older_version_changes_nothing_there(
        self, accounts: list[Store]
    ) -> None:
        await accounts[0].open_account()
        assert await accounts[0].claim(a_claim(), WIDE, NOW_MS) == Claimed()
        await opened(accounts)
        assert await accounts[0].move(BOUGHT, a_claim())
        assert await accounts[0].move(WON, BOUGHT)
        assert (await state_of(accounts[0])) == CollectiveState(config_version=1)

    async def test_the_first_limits_bind_who_has_not_heard_of_them(
        self, accounts: list[Store]
    ) -> None:
        for name, store in zip(NAMES, accounts, strict=True):
            await store.open_account()
            await store.group(GROUP).join(name)
        unheard = await accounts[0].claim(other(1), WIDE, NOW_MS)
        assert unheard == Claimed()
        group = accounts[3].group(GROUP)
        await group.open(None)
        assert await group.set_configuration(a_row(1), 0)
        for number, store in enumerate(accounts, 2):
            result = await store.claim(other(number), WIDE, NOW_MS)
            assert isinstance(result, ClaimRefused)
            assert result.reason is ClaimRefusal.COLLECTIVE_CHANGED
            assert (await store.account()).collective == GROUP
        assert await refusal(accounts[1], counted(other(7))) is None

    async def test_an_account_is_of_the_group_that_it_has_joined_last(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        await accounts[0].group("another").join("one")
        assert await accounts[0].claim(other(1), WIDE, NOW_MS) == Claimed()
        await accounts[1].group(GROUP).open(None)  # which it was of once
        assert await accounts[0].claim(other(2), WIDE, NOW_MS) == Claimed()
        await accounts[0].group(GROUP).join("one")
        await accounts[1].group(GROUP).open(None)
        assert isinstance(await accounts[0].claim(other(3), WIDE, NOW_MS), ClaimRefused)

    async def test_joining_again_leaves_what_is_counted(self, accounts: list[Store]) -> None:
        await opened(accounts)
        await accounts[0].group(GROUP).join("one")
        assert (await accounts[0].account()).collective == GROUP

    async def test_limits_that_are_not_in_force_any_more_are_refused(
        self, accounts: list[Store]
    ) -> None:
        assert await self._refused_by(accounts[0]) is ClaimRefusal.NO_ACCOUNT
        await accounts[0].open_account()
        assert await self._refused_by(accounts[0]) is ClaimRefusal.COLLECTIVE_CHANGED
        await accounts[0].group(GROUP).open("one")
        assert await self._refused_by(accounts[0]) is ClaimRefusal.COLLECTIVE_CHANGED
        group = accounts[0].group(GROUP)
        assert await group.set_configuration(a_row(1), 0)
        assert await self._refused_by(accounts[0]) is None
        assert await group.set_configuration(a_row(2, why="less"), 1)
        result = await accounts[0].claim(counted(other(2)), WIDE, NOW_MS, COLLECTIVE)
        assert isinstance(result, ClaimRefused)
        assert result.reason is ClaimRefusal.COLLECTIVE_CHANGED
        assert result.collective is not None
        assert result.collective.config_version == 2

    async def _refused_by(self, store: Store) -> ClaimRefusal | None:
        return await refusal(store, counted(other(1)))

    async def test_exposure_is_what_was_bought_and_nothing_once_it_has_ended(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        first, bought, won = counted(a_claim()), counted(BOUGHT), counted(WON)
        assert await refusal(accounts[0], first) is None
        assert await accounts[0].move(bought, first)
        assert (await state_of(accounts[0])).exposure_e6 == BOUGHT.filled_spend_e6
        for _ in range(2):  # the second time it is not as seen any more, and nothing is counted
            done = await accounts[0].move(won, bought, redeem=True)
        assert not done
        state = await state_of(accounts[0])
        assert (state.exposure_e6, state.pnl_e6) == (0, {DAY: WON.pnl_e6})
        assert len((await accounts[0].account()).redeem) == 1
        # Another clock of another day: it is booked where the account books it.
        assert (await accounts[0].account()).pnl_e6 == state.pnl_e6

    async def test_what_changes_neither_amount_does_not_touch_the_group(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        first = counted(a_claim())
        assert await refusal(accounts[0], first) is None
        unknown = msgspec.structs.replace(first, state=ClaimState.UNKNOWN, version=2)
        assert await accounts[0].move(unknown, first)
        assert (await state_of(accounts[0])).item_version == 1

    async def test_a_reopened_claim_is_at_stake_again(self, accounts: list[Store]) -> None:
        await opened(accounts)
        first, row = counted(a_claim()), counted(RELEASED_ROW)
        assert await refusal(accounts[0], first) is None
        assert await accounts[0].move(row, first)
        await accounts[0].put_ledger(row)
        await accounts[0].forget(row)
        assert (await state_of(accounts[0])).exposure_e6 == 0
        back = counted(BOUGHT, version=3, by_intent=True, came_back=True)
        assert await accounts[0].reopen(back, row)
        assert not await accounts[0].reopen(back, row)
        assert (await state_of(accounts[0])).exposure_e6 == BOUGHT.filled_spend_e6
        ended = msgspec.structs.replace(
            back, state=SETTLED, version=4, pnl_e6=-1_000_000, settled_at_ms=NOW_MS
        )
        assert await accounts[0].move(ended, back)
        state = await state_of(accounts[0])
        assert (state.exposure_e6, state.pnl_e6) == (0, {DAY: -1_000_000})

    async def test_an_old_copy_that_is_not_put_back_counts_nothing(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        back = counted(BOUGHT, version=3, by_intent=True, came_back=True)
        assert not await accounts[0].reopen(back, counted(RELEASED_ROW))
        assert (await state_of(accounts[0])).exposure_e6 == 0

    async def test_one_accounts_loss_stops_the_others_until_tomorrow(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        await self._lose(accounts[0], 2_999_999)
        assert await refusal(accounts[1], counted(other(2))) is None
        await self._lose(accounts[2], 1)
        assert await refusal(accounts[3], counted(other(3))) is ClaimRefusal.COLLECTIVE_LOSS
        unlimited = msgspec.structs.replace(COLLECTIVE, daily_loss_limit_e6=None)
        assert await refusal(accounts[3], counted(other(3)), unlimited) is None
        tomorrow_ms = NOW_MS + DAY_MS
        without = msgspec.structs.replace(COLLECTIVE, exposure_max_e6=None)
        assert await refusal(accounts[0], counted(other(4)), without, tomorrow_ms) is None

    async def _lose(self, store: Store, loss_e6: int) -> None:
        claim = counted(other(1), spend_e6=1)
        assert await refusal(store, claim) is None
        lost = msgspec.structs.replace(
            claim,
            state=SETTLED,
            version=2,
            by_intent=True,
            pnl_e6=-loss_e6,
            settled_at_ms=NOW_MS + 1,
        )
        assert await store.move(lost, claim)

    async def test_racing_accounts_never_have_more_at_stake_than_they_may(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        three = msgspec.structs.replace(COLLECTIVE, exposure_max_e6=3 * SPEND_E6)
        results = await asyncio.gather(
            *(refusal(store, counted(other(n)), three) for store in accounts for n in range(2))
        )
        assert results.count(None) == 3
        assert {each for each in results if each} == {ClaimRefusal.COLLECTIVE_EXPOSURE}
        assert (await state_of(accounts[0])).exposure_e6 == 3 * SPEND_E6
        live = [claim for store in accounts for claim in (await store.account()).claims.values()]
        assert len(live) == 3

    async def test_past_days_are_pruned(self, accounts: list[Store]) -> None:
        await opened(accounts)
        await self._lose(accounts[0], 5)
        group = accounts[0].group(GROUP)
        await group.prune(await state_of(accounts[0]), NOW_MS + 8 * DAY_MS)
        assert (await state_of(accounts[0])).pnl_e6 == {DAY: -5}
        await group.prune(await state_of(accounts[0]), NOW_MS + 9 * DAY_MS)
        state = await state_of(accounts[0])
        assert state.pnl_e6 == {}
        await group.prune(state, NOW_MS + 9 * DAY_MS)

    async def test_a_correction_takes_no_claim_back_that_was_made_meanwhile(
        self, accounts: list[Store]
    ) -> None:
        await opened(accounts)
        group, seen = accounts[0].group(GROUP), await state_of(accounts[0])
        assert await refusal(accounts[0], counted(other(1))) is None
        assert not await group.correct(7, seen)
        assert (await state_of(accounts[0])).exposure_e6 == SPEND_E6
        assert await group.correct(7, await state_of(accounts[0]))
        assert (await state_of(accounts[0])).exposure_e6 == 7

    async def test_a_group_knows_its_accounts(self, accounts: list[Store]) -> None:
        await opened(accounts)
        await accounts[0].group(GROUP).open("gone")
        assert await refusal(accounts[1], counted(other(1))) is None
        known = await accounts[0].group(GROUP).accounts()
        assert known == {
            name: await store.account() for name, store in zip(NAMES, accounts, strict=True)
        }
