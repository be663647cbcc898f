"""The group's half of a claim in any store: each limit alone refuses, and its pure twin agrees.

A subclass in a test module gives the fixtures `store`, `table` (what it stores as a person sees and
changes it) and `opened`: both for a property, the store on a loop of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from functions.core.account import ClaimRefusal
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits, CollectiveState, collective_refusal_of
from functions.ports import Claimed, ClaimRefused
from tests.support.store_builders import LIMITS, NOW_MS, TODAY, make_account, make_claim

GROUP = "group"
SPEND_E6 = make_claim().spend_e6
COLLECTIVE = CollectiveLimits(
    name=GROUP, config_version=3, daily_loss_limit_e6=4_000_000, exposure_max_e6=5_000_000
)
ROOM_E6 = 5_000_000 - SPEND_E6
FREE = CollectiveState(
    exposure_e6=ROOM_E6, pnl_e6={TODAY: -3_999_999}, config_version=3, item_version=5
)
REFUSING = {
    ClaimRefusal.COLLECTIVE_CHANGED: {"config_version": 4},
    ClaimRefusal.COLLECTIVE_LOSS: {"pnl_e6": {TODAY: -4_000_000}},
    ClaimRefusal.COLLECTIVE_EXPOSURE: {"exposure_e6": ROOM_E6 + 1},
}


def counted(**changes: Any) -> Claim:
    return make_claim(collective=GROUP, **changes)


def bought(**changes: Any) -> Claim:
    return counted(
        **{
            "state": ClaimState.OPEN,
            "version": 2,
            "by_intent": True,
            "reported_spend_e6": 1_000_000,
            "reported_size_e6": 2_000_000,
            "filled_spend_e6": 1_000_000,
            "filled_size_e6": 2_000_000,
            **changes,
        }
    )


def near(value: int) -> st.SearchStrategy[int]:
    return st.sampled_from([value - 1, value, value + 1, 0])


def make_free(table: Any) -> None:
    """An account and a group that take the claim, without a cent to spare."""
    table.put_account(make_account())
    table.put_group(GROUP, FREE)


class StoredGroupContract:
    """Inherit it, and give the fixtures."""

    @pytest.fixture
    def free(self, table):
        make_free(table)
        return table

    async def test_a_claim_at_the_limits_is_taken_and_counted(self, store, free) -> None:
        assert await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE) == Claimed()
        assert free.account().claims == {"0xm1": counted()}
        assert free.group(GROUP) == msgspec.structs.replace(
            FREE, exposure_e6=ROOM_E6 + SPEND_E6, item_version=6
        )

    @pytest.mark.parametrize("reason", REFUSING)
    async def test_each_condition_refuses_alone(self, store, free, reason) -> None:
        state = msgspec.structs.replace(FREE, **REFUSING[reason])
        free.put_group(GROUP, state)
        refused = await store.claim(counted(), LIMITS, NOW_MS, COLLECTIVE)
        assert refused == ClaimRefused(reason=reason, account=make_account(), collective=state)
        assert (free.account(), free.group(GROUP)) == (make_account(), state)

    async def test_a_group_that_was_deleted_is_made_again_by_what_moves(self, store, table) -> None:
        table.put_account(make_account(claims={"0xm1": counted()}))
        assert await store.move(bought(pnl_e6=7), counted())
        state = table.group(GROUP)
        assert (state.exposure_e6, state.config_version) == (-100_000, 0)
        assert state.pnl_e6 == {"1970-01-01": 7}

    @given(
        state=st.builds(
            CollectiveState,
            exposure_e6=near(ROOM_E6),
            pnl_e6=st.dictionaries(st.sampled_from([TODAY, "2026-09-20"]), near(-4_000_000)),
            config_version=st.sampled_from([0, 2, 3]),
        ),
        limits=st.builds(
            CollectiveLimits,
            name=st.just(GROUP),
            config_version=st.sampled_from([2, 3]),
            daily_loss_limit_e6=st.sampled_from([None, 4_000_000]),
            exposure_max_e6=st.sampled_from([None, 5_000_000]),
        ),
    )
    @settings(
        max_examples=40,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_the_condition_is_the_model(
        self, opened, state: CollectiveState, limits: CollectiveLimits
    ) -> None:
        opened.table.put_account(make_account())
        opened.table.put_group(GROUP, state)
        reason = collective_refusal_of(state, counted(), limits, TODAY)
        result = opened.claim(counted(), LIMITS, NOW_MS, limits)
        if reason is not None:
            assert result == ClaimRefused(reason=reason, account=make_account(), collective=state)
            assert opened.table.group(GROUP) == state
        else:
            assert result == Claimed()
            assert opened.table.group(GROUP) == msgspec.structs.replace(
                state, exposure_e6=state.exposure_e6 + SPEND_E6, item_version=1
            )
