"""When winnings are asked for, when no more, and when their note goes."""

from __future__ import annotations

from itertools import pairwise

from functions.core.account import Redemption
from functions.core.winnings import (
    ASK_AGAIN_MAX_MS,
    ASK_AGAIN_MS,
    GONE_AFTER_MS,
    TRIES_MAX,
    asked,
    due,
    gone,
    stuck,
)

SINCE_MS = 1_790_000_000_000
NOTE = Redemption(token_id="up", since_ms=SINCE_MS)
DAY_MS = 86_400_000


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
    assert not stuck(old, SINCE_MS + DAY_MS)


def test_a_person_begins_the_count_anew() -> None:
    last = Redemption(token_id="up", since_ms=SINCE_MS, asked_at_ms=SINCE_MS, tries=TRIES_MAX)
    assert asked(last, SINCE_MS + DAY_MS, anew=True).tries == 1


def test_no_shares_mean_something_only_some_time_after_the_settlement() -> None:
    for note in (NOTE, asked(NOTE, SINCE_MS)):
        assert not gone(note, 0, SINCE_MS + GONE_AFTER_MS - 1)
        assert gone(note, 0, SINCE_MS + GONE_AFTER_MS)
        assert not gone(note, 1, SINCE_MS + DAY_MS)
