from __future__ import annotations

from feeder.core.market.look_schedule import LOOK_WAIT_MAX_MS, LOOK_WAIT_MIN_MS, LookSchedule


def test_there_is_one_look_at_a_time_and_its_end_allows_the_next_a_little_later() -> None:
    schedule = LookSchedule()
    assert schedule.due(0)
    schedule.flying = True
    assert not schedule.due(1_000_000)
    schedule.ended(True, 1_000)
    assert not schedule.due(1_000 + LOOK_WAIT_MIN_MS - 1)
    assert schedule.due(1_000 + LOOK_WAIT_MIN_MS)


def test_looks_that_do_not_help_grow_rare_up_to_a_limit_and_success_ends_that() -> None:
    schedule = LookSchedule()
    waits = []
    for _ in range(100):
        schedule.ended(False, 0)
        waits.append(schedule.next_ms)
    assert waits[:6] == [400, 800, 1_600, 3_200, 6_400, LOOK_WAIT_MAX_MS]
    assert set(waits[6:]) == {LOOK_WAIT_MAX_MS}
    schedule.ended(True, 0)
    assert schedule.next_ms == LOOK_WAIT_MIN_MS
