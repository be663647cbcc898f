from __future__ import annotations

from itertools import pairwise

import pytest

from feeder.core.market.book_request_schedule import (
    QUIET_WAIT_MAX_MS,
    REQUEST_WAIT_MAX_MS,
    REQUEST_WAIT_MIN_MS,
    SILENCE_MIN_MS,
    SILENCE_SLACK_MS,
    BookRequestSchedule,
    RequestBackoff,
    SilenceTimer,
)

LATE_MAX_MS = 1_000


def first_request_ms(timer: SilenceTimer, since_ms: int) -> int:
    return next(ms for ms in range(100_000) if timer.request_due(since_ms + ms))


@pytest.mark.parametrize(
    ("pause_ms", "request_after_ms"),
    [
        (2, SILENCE_MIN_MS),
        (50, SILENCE_MIN_MS),
        (100, 800),
        (3_000, LATE_MAX_MS + SILENCE_SLACK_MS),
        (60_000, LATE_MAX_MS + SILENCE_SLACK_MS),
    ],
)
def test_silence_is_looked_into_after_some_of_the_usual_pauses(
    pause_ms: int, request_after_ms: int
) -> None:
    timer = SilenceTimer(LATE_MAX_MS, 0)
    for count in range(1, 101):
        timer.changed(count * pause_ms)
    assert first_request_ms(timer, 100 * pause_ms) == pytest.approx(request_after_ms, abs=10)


def test_looks_into_a_lasting_silence_grow_rare_and_a_change_ends_that() -> None:
    timer = SilenceTimer(LATE_MAX_MS, 0)
    looked_ms = []
    for now_ms in range(0, 300_000, 10):
        if timer.request_due(now_ms):
            timer.requested(now_ms)
            looked_ms.append(now_ms)
    assert looked_ms[:5] == [1_200, 3_600, 8_400, 18_000, 37_200]
    pauses = {later - earlier for earlier, later in pairwise(looked_ms[5:])}
    assert pauses == {QUIET_WAIT_MAX_MS}
    timer.changed(300_000)
    assert first_request_ms(timer, 300_000) == LATE_MAX_MS + SILENCE_SLACK_MS


def test_there_is_one_look_at_a_time_and_its_end_allows_the_next_a_little_later() -> None:
    schedule = RequestBackoff()
    assert schedule.due(0)
    schedule.under_way = True
    assert not schedule.due(1_000_000)
    schedule.ended(True, 1_000)
    assert not schedule.due(1_000 + REQUEST_WAIT_MIN_MS - 1)
    assert schedule.due(1_000 + REQUEST_WAIT_MIN_MS)


def test_looks_that_do_not_help_grow_rare_up_to_a_limit_and_success_ends_that() -> None:
    schedule = RequestBackoff()
    waits = []
    for _ in range(100):
        schedule.ended(False, 0)
        waits.append(schedule.next_ms)
    assert waits[:6] == [400, 800, 1_600, 3_200, 6_400, REQUEST_WAIT_MAX_MS]
    assert set(waits[6:]) == {REQUEST_WAIT_MAX_MS}
    schedule.ended(True, 0)
    assert schedule.next_ms == REQUEST_WAIT_MIN_MS


def test_while_requests_tell_nothing_something_is_due() -> None:
    schedule = BookRequestSchedule(["1", "2"], LATE_MAX_MS, 0)
    assert schedule.nothing_due(100)
    schedule.told_nothing("1", 100)
    assert not schedule.nothing_due(100)
    schedule.heard()
    assert schedule.nothing_due(100)
