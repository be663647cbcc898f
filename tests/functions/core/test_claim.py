"""The table of claim states, and what a claim says of itself."""

from __future__ import annotations

import pytest

from functions.core.claim import (
    ENDED,
    FINALITY_OF,
    TRANSITIONS,
    UNRESOLVED,
    ClaimEvent,
    ClaimState,
    IllegalTransitionError,
    entries_difference,
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
        after = moved(claim, event)
        resolved = after.state not in UNRESOLVED
        assert after == a_claim(
            state=TRANSITIONS[state, event], version=8, by_intent=resolved, counted=after.counted
        )
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


def test_a_claim_closes_its_market_until_it_is_known_what_became_of_it() -> None:
    claim = a_claim()
    for event, slot in (
        (ClaimEvent.LOOKED, "0xc1"),
        (ClaimEvent.NO_PROOF, "0xc1"),
        (ClaimEvent.FOUND, "intent-1"),
        (ClaimEvent.RESOLVED, "intent-1"),
        (ClaimEvent.FOUND, "intent-1"),
    ):
        claim = moved(claim, event)
        assert claim.slot == slot, event


def test_what_an_older_version_left_open_under_its_market_stands_there_until_its_next_move() -> (
    None
):
    older = a_claim(state=ClaimState.OPEN, counted=False)
    assert older.slot == "0xc1"
    assert moved(older, ClaimEvent.LOOKED).slot == "intent-1"


@pytest.mark.parametrize("state", ClaimState)
def test_an_entry_is_given_back_by_what_bought_nothing_and_taken_again_by_what_comes_back(
    state: ClaimState,
) -> None:
    for (before, event), after in TRANSITIONS.items():
        if before is not state:
            continue
        seen = a_claim(state=before, counted=before is not ClaimState.RELEASED)
        claim = moved(seen, event)
        expected = (before is ClaimState.RELEASED) - (after is ClaimState.RELEASED)
        assert entries_difference(claim, seen) == expected, event


def test_a_claim_that_an_older_version_made_is_counted_once() -> None:
    older = a_claim(counted=False)
    opened = moved(older, ClaimEvent.FOUND)
    assert entries_difference(opened, older) == 1
    assert entries_difference(moved(opened, ClaimEvent.FOUND), opened) == 0
    assert entries_difference(moved(older, ClaimEvent.REJECTED), older) == 0


@pytest.mark.parametrize("field", ["resolved_at_ms", "looked_at_ms"])
def test_after_the_windows_end_nothing_is_counted(field: str) -> None:
    seen = a_claim()
    for at_ms, expected in ((seen.market_end_ms - 1, -1), (seen.market_end_ms, 0)):
        ended = moved(seen, ClaimEvent.NEVER_THERE, **{field: at_ms})
        assert entries_difference(ended, seen) == expected


def test_windows_are_ordered_by_their_ends() -> None:
    keys = [a_claim(market_end_ms=at_ms).window for at_ms in (9, 10, 1_790_000_000_000)]
    assert keys == sorted(keys)


@pytest.mark.parametrize("state", ClaimState)
def test_all_of_the_money_is_reserved_until_the_end(state: ClaimState) -> None:
    claim = a_claim(state=state, filled_spend_e6=400_000)
    assert claim.reserved_e6 == (400_000 if state in ENDED else 1_100_000)
    assert claim.ended == (state in ENDED)
