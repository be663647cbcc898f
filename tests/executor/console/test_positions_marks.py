"""What positions are worth: never zero where it is not known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from executor.console.positions_marks import (
    Mark,
    mark_of,
    marked_positions,
    total_of,
    waiting_winnings,
    words_of,
)
from executor.reports import positions_of
from functions.core.account import Redemption
from functions.core.claim import Claim, ClaimFill, ClaimState, Finality
from functions.core.lifecycle import OVERDUE_AFTER_MS, UNSETTLED_AFTER_MS, filled
from functions.core.winnings import STUCK_AFTER_MS
from protocol.book import Proof
from protocol.fee import taker_fee_e6
from protocol.snapshot import BookSnapshot
from tests.support.account_builders import make_account
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, a_claim, market, snapshot

NOW_MS = MADE_AT_MS + 60_000


def bought(**changes: Any) -> Claim:
    """2 shares for 1.10 USD, as the answer said."""
    begun = a_claim(
        token_id="0xc1-up",
        state=ClaimState.OPEN,
        by_intent=True,
        reported_spend_e6=1_100_000,
        reported_size_e6=2_000_000,
        fills={"t": ClaimFill(standing=Finality.CONFIRMED, price_e4=5_500, size_e6=2_000_000)},
    )
    spend_e6, size_e6, fee_e6 = filled(begun)
    amounts = {"filled_spend_e6": spend_e6, "filled_size_e6": size_e6, "fee_e6": fee_e6}
    return msgspec.structs.replace(begun, **{**amounts, **changes})


def a_book(**changes: Any) -> BookSnapshot:
    """Up can be sold at 0.60, Down at 0.38."""
    of = market(start_ms=MADE_AT_MS - 1, end_ms=MARKET_END_MS)
    made = snapshot([("0.60", 100)], [("0.62", 100)], of=of, received_at_ns=NOW_MS * 10**6)
    return msgspec.structs.replace(made, **changes)


def test_a_mark_is_the_bid_less_the_fee_of_selling() -> None:
    claim = bought()
    mark = mark_of(claim, a_book(), NOW_MS)
    fee_e6 = taker_fee_e6(claim.fee_schedule, 6_000, 2_000_000)
    assert fee_e6 == 33_600  # 2 x 0.07 x 0.6 x 0.4
    assert mark == Mark(
        bid_e4=6_000,
        fee_e6=fee_e6,
        value_e6=1_200_000 - fee_e6,
        unrealised_e6=1_200_000 - fee_e6 - 1_100_000 - claim.fee_e6,
    )
    down = msgspec.structs.replace(claim, token_id="0xc1-down", outcome="Down")
    assert mark_of(down, a_book(), NOW_MS).bid_e4 == 3_800


@pytest.mark.parametrize(
    ("claim", "book", "now_ms", "why_not"),
    [
        (a_claim(), a_book(), NOW_MS, "not known to have bought anything"),
        (bought(), None, NOW_MS, "no book of its market has come"),
        (bought(), a_book(), NOW_MS + 2_001, "its book is 2.0 s old"),
        (bought(), a_book(proof=Proof.NONE), NOW_MS, "its book is not proven"),
        (bought(token_id="another"), a_book(), NOW_MS, "no bid"),
        (bought(), snapshot([], [("0.62", 1)], received_at_ns=NOW_MS * 10**6), NOW_MS, "no bid"),
        (bought(state=ClaimState.SETTLED), a_book(), NOW_MS, "it has ended, and is about to be "),
        (bought(), a_book(), MARKET_END_MS, "its market has ended: it waits for the resolution"),
    ],
)
def test_without_a_bid_of_now_there_is_no_mark(
    claim: Claim, book: BookSnapshot | None, now_ms: int, why_not: str
) -> None:
    mark = mark_of(claim, book, now_ms)
    assert (mark.value_e6, mark.unrealised_e6, mark.bid_e4) == (None, None, None)
    assert mark.why_not.startswith(why_not)


def test_positions_are_those_of_the_command() -> None:
    first = bought(intent_id="i1", claimed_at_ms=MADE_AT_MS)
    second = bought(intent_id="i2", claimed_at_ms=MADE_AT_MS - 5)
    account = make_account(first, second, a_claim(condition_id="0xc2", intent_id="i3"))
    marked = marked_positions("a", account, lambda _: a_book(), NOW_MS)
    command = positions_of("a", account, [], NOW_MS).positions
    assert [each.position for each in marked] == list(command)
    total = total_of(marked)
    one = mark_of(first, a_book(), NOW_MS)
    assert one.value_e6 is not None
    assert (total.value_e6, total.unmarked) == (2 * one.value_e6, 0)
    assert total.paid_e6 == 2 * (1_100_000 + first.fee_e6)


def test_what_has_no_mark_is_not_zero_in_the_sum() -> None:
    account = make_account(bought(), bought(intent_id="i2", condition_id="0xdark"))
    books = {"0xc1": a_book()}
    total = total_of(marked_positions("a", account, books.get, NOW_MS))
    assert (total.value_e6, total.unmarked) == (mark_of(bought(), a_book(), NOW_MS).value_e6, 1)
    none = total_of(marked_positions("a", account, lambda _: None, NOW_MS))
    assert (none.value_e6, none.unrealised_e6, none.unmarked) == (None, None, 2)
    empty = total_of([])
    assert (empty.value_e6, empty.unrealised_e6, empty.unmarked) == (0, 0, 0)


@pytest.mark.parametrize(
    ("claim", "now_ms", "words", "alarm"),
    [
        (a_claim(), NOW_MS, "claimed:", False),
        (a_claim(state=ClaimState.UNKNOWN), NOW_MS, "unknown: sent,", False),
        (a_claim(), MADE_AT_MS + OVERDUE_AFTER_MS, "claimed: for long,", True),
        (a_claim(state=ClaimState.OPEN), NOW_MS, "open: the venue has the order", False),
        (bought(), NOW_MS, "open: bought, and final", False),
        (bought(fills={}), NOW_MS, "open: bought; trades may still fail", False),
        (bought(fills={}), MARKET_END_MS, "open: for long,", True),
        (bought(), MARKET_END_MS, "held to the end", False),
        (bought(), MARKET_END_MS + UNSETTLED_AFTER_MS, "its market ended long ago", True),
        (bought(state=ClaimState.SETTLED), NOW_MS, "ended; not filed", False),
    ],
)
def test_a_state_is_told_in_words(claim: Claim, now_ms: int, words: str, alarm: bool) -> None:
    told, look = words_of(claim, now_ms)
    assert told.startswith(words)
    assert look is alarm


def test_winnings_wait_with_what_was_done_for_them() -> None:
    notes = {
        "0xa#t#w": Redemption(token_id="t", size_e6=5, since_ms=NOW_MS - 1),
        "0xb#t#w": Redemption(token_id="t", since_ms=NOW_MS - 2, asked_at_ms=NOW_MS - 1, tries=2),
        "0xc": Redemption(token_id="t", since_ms=NOW_MS - STUCK_AFTER_MS),
    }
    told = waiting_winnings("a", notes, {"0xa": "<slug>"}.get, NOW_MS)  # type: ignore[arg-type]
    assert [(each.condition_id, each.asked, each.alarm) for each in told] == [
        ("0xc", "nobody could ask", True),
        ("0xb", "asked for 2 times", False),
        ("0xa", "not asked for yet", False),
    ]
    assert told[-1].market == "<slug>"
