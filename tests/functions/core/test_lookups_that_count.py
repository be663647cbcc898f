"""Which lookups that show nothing bought count, of odd records and odd times."""

from __future__ import annotations

import pytest

from functions.core.claim import Claim, ClaimState
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    FINAL_AFTER_MS,
    LOOKUP_SPACING_MS,
    LOOKUPS_MIN,
    apply_lookup,
    needs_lookup,
)
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, a_claim, a_look

LATE_MS = MADE_AT_MS + COUNT_AFTER_MS


@pytest.mark.parametrize(
    ("status", "counts"),
    [("live", True), ("delayed", True), ("canceled", True), ("unmatched", True)]
    + [(each, False) for each in ("matched", "filled", "executed", "partially_matched", "?")],
)
def test_after_the_end_a_record_counts_only_if_its_status_says_that_nothing_matched(
    status: str, counts: bool
) -> None:
    claim: Claim = a_claim(looks=LOOKUPS_MIN - 1)
    for number in range(LOOKUPS_MIN + 1):
        now_ms = MARKET_END_MS + FINAL_AFTER_MS + number * LOOKUP_SPACING_MS
        claim = apply_lookup(claim, a_look(status=status), now_ms) or claim
        assert (claim.state is ClaimState.RELEASED) is counts
        if counts:
            break


def test_a_look_that_was_noted_ahead_of_time_does_not_keep_the_next_ones_away() -> None:
    claim = a_claim(looks=1, looked_at_ms=LATE_MS + 7_200_000)
    assert needs_lookup(claim, LATE_MS)
    counted = apply_lookup(claim, a_look(), LATE_MS)
    assert counted is not None
    assert (counted.looks, counted.looked_at_ms) == (2, LATE_MS)
