from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.account import ClaimRefusal
from functions.core.claim import Claim, ClaimState
from functions.core.collective import (
    CollectiveLimits,
    CollectiveState,
    collective_refusal_of,
    exposed_e6,
    exposure_difference,
)
from protocol.fill import TradeStatus
from tests.functions.core.lifecycle_claims import (
    ALL,
    NOTHING_YET,
    OPEN,
    RELEASED,
    SETTLED,
    UNKNOWN,
    opened,
    settled_claim,
    sure,
    told,
)
from tests.functions.core.test_lifecycle_properties import Truth, said, truths
from tests.support.trading_builders import MADE_AT_MS, a_claim, a_fill
from venue.wire.order_answer import Accepted, Unknown

TODAY = "2026-09-21"
SPEND_E6 = a_claim().spend_e6
LIMITS = CollectiveLimits(
    name="group", config_version=2, daily_loss_limit_e6=100, exposure_max_e6=SPEND_E6 + 10
)
FREE = CollectiveState(exposure_e6=10, pnl_e6={TODAY: -99}, config_version=2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"exposure_e6": 11}, ClaimRefusal.COLLECTIVE_EXPOSURE),
        ({"pnl_e6": {TODAY: -100}}, ClaimRefusal.COLLECTIVE_LOSS),
        ({"pnl_e6": {"2026-09-20": -100}}, None),
        ({"config_version": 1}, ClaimRefusal.COLLECTIVE_CHANGED),
        ({"config_version": 3, "exposure_e6": 99}, ClaimRefusal.COLLECTIVE_CHANGED),
    ],
)
def test_each_limit_refuses_from_itself_on(
    changes: dict[str, Any], reason: ClaimRefusal | None
) -> None:
    group = msgspec.structs.replace(FREE, **changes)
    assert collective_refusal_of(group, a_claim(), LIMITS, TODAY) is reason


def test_a_group_that_is_not_there_takes_no_claim() -> None:
    reason = collective_refusal_of(None, a_claim(), LIMITS, TODAY)
    assert reason is ClaimRefusal.COLLECTIVE_CHANGED


def test_what_is_not_limited_refuses_nothing() -> None:
    none = CollectiveLimits(name="group", config_version=2)
    group = CollectiveState(exposure_e6=10**15, pnl_e6={TODAY: -(10**15)}, config_version=2)
    assert collective_refusal_of(group, a_claim(), none, TODAY) is None


def test_all_of_it_is_at_stake_until_it_is_known_what_was_bought() -> None:
    assert exposed_e6(a_claim()) == SPEND_E6
    unknown = sure(told(a_claim(), Unknown(text="timeout")))
    assert unknown.state is UNKNOWN
    assert exposed_e6(unknown) == SPEND_E6
    # Accepted, and held by the venue: it may still match as a whole.
    held = sure(told(a_claim(), NOTHING_YET))
    assert held.state is OPEN
    assert exposed_e6(held) == SPEND_E6
    # One trade of it, and nobody has said whether it is the only one.
    part = opened(a_fill(size_e6=200_000, price_e4=5_000))
    assert (part.filled_spend_e6, exposed_e6(part)) == (100_000, SPEND_E6)


def test_then_what_it_has_cost_and_nothing_once_it_has_ended() -> None:
    some = sure(told(a_claim(), Accepted(status="matched", spend_e6=400_000, size_e6=800_000)))
    assert exposed_e6(some) == 400_000
    assert exposed_e6(sure(told(a_claim(), ALL))) == ALL.spend_e6
    failed = opened(a_fill(status=TradeStatus.FAILED))
    assert exposed_e6(failed) in (0, SPEND_E6)
    assert exposed_e6(settled_claim()) == 0
    assert exposed_e6(a_claim(state=RELEASED, version=2)) == 0


@given(st.data(), truths())
def test_differences_add_up_to_what_is_at_stake_whatever_happens(
    data: st.DataObject, truth: Truth
) -> None:
    """The group's item is the sum of differences: it holds nothing but what the claim has now, and
    never less than what was bought."""
    claim: Claim = a_claim()
    item_e6 = exposed_e6(claim)
    now_ms = MADE_AT_MS
    for evidence in data.draw(said(truth)):
        now_ms += 1_000
        after = evidence(claim, now_ms)
        if after is None:
            continue
        item_e6 += exposure_difference(after, claim)
        claim = after
        assert item_e6 == exposed_e6(claim)
        assert item_e6 == 0 if claim.ended else item_e6 >= claim.filled_spend_e6


@pytest.mark.parametrize("state", ClaimState)
def test_it_follows_from_the_claim_alone(state: ClaimState) -> None:
    claim = a_claim(state=state, filled_spend_e6=7, reported_size_e6=9, collective="group")
    expected = {OPEN: 7, RELEASED: 0, SETTLED: 0}.get(state, SPEND_E6)
    assert exposed_e6(claim) == expected
