"""The table of claim states, and what a claim says of itself."""

from __future__ import annotations

import pytest

from functions.core.claim import (
    ENDED,
    FINALITY_OF,
    TRANSITIONS,
    Claim,
    ClaimEvent,
    ClaimState,
    IllegalTransitionError,
    moved,
)
from protocol.fill import TradeStatus
from tests.support.trading_builders import a_claim

PAIRS = [(state, event) for state in ClaimState for event in ClaimEvent]


def test_the_values_are_what_is_stored_and_counted() -> None:
    assert [state.value for state in ClaimState] == [
        "claimed",
        "unknown",
        "open",
        "released",
        "settled",
    ]


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_moved_does_what_the_table_says_and_refuses_the_rest(
    state: ClaimState, event: ClaimEvent
) -> None:
    claim = a_claim(state=state, version=7)
    if (state, event) in TRANSITIONS:
        assert moved(claim, event) == a_claim(state=TRANSITIONS[state, event], version=8)
    else:
        with pytest.raises(IllegalTransitionError, match=f"{event} cannot happen .* {state}"):
            moved(claim, event)


def test_nothing_moves_back_to_the_beginning() -> None:
    ways = {(before, after) for (before, _), after in TRANSITIONS.items() if before is not after}
    assert all(after is not ClaimState.CLAIMED for _, after in ways)
    assert {after for before, after in ways if before in ENDED} == {ClaimState.OPEN}


def test_only_evidence_of_nothing_bought_releases() -> None:
    releasing = {event for (_, event), after in TRANSITIONS.items() if after is ClaimState.RELEASED}
    assert releasing == {ClaimEvent.REJECTED, ClaimEvent.NEVER_THERE, ClaimEvent.ALL_FAILED}
    # A refusal releases only what nothing else is known about yet.
    assert [state for state, event in TRANSITIONS if event is ClaimEvent.REJECTED] == [
        ClaimState.CLAIMED
    ]


def test_every_state_can_be_left_and_every_event_happens() -> None:
    assert {state for state, _ in TRANSITIONS} == set(ClaimState)
    assert {event for _, event in TRANSITIONS} == set(ClaimEvent)


def test_every_status_of_the_venue_has_a_finality() -> None:
    assert set(FINALITY_OF) == set(TradeStatus)


@pytest.mark.parametrize(
    ("claim", "slot"),
    [(a_claim(), "0xc1"), (a_claim(reopened=True), "intent-1")],
)
def test_a_reopened_claim_has_a_slot_of_its_own(claim: Claim, slot: str) -> None:
    assert claim.slot == slot


@pytest.mark.parametrize("state", ClaimState)
def test_all_of_the_money_is_reserved_until_the_end(state: ClaimState) -> None:
    claim = a_claim(state=state, filled_spend_e6=400_000)
    assert claim.reserved_e6 == (400_000 if state in ENDED else 1_100_000)
    assert claim.ended == (state in ENDED)
