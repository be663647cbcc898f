"""When winnings are asked for, when no more, and when their note goes."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from functions.core import winnings
from functions.core.account import Redemption
from functions.core.claim import ClaimFill, ClaimState, Finality
from functions.core.winnings import (
    ASK_AGAIN_MAX_MS,
    ASK_AGAIN_MS,
    GONE_AFTER_MS,
    LOOK_SPACING_MS,
    LOOKS_MIN,
    NEVER_SEEN_AFTER_MS,
    STUCK_AFTER_MS,
    TRIES_MAX,
    asked,
    beside_e6,
    due,
    gone,
    key_of,
    markets_of,
    note_of,
    stuck,
)
from tests.support.fake_ports import NEW_ACCOUNT
from tests.support.trading_builders import STRANGER, TRADER, a_claim

SINCE_MS = 1_790_000_000_000
NOTE = Redemption(token_id="up", wallet=TRADER.wallet, since_ms=SINCE_MS)
DAY_MS = 86_400_000


def looked(note: Redemption, held_e6: int, now_ms: int, beside: int | None = 0) -> Redemption:
    """By the trader, to whom nothing else of the token is shown unless told otherwise."""
    return winnings.looked(note, held_e6, now_ms, beside, TRADER.wallet)


def asked_at(note: Redemption) -> list[int]:
    """When somebody who looks each second asks, within a day, in ms after the settlement."""
    times = []
    for now_ms in range(SINCE_MS, SINCE_MS + DAY_MS, 1_000):
        if due(note, now_ms):
            note = asked(note, now_ms)
            times.append(now_ms - SINCE_MS)
    assert stuck(note, SINCE_MS + DAY_MS)
    return times


def test_each_request_waits_twice_as_long_as_the_last_and_there_is_a_last_one() -> None:
    times = asked_at(NOTE)
    assert times[0] == 0
    assert len(times) == TRIES_MAX
    gaps_ms = [later - earlier for earlier, later in pairwise(times)]
    assert gaps_ms == [min(ASK_AGAIN_MS << n, ASK_AGAIN_MAX_MS) for n in range(TRIES_MAX - 1)]


def test_nobody_is_alarmed_while_the_last_request_may_still_be_mined() -> None:
    last = Redemption(token_id="up", since_ms=SINCE_MS, asked_at_ms=SINCE_MS, tries=TRIES_MAX)
    assert not stuck(last, SINCE_MS + ASK_AGAIN_MAX_MS - 1)
    assert stuck(last, SINCE_MS + ASK_AGAIN_MAX_MS)
    assert not due(last, SINCE_MS + DAY_MS)


def test_a_note_of_an_older_version_counts_as_asked_for_once() -> None:
    old = Redemption(token_id="up", since_ms=SINCE_MS, asked_at_ms=SINCE_MS)
    assert not due(old, SINCE_MS + ASK_AGAIN_MS - 1)
    assert due(old, SINCE_MS + ASK_AGAIN_MS)
    assert asked(old, SINCE_MS + ASK_AGAIN_MS).tries == 2
    assert not stuck(old, SINCE_MS + STUCK_AFTER_MS - 1)


def test_a_person_begins_the_count_anew() -> None:
    last = Redemption(token_id="up", since_ms=SINCE_MS, asked_at_ms=SINCE_MS, tries=TRIES_MAX)
    assert asked(last, SINCE_MS + DAY_MS, anew=True).tries == 1


def looks_until_gone(note: Redemption, every_ms: int = 1_000) -> int:
    """When somebody who is shown no shares, again and again, believes it: ms after settlement."""
    for now_ms in range(SINCE_MS, SINCE_MS + 2 * DAY_MS, every_ms):
        if gone(note, 0, now_ms):
            return now_ms - SINCE_MS
        note = looked(note, 0, now_ms)
    raise AssertionError("never")


def test_no_shares_mean_something_only_after_a_while_and_several_looks_apart() -> None:
    believed_ms = GONE_AFTER_MS + (LOOKS_MIN - 1) * LOOK_SPACING_MS
    for note in (NOTE, asked(NOTE, SINCE_MS)):
        assert looks_until_gone(note) == believed_ms
        assert not gone(note, 0, SINCE_MS + DAY_MS)  # one look alone, however late


def test_shares_that_are_seen_begin_the_looks_anew() -> None:
    once = looked(NOTE, 0, SINCE_MS + GONE_AFTER_MS)
    assert once.looks == 1
    assert looked(once, 1, SINCE_MS + DAY_MS) == NOTE
    ready = msgspec.structs.replace(NOTE, looks=LOOKS_MIN - 1)
    assert not gone(ready, 1, SINCE_MS + DAY_MS)


def test_shares_on_their_way_must_have_been_seen_before_they_can_be_gone() -> None:
    on_its_way = msgspec.structs.replace(NOTE, unseen=True, size_e6=2_000_000)
    assert looks_until_gone(on_its_way) == NEVER_SEEN_AFTER_MS
    assert stuck(on_its_way, SINCE_MS + STUCK_AFTER_MS)
    seen = looked(on_its_way, 2_000_000, SINCE_MS)
    assert looks_until_gone(seen) < STUCK_AFTER_MS


def test_fewer_shares_than_all_of_the_note_do_not_end_the_waiting() -> None:
    note = msgspec.structs.replace(NOTE, unseen=True, size_e6=5_000_000)
    for held_e6 in (1, 2_000_000, 4_980_000):
        assert looked(note, held_e6, SINCE_MS).unseen
    for held_e6 in (4_990_000, 5_000_000, 9_000_000):  # the venue rounds shares in its answers
        assert not looked(note, held_e6, SINCE_MS).unseen


@pytest.mark.parametrize(
    ("size_e6", "held_e6", "beside", "unseen"),
    [
        (2_000_000, 2_000_000, 2_000_000, True),  # those of another note, or of a claim
        (2_000_000, 3_980_000, 2_000_000, True),
        (2_000_000, 3_990_000, 2_000_000, False),
        (2_000_000, 9_000_000, None, True),
        (0, 9_000_000, 0, True),  # nobody knows how many they are
    ],
)
def test_only_a_balance_that_covers_all_that_is_waited_for_ends_the_waiting(
    size_e6: int, held_e6: int, beside: int | None, unseen: bool
) -> None:
    note = msgspec.structs.replace(NOTE, unseen=True, size_e6=size_e6)
    assert looked(note, held_e6, SINCE_MS, beside).unseen is unseen


@pytest.mark.parametrize(
    ("held_e6", "beside", "wallet"),
    [
        (0, 0, ""),
        (2_000_000, 0, TRADER.wallet),
        (2_000_000, 2_000_000, ""),  # another's
        (2_010_000, 2_000_000, ""),  # and what the rounding makes of it
        (4_000_000, 2_000_000, TRADER.wallet),
        (9_000_000, None, ""),
    ],
)
def test_a_note_without_a_wallet_gets_that_in_which_its_shares_are_shown(
    held_e6: int, beside: int | None, wallet: str
) -> None:
    nobodys = Redemption(token_id="up", since_ms=SINCE_MS)
    note = looked(nobodys, held_e6, SINCE_MS + GONE_AFTER_MS, beside)
    assert note.wallet == wallet
    assert winnings.never_seen(note) is not bool(wallet)
    assert looks_until_gone(nobodys) == NEVER_SEEN_AFTER_MS
    assert not wallet or looks_until_gone(note) < STUCK_AFTER_MS


def test_what_may_be_shown_beside_a_note_is_all_that_others_wait_for() -> None:
    note = Redemption(token_id="up", wallet=TRADER.wallet, size_e6=1, since_ms=SINCE_MS)
    others = {
        "same": msgspec.structs.replace(note, size_e6=10),
        "token": msgspec.structs.replace(note, token_id="down", size_e6=100),
        "wallet": msgspec.structs.replace(note, wallet=STRANGER.wallet, size_e6=1_000),
        "nobody's": msgspec.structs.replace(note, wallet="", size_e6=10_000),
    }
    opened = a_claim(state=ClaimState.OPEN, filled_size_e6=150_000, noted_e6=50_000)
    claims = [
        opened,
        msgspec.structs.replace(opened, intent_id="i2", state=ClaimState.SETTLED),
        msgspec.structs.replace(opened, intent_id="i3", trader=STRANGER),
        msgspec.structs.replace(opened, intent_id="i4", token_id="down"),
    ]
    account = msgspec.structs.replace(
        NEW_ACCOUNT, redeem={"own": note, **others}, claims={c.intent_id: c for c in claims}
    )
    assert beside_e6(account, "own") == 110_010
    assert beside_e6(account, "nobody's") == 201_011
    older = msgspec.structs.replace(note, size_e6=0)
    unknown = msgspec.structs.replace(account, redeem={"own": note, "older": older})
    assert beside_e6(unknown, "own") is None


def test_a_joined_note_has_all_shares_and_is_asked_for_anew() -> None:
    bought = a_claim(state=ClaimState.SETTLED, reported_size_e6=2, filled_size_e6=2)
    provisional = note_of(bought, bought, SINCE_MS, None)
    assert (provisional.size_e6, provisional.unseen) == (2, True)
    confirmed = ClaimFill(standing=Finality.CONFIRMED, price_e4=5_000, size_e6=3)
    final = msgspec.structs.replace(bought, fills={"t1": confirmed}, filled_size_e6=3)
    alone = note_of(final, final, SINCE_MS, None)
    assert not alone.unseen
    for earlier, claim in ((provisional, final), (alone, bought)):
        joined = note_of(claim, claim, SINCE_MS + 1, asked(earlier, SINCE_MS))
        assert (joined.size_e6, joined.unseen, joined.since_ms) == (5, True, SINCE_MS + 1)
        assert (joined.tries, joined.asked_at_ms, joined.looks) == (0, 0, 0)


def test_a_claim_that_is_settled_again_adds_only_what_the_note_does_not_have() -> None:
    settled = a_claim(state=ClaimState.SETTLED, reported_size_e6=2, filled_size_e6=2)
    first = note_of(settled, settled, SINCE_MS, None)
    corrected = msgspec.structs.replace(settled, noted_e6=2)
    for shares in (2, 5, 1):
        again = msgspec.structs.replace(corrected, filled_size_e6=shares)
        assert note_of(again, corrected, SINCE_MS, first).size_e6 == shares
    assert note_of(corrected, corrected, SINCE_MS, first).unseen  # they are waited for as before
    seen = msgspec.structs.replace(first, unseen=False)
    assert not note_of(corrected, corrected, SINCE_MS, seen).unseen
    gone = note_of(corrected, corrected, SINCE_MS, None)
    assert (gone.size_e6, gone.unseen) == (0, False)  # what is gone comes no second time


def test_a_market_is_read_from_newer_and_older_keys() -> None:
    claim = a_claim(trader=TRADER)
    others = (a_claim(token_id="down"), a_claim(trader=STRANGER), a_claim(condition_id="0xc2"))
    keys = [key_of(each) for each in (claim, *others)]
    assert len(set(keys)) == 4
    assert key_of(a_claim(intent_id="i2", order_id="0xo2")) == keys[0]
    assert markets_of([*keys, "0xc1", "0xc3"]) == ["0xc1", "0xc2", "0xc3"]


def test_a_note_with_which_nothing_can_be_done_is_stuck_asked_for_or_not() -> None:
    for note in (NOTE, asked(NOTE, SINCE_MS)):
        assert not stuck(note, SINCE_MS + STUCK_AFTER_MS - 1)
        assert stuck(note, SINCE_MS + STUCK_AFTER_MS)
