"""Evidence applied to a claim, example by example. Histories of any order: see the next module."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from functions.core.claim import Claim, ClaimFill, ClaimState, Finality
from functions.core.evidence import Resolution
from functions.core.lifecycle import (
    CONFIRM_AFTER_MS,
    FINAL_AFTER_MS,
    LOOKUP_AFTER_MS,
    LOOKUP_SPACING_MS,
    OVERDUE_AFTER_MS,
    TEXT_LENGTH_MAX,
    apply_lookup,
    apply_resolution,
    apply_trades,
    final,
    needs_lookup,
    overdue,
    settleable,
)
from protocol.fee import taker_fee_e6
from protocol.fill import TradeStatus
from tests.functions.core.lifecycle_claims import (
    ALL,
    CLAIMED,
    LATE_MS,
    NOTHING_YET,
    OPEN,
    RELEASED,
    SETTLED,
    SOON_MS,
    UNKNOWN,
    WON,
    amounts,
    opened,
    settled_claim,
    sure,
    told,
)
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    STRANGER,
    a_claim,
    a_fill,
    a_look,
)
from venue.wire.order_answer import Accepted, Rejected, RejectReason, Unknown

# -- the worker's answer -------------------------------------------------------------------------


def test_an_accepted_order_is_open_with_what_the_answer_says() -> None:
    claim = sure(told(a_claim(), ALL))
    assert (claim.state, amounts(claim), claim.text) == (OPEN, (1_100_000, 2_000_000), "matched")
    assert claim.fee_e6 == taker_fee_e6(claim.fee_schedule, 5_500, 2_000_000)
    assert claim.resolved_at_ms == SOON_MS
    assert not final(claim)  # no trade is known, let alone confirmed


def test_accepted_without_a_fill_is_open_and_worth_nothing() -> None:
    claim = sure(told(a_claim(), NOTHING_YET))
    assert (claim.state, amounts(claim), claim.reserved_e6) == (OPEN, (0, 0), 1_100_000)


def test_a_proven_rejection_releases_and_keeps_the_words() -> None:
    claim = sure(told(a_claim(), Rejected(reason=RejectReason.NO_MATCH, text="w" * 10_000)))
    assert (claim.state, claim.reserved_e6) == (RELEASED, 0)
    assert claim.text.startswith("no_match: www")
    assert len(claim.text) < TEXT_LENGTH_MAX + 50


def test_no_proof_reserves_the_exposure() -> None:
    claim = sure(told(a_claim(), Unknown(text="timeout")))
    assert (claim.state, claim.reserved_e6, claim.text) == (UNKNOWN, 1_100_000, "timeout")


@pytest.mark.parametrize("state", [UNKNOWN, OPEN, RELEASED, SETTLED])
@pytest.mark.parametrize(
    "answer", [Unknown(text="?"), Rejected(reason=RejectReason.NO_MATCH, text="no")]
)
def test_a_refusal_or_silence_changes_nothing_that_the_venue_has_shown(
    state: ClaimState, answer: Any
) -> None:
    assert told(a_claim(state=state), answer) is None


@pytest.mark.parametrize("state", [CLAIMED, UNKNOWN, OPEN, RELEASED])
def test_an_acceptance_is_believed_in_any_state(state: ClaimState) -> None:
    claim = sure(told(a_claim(state=state), ALL))
    assert (claim.state, amounts(claim)) == (OPEN, (1_100_000, 2_000_000))


def test_paper_fills_come_with_the_answer_and_are_final() -> None:
    fill = a_fill(status=TradeStatus.CONFIRMED)
    answer = Accepted(status="matched", spend_e6=1_100_000, size_e6=2_000_000, fills=(fill,))
    assert final(sure(told(a_claim(), answer)))


# -- trades --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [CLAIMED, UNKNOWN, OPEN, RELEASED])
def test_a_trade_opens_whatever_was_thought_before(state: ClaimState) -> None:
    claim = sure(apply_trades(a_claim(state=state), [a_fill()], SOON_MS))
    assert (claim.state, claim.version, amounts(claim)) == (OPEN, 2, (1_100_000, 2_000_000))


def test_another_orders_trade_says_nothing() -> None:
    assert apply_trades(a_claim(), [a_fill(order_id="0xother")], SOON_MS) is None


def test_the_same_trade_again_says_nothing() -> None:
    assert apply_trades(opened(), [a_fill(), a_fill(status=TradeStatus.MINED)], LATE_MS) is None


HALF = a_fill("t7", TradeStatus.CONFIRMED, size_e6=1_000_000)
OTHER_HALF = a_fill("t6", TradeStatus.MATCHED, size_e6=1_000_000)


def test_a_confirmed_trade_is_not_the_last_word_while_nobody_knows_how_many_there_are() -> None:
    # The POST had no answer, and the user channel has lost the other trade.
    half = sure(apply_trades(a_claim(state=UNKNOWN), [HALF], SOON_MS))
    assert not final(half)
    assert needs_lookup(half, MADE_AT_MS + CONFIRM_AFTER_MS)
    assert not settleable(half, MARKET_END_MS)
    assert settleable(half, MARKET_END_MS + FINAL_AFTER_MS)
    both = sure(apply_lookup(half, a_look(HALF, OTHER_HALF), LATE_MS))
    assert (both.filled_size_e6, final(both)) == (2_000_000, False)


@pytest.mark.parametrize(
    "look", [a_look(HALF), a_look(HALF, status="matched", matched_e6=1_000_000)]
)
def test_a_look_of_the_orders_own_trader_that_shows_no_other_is(look: Any) -> None:
    half = sure(apply_trades(a_claim(state=UNKNOWN), [HALF], SOON_MS))
    alone = sure(apply_lookup(half, look, LATE_MS))
    assert final(alone)
    assert alone.filled_size_e6 == 1_000_000
    assert apply_lookup(alone, look, LATE_MS + LOOKUP_SPACING_MS) is None


def test_a_strangers_look_at_its_side_of_the_trades_is_not() -> None:
    half = sure(apply_trades(a_claim(state=UNKNOWN), [HALF], SOON_MS))
    assert (
        apply_lookup(half, msgspec.structs.replace(a_look(HALF), seen_by=STRANGER), LATE_MS) is None
    )


def test_an_order_that_has_spent_its_money_has_no_other_trade() -> None:
    assert final(opened(a_fill(status=TradeStatus.CONFIRMED)))
    assert final(opened(a_fill(status=TradeStatus.CONFIRMED, size_e6=1_985_000)))
    assert not final(opened(a_fill(status=TradeStatus.CONFIRMED, size_e6=1_980_000)))


def test_confirmed_is_final_and_what_comes_after_it_says_nothing() -> None:
    claim = sure(apply_trades(opened(), [a_fill(status=TradeStatus.CONFIRMED)], LATE_MS))
    assert final(claim)
    for status in TradeStatus:
        assert apply_trades(claim, [a_fill(status=status)], LATE_MS) is None


def test_a_failed_trade_takes_its_part_away() -> None:
    both = [a_fill("t1", size_e6=500_000), a_fill("t2", size_e6=1_500_000)]
    claim = opened(*both)
    assert amounts(claim) == (1_100_000, 2_000_000)
    claim = sure(
        apply_trades(claim, [a_fill("t2", TradeStatus.FAILED, size_e6=1_500_000)], LATE_MS)
    )
    assert (claim.state, amounts(claim)) == (OPEN, (275_000, 500_000))
    assert claim.fee_e6 == taker_fee_e6(claim.fee_schedule, 5_500, 500_000)


def test_all_that_was_reported_has_failed() -> None:
    claim = sure(
        apply_trades(sure(told(a_claim(), ALL)), [a_fill(status=TradeStatus.FAILED)], LATE_MS)
    )
    assert (claim.state, amounts(claim), claim.reserved_e6) == (RELEASED, (0, 0), 0)


def test_part_of_what_was_reported_has_failed_and_the_rest_is_still_held() -> None:
    part = a_fill(status=TradeStatus.FAILED, size_e6=500_000)
    claim = sure(apply_trades(sure(told(a_claim(), ALL)), [part], LATE_MS))
    assert (claim.state, amounts(claim)) == (OPEN, (825_000, 1_500_000))
    assert not final(claim)


def test_without_a_report_a_failed_trade_may_not_be_all_so_the_venue_is_asked() -> None:
    claim = sure(apply_trades(opened(), [a_fill(status=TradeStatus.FAILED)], SOON_MS))
    assert (claim.state, amounts(claim)) == (OPEN, (0, 0))
    now_ms = MADE_AT_MS + CONFIRM_AFTER_MS
    assert needs_lookup(claim, now_ms)
    assert overdue(claim, MADE_AT_MS + OVERDUE_AFTER_MS)
    claim = sure(apply_lookup(claim, a_look(a_fill(status=TradeStatus.FAILED)), now_ms))
    assert claim.state is RELEASED


# -- late evidence -------------------------------------------------------------------------------


def test_a_late_trade_reopens_a_released_claim() -> None:
    claim = sure(apply_trades(a_claim(state=RELEASED, version=5), [a_fill()], LATE_MS))
    assert (claim.state, claim.version, claim.reserved_e6) == (OPEN, 6, 1_100_000)


@pytest.mark.parametrize("look", [a_look(a_fill()), a_look(status="matched", matched_e6=2_000_000)])
def test_a_late_look_reopens_a_released_claim(look: Any) -> None:
    assert sure(apply_lookup(a_claim(state=RELEASED), look, LATE_MS)).state is OPEN


def test_a_look_that_shows_nothing_does_not_touch_what_has_ended() -> None:
    assert apply_lookup(a_claim(state=RELEASED), a_look(), LATE_MS) is None
    assert apply_lookup(a_claim(state=RELEASED), a_look(status="live"), LATE_MS) is None
    assert apply_lookup(settled_claim(), a_look(), LATE_MS) is None


def test_a_confirmation_after_settlement_says_nothing() -> None:
    claim = settled_claim(TradeStatus.MATCHED)
    assert apply_trades(claim, [a_fill(status=TradeStatus.CONFIRMED)], LATE_MS) is None


def test_what_failed_after_settlement_takes_its_pnl_back() -> None:
    claim = settled_claim(TradeStatus.MATCHED)
    assert claim.pnl_e6 != 0
    failed = a_fill(status=TradeStatus.FAILED)
    now_ms = claim.settled_at_ms + 1
    claim = sure(apply_trades(claim, [failed], now_ms))
    assert (claim.state, amounts(claim)) == (OPEN, (0, 0))
    assert needs_lookup(claim, now_ms)
    claim = sure(apply_lookup(claim, a_look(failed), now_ms))
    assert (claim.state, claim.pnl_e6, claim.payout_e6) == (RELEASED, 0, 0)


def test_what_was_bought_beyond_the_settlement_is_settled_anew() -> None:
    claim = settled_claim(size_e6=1_000_000)
    more = a_fill("t2", TradeStatus.CONFIRMED, size_e6=500_000)
    claim = sure(apply_trades(claim, [more], claim.settled_at_ms + 1))
    assert (claim.state, amounts(claim)) == (OPEN, (825_000, 1_500_000))
    again = sure(apply_resolution(claim, WON, claim.settled_at_ms + 2))
    assert again.pnl_e6 == 1_500_000 - 825_000 - again.fee_e6


# -- settlement ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pays_e6", "payout_e6"), [(1_000_000, 1_500_001), (0, 0), (500_000, 750_000)]
)
def test_a_position_pays_after_fees(pays_e6: int, payout_e6: int) -> None:
    look = a_look(a_fill(status=TradeStatus.CONFIRMED, size_e6=1_500_001))
    claim = sure(apply_lookup(a_claim(), look, LATE_MS))
    claim = sure(
        apply_resolution(claim, Resolution(payouts_e6={"up": pays_e6}, source="x"), MARKET_END_MS)
    )
    fee_e6 = taker_fee_e6(claim.fee_schedule, 5_500, 1_500_001)
    assert fee_e6 > 0
    assert (claim.state, claim.payout_e6) == (SETTLED, payout_e6)
    assert claim.pnl_e6 == payout_e6 - 825_001 - fee_e6
    assert claim.settled_at_ms == MARKET_END_MS


def test_a_resolution_that_does_not_know_the_token_is_an_error() -> None:
    claim = opened(a_fill(status=TradeStatus.CONFIRMED))
    with pytest.raises(KeyError):
        apply_resolution(claim, Resolution(payouts_e6={"7": 0}, source="x"), MARKET_END_MS)


@pytest.mark.parametrize(
    ("claim", "from_ms"),
    [
        (opened(a_fill(status=TradeStatus.CONFIRMED)), MARKET_END_MS),
        (opened(), MARKET_END_MS + FINAL_AFTER_MS),
        (sure(told(a_claim(), ALL)), MARKET_END_MS + FINAL_AFTER_MS),
        (sure(told(a_claim(), NOTHING_YET)), None),
        (a_claim(), None),
        (a_claim(state=UNKNOWN), None),
        (a_claim(state=RELEASED), None),
        (settled_claim(), None),
    ],
)
def test_only_a_bought_and_final_position_of_an_ended_market_is_settled(
    claim: Claim, from_ms: int | None
) -> None:
    if from_ms is None:
        assert apply_resolution(claim, WON, MARKET_END_MS + 10 * FINAL_AFTER_MS) is None
    else:
        assert not settleable(claim, from_ms - 1)
        assert apply_resolution(claim, WON, from_ms - 1) is None
        assert sure(apply_resolution(claim, WON, from_ms)).state is SETTLED


# -- attention -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "after_ms"),
    [
        (a_claim(), LOOKUP_AFTER_MS),
        (a_claim(state=UNKNOWN), LOOKUP_AFTER_MS),
        (sure(told(a_claim(), NOTHING_YET)), CONFIRM_AFTER_MS),
        (opened(), CONFIRM_AFTER_MS),
        (opened(a_fill(status=TradeStatus.CONFIRMED)), None),
        (a_claim(state=RELEASED), None),
        (settled_claim(), None),
    ],
)
def test_who_is_looked_at_and_when(claim: Claim, after_ms: int | None) -> None:
    if after_ms is None:
        assert not needs_lookup(claim, MADE_AT_MS + 10_000_000)
        assert not overdue(claim, MADE_AT_MS + 10_000_000)
    else:
        assert not needs_lookup(claim, MADE_AT_MS + after_ms - 1)
        assert needs_lookup(claim, MADE_AT_MS + after_ms)
        assert not overdue(claim, MADE_AT_MS + OVERDUE_AFTER_MS - 1)
        assert overdue(claim, MADE_AT_MS + OVERDUE_AFTER_MS)


def test_one_is_not_looked_at_again_at_once() -> None:
    claim = a_claim(looked_at_ms=LATE_MS)
    assert not needs_lookup(claim, LATE_MS + LOOKUP_SPACING_MS - 1)
    assert needs_lookup(claim, LATE_MS + LOOKUP_SPACING_MS)


def test_a_trade_id_is_kept_with_its_highest_finality() -> None:
    claim = opened(a_fill(), a_fill(status=TradeStatus.FAILED), a_fill(status=TradeStatus.MINED))
    kept = ClaimFill(standing=Finality.FAILED, price_e4=5_500, size_e6=2_000_000)
    assert claim.fills == {"t1": kept}


def test_what_was_told_once_is_not_taken_back_by_a_record_that_is_behind() -> None:
    claim = sure(apply_lookup(a_claim(), a_look(status="matched", matched_e6=2_000_000), SOON_MS))
    for behind in (a_look(status="matched", matched_e6=1_000_000), a_look(status="live"), a_look()):
        assert apply_lookup(claim, behind, LATE_MS) is None
    claim = sure(told(sure(told(a_claim(), ALL)), NOTHING_YET))
    assert (claim.reported_spend_e6, claim.reported_size_e6) == (1_100_000, 2_000_000)


def test_the_answers_money_is_exact_although_its_shares_are_rounded() -> None:
    answer = Accepted(status="matched", spend_e6=1_099_000, size_e6=1_990_001)
    claim = sure(told(a_claim(), answer))
    assert amounts(sure(apply_trades(claim, [a_fill()], LATE_MS))) == (1_099_000, 2_000_000)


def test_shares_whose_price_is_unknown_cost_no_more_than_the_claim_may_spend() -> None:
    claim = sure(apply_lookup(a_claim(), a_look(status="matched", matched_e6=2_100_000), LATE_MS))
    assert amounts(claim) == (1_100_000, 2_100_000)


def test_no_money_is_left_in_shares_that_have_all_failed() -> None:
    cheaper = a_fill(status=TradeStatus.FAILED, price_e4=5_000)
    claim = sure(apply_trades(sure(told(a_claim(), ALL)), [cheaper], LATE_MS))
    assert (claim.state, amounts(claim)) == (RELEASED, (0, 0))
