"""What looks at the venue's records do to a claim, example by example."""

from __future__ import annotations

import pytest

from functions.core.claim import ClaimState
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    LOOKUP_SPACING_MS,
    LOOKUPS_MIN,
    apply_lookup,
    apply_trades,
    final,
)
from protocol.fill import TradeStatus
from tests.functions.core.lifecycle_claims import (
    CLAIMED,
    LATE_MS,
    OPEN,
    RELEASED,
    SOON_MS,
    UNKNOWN,
    amounts,
    opened,
    sure,
    told,
)
from tests.support.trading_builders import (
    MADE_AT_MS,
    a_claim,
    a_fill,
    a_look,
)
from venue.wire.order_answer import Accepted


@pytest.mark.parametrize("state", [CLAIMED, UNKNOWN, OPEN])
def test_not_found_releases_only_after_several_looks_over_a_minimum_age(state: ClaimState) -> None:
    claim = a_claim(state=state)
    assert apply_lookup(claim, a_look(), MADE_AT_MS + COUNT_AFTER_MS - 1) is None
    now_ms = MADE_AT_MS + COUNT_AFTER_MS
    for counted in range(1, LOOKUPS_MIN):
        claim = sure(apply_lookup(claim, a_look(), now_ms))
        assert (claim.state, claim.looks) == (state, counted)
        assert (
            apply_lookup(claim, a_look(), now_ms + LOOKUP_SPACING_MS - 1) is None
        )  # the same moment
        now_ms += LOOKUP_SPACING_MS
    claim = sure(apply_lookup(claim, a_look(), now_ms))
    assert (claim.state, claim.reserved_e6) == (RELEASED, 0)
    seconds = (now_ms - MADE_AT_MS) // 1000
    assert claim.text == f"not found in {LOOKUPS_MIN} looks over {seconds} s"


def test_however_old_it_is_a_few_looks_are_needed() -> None:
    claim, now_ms = a_claim(), MADE_AT_MS + 3_600_000
    for _ in range(LOOKUPS_MIN - 1):
        claim = sure(apply_lookup(claim, a_look(), now_ms))
        assert claim.state is CLAIMED
        now_ms += LOOKUP_SPACING_MS
    assert sure(apply_lookup(claim, a_look(), now_ms)).state is RELEASED


def test_an_order_record_that_names_no_match_is_like_none() -> None:
    claim = sure(apply_lookup(a_claim(), a_look(status="unmatched"), LATE_MS))
    assert (claim.state, claim.looks) == (CLAIMED, 1)


@pytest.mark.parametrize("status", ["live", "delayed", "matched", "filled", "executed"])
def test_an_order_that_may_still_match_is_found_and_never_released(status: str) -> None:
    claim = sure(apply_lookup(a_claim(looks=2), a_look(status=status), LATE_MS))
    assert (claim.state, claim.looks, amounts(claim)) == (OPEN, 0, (0, 0))
    for later_ms in range(10):
        assert apply_lookup(claim, a_look(status=status), LATE_MS + later_ms * 60_000) is None


@pytest.mark.parametrize("state", [CLAIMED, UNKNOWN, OPEN])
def test_looks_before_an_order_was_seen_alive_are_not_looks_in_a_row(state: ClaimState) -> None:
    claim = a_claim(state=state, looks=LOOKUPS_MIN - 1)
    claim = sure(apply_lookup(claim, a_look(status="live"), LATE_MS))
    claim = sure(apply_lookup(claim, a_look(), LATE_MS + LOOKUP_SPACING_MS))
    assert (claim.state, claim.looks) == (OPEN, 1)


def test_a_matched_order_whose_trades_are_not_listed_yet_costs_the_most_it_can() -> None:
    claim = sure(apply_lookup(a_claim(), a_look(status="matched", matched_e6=1_000_000), SOON_MS))
    assert (claim.state, amounts(claim)) == (OPEN, (550_000, 1_000_000))
    trade = a_fill(size_e6=1_000_000, price_e4=5_000, status=TradeStatus.CONFIRMED)
    claim = sure(
        apply_lookup(claim, a_look(trade, status="matched", matched_e6=1_000_000), LATE_MS)
    )
    assert amounts(claim) == (500_000, 1_000_000)
    assert final(claim)


def test_what_matched_after_the_answer_costs_more_than_the_answer_said() -> None:
    half = Accepted(status="partly_matched", spend_e6=550_000, size_e6=1_000_000)
    claim = sure(told(a_claim(), half))
    claim = sure(apply_lookup(claim, a_look(status="matched", matched_e6=2_000_000), LATE_MS))
    assert amounts(claim) == (1_100_000, 2_000_000)
    trades = [a_fill("t1", size_e6=1_000_000), a_fill("t2", size_e6=1_000_000, price_e4=5_000)]
    assert amounts(sure(apply_trades(claim, trades, LATE_MS))) == (1_050_000, 2_000_000)


@pytest.mark.parametrize("size_e6", [1, 9_000, 10_000])
def test_a_crumb_is_bought_too(size_e6: int) -> None:
    claim = sure(apply_lookup(a_claim(), a_look(status="matched", matched_e6=size_e6), SOON_MS))
    assert claim.filled_size_e6 == size_e6
    assert apply_lookup(claim, a_look(), LATE_MS) is None


def test_a_look_at_what_has_been_bought_counts_nothing() -> None:
    assert apply_lookup(opened(), a_look(), LATE_MS) is None


def test_evidence_ends_the_row_of_looks() -> None:
    claim = a_claim(looks=2, looked_at_ms=SOON_MS)
    assert sure(apply_trades(claim, [a_fill()], SOON_MS)).looks == 0
