"""What is read of Linux's own count."""

from __future__ import annotations

import os
import sys
import time

import pytest

from benchmarks.process_times import (
    NOTHING,
    ProcessTimes,
    cpu_s_of,
    times_by_name,
    times_of,
    waited_s_of,
)

STAT = (
    "4321 (a (b) c) S 1 4321 4321 0 -1 4194304 2573 0 0 0 150 25 7 3 20 0 7 0 86083 3133440 386\n"
)


def test_processor_time_is_user_and_system_time_without_that_of_children() -> None:
    assert cpu_s_of(STAT, ticks_a_s=100) == 1.75


def test_waiting_is_the_second_number() -> None:
    assert waited_s_of("7000000000 2500000000 99\n") == 2.5


def test_times_add_up_and_their_difference_is_what_came_between() -> None:
    assert ProcessTimes(3.0, 2.0) - ProcessTimes(1.0, 0.5) == ProcessTimes(2.0, 1.5)
    assert ProcessTimes(3.0, 2.0) + NOTHING == ProcessTimes(3.0, 2.0)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_of_processes_by_name_the_sum_is_taken_and_an_ended_one_counts_nothing() -> None:
    while time.process_time() < 0.02:  # two ticks
        pass
    me, ended = os.getpid(), 2**22 + 1
    assert times_of(ended) == NOTHING
    by_name = times_by_name({"twice": [me, me, ended], "none": []})
    assert by_name["none"] == NOTHING
    assert by_name["twice"].cpu_s == pytest.approx(2 * time.process_time(), abs=0.1)
