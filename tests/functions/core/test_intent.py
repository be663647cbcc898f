"""The table of claim states, and why an account takes no claim."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.intent import (
    TRANSITIONS,
    Account,
    Claim,
    ClaimRefusal,
    ClaimState,
    Limits,
    refusal_of,
)

NOW_MS = 1_790_000_000_000
TODAY = "2026-09-21"
LIMITS = Limits(max_positions=2, cooldown_ms=300_000, daily_loss_limit_e6=10_000_000)
FREE = Account(
    trading="enabled", halt_reason="", claims={}, cooldowns={}, pnl_today_e6=0, day=TODAY
)


def make_claim(market: str) -> Claim:
    return Claim(
        intent_id="i",
        attempt_id="a",
        order_id="0xo",
        condition_id=market,
        slug="s",
        token_id="7",
        outcome="Up",
        state=ClaimState.CLAIMED,
        max_price_e4=5_500,
        spend_e6=1_100_000,
        salt="1",
        order_timestamp_ms=NOW_MS,
        claimed_at_ms=NOW_MS,
        market_end_ms=NOW_MS + 600_000,
    )


# What makes an account refuse a claim on m1, one reason each, in the order of reporting.
REFUSING = {
    ClaimRefusal.HALTED: {"trading": "halted"},
    ClaimRefusal.MARKET_CLAIMED: {"claims": {"m1": make_claim("m1")}},
    ClaimRefusal.COOLDOWN: {"cooldowns": {"m1": NOW_MS + 1}},
    ClaimRefusal.MAX_POSITIONS: {"claims": {"m2": make_claim("m2"), "m3": make_claim("m3")}},
    ClaimRefusal.DAILY_LOSS: {"pnl_today_e6": -10_000_000},
}


def refusal(account: Account | None, market: str = "m1") -> ClaimRefusal | None:
    return refusal_of(account, market, LIMITS, NOW_MS, TODAY)


# -- states --------------------------------------------------------------------------------------


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == set(ClaimState)


def test_an_answer_moves_a_claim_once_and_nothing_moves_it_back() -> None:
    assert TRANSITIONS[ClaimState.CLAIMED] == {
        ClaimState.OPEN,
        ClaimState.RELEASED,
        ClaimState.UNKNOWN,
    }
    for state, targets in TRANSITIONS.items():
        assert state not in targets
        assert ClaimState.CLAIMED not in targets


def test_an_unknown_claim_is_never_released_without_evidence() -> None:
    # Only the venue's word may resolve it; the worker's own table has no way out of it.
    assert TRANSITIONS[ClaimState.UNKNOWN] == frozenset()


# -- refusals ------------------------------------------------------------------------------------


def test_a_free_account_takes_a_claim() -> None:
    assert refusal(FREE) is None


def test_no_account_takes_none() -> None:
    assert refusal(None) is ClaimRefusal.NO_ACCOUNT


@pytest.mark.parametrize("reason", REFUSING)
def test_each_reason_alone(reason: ClaimRefusal) -> None:
    assert refusal(msgspec.structs.replace(FREE, **REFUSING[reason])) is reason


def test_every_reason_of_an_account_is_covered() -> None:
    others = {ClaimRefusal.NO_ACCOUNT, ClaimRefusal.UNEXPLAINED}
    assert set(REFUSING) == set(ClaimRefusal) - others


@given(st.sets(st.sampled_from(list(REFUSING)), min_size=1))
def test_the_first_reason_in_order_is_reported(reasons: set[ClaimRefusal]) -> None:
    changes: dict[str, object] = {}
    claims: dict[str, Claim] = {}
    for reason in reasons:
        changes |= REFUSING[reason]
        claims |= REFUSING[reason].get("claims", {})
    account = msgspec.structs.replace(FREE, **(changes | {"claims": claims}))
    assert refusal(account) is next(reason for reason in ClaimRefusal if reason in reasons)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cooldowns": {"m1": NOW_MS}}, None),
        ({"cooldowns": {"m2": NOW_MS + 1}}, None),
        ({"claims": {"m2": make_claim("m2")}}, None),
        ({"pnl_today_e6": -9_999_999}, None),
        ({"pnl_today_e6": -10_000_001}, ClaimRefusal.DAILY_LOSS),
        ({"pnl_today_e6": -10_000_001, "day": "2026-09-20"}, None),
        ({"pnl_today_e6": -10_000_001, "day": ""}, None),
        ({"trading": ""}, ClaimRefusal.HALTED),
    ],
)
def test_the_edges(changes: dict[str, object], reason: ClaimRefusal | None) -> None:
    assert refusal(msgspec.structs.replace(FREE, **changes)) is reason


@pytest.mark.parametrize("state", ClaimState)
def test_a_claim_in_any_state_takes_its_market_and_a_slot(state: ClaimState) -> None:
    held = msgspec.structs.replace(make_claim("m1"), state=state)
    account = msgspec.structs.replace(FREE, claims={"m1": held})
    assert refusal(account) is ClaimRefusal.MARKET_CLAIMED
    one = msgspec.structs.replace(LIMITS, max_positions=1)
    assert refusal_of(account, "m2", one, NOW_MS, TODAY) is ClaimRefusal.MAX_POSITIONS


def test_the_values_are_what_is_stored_and_counted() -> None:
    assert [state.value for state in ClaimState] == ["claimed", "open", "unknown", "released"]
