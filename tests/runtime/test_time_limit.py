"""A bound on code that awaits nothing."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from runtime.time_limit import TookTooLongError, within_s


@pytest.mark.parametrize("cpu", [False, True])
def test_a_loop_that_catches_exceptions_is_ended(cpu: bool) -> None:
    handlers = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGPROF)
    with pytest.raises(TookTooLongError), within_s(0.1, cpu=cpu):
        while True:
            try:
                sum(range(100))
            except Exception:  # noqa: BLE001, S112 - what a careless strategy does
                continue
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGPROF)) == handlers


def test_one_that_catches_everything_once_is_interrupted_again() -> None:
    caught = 0
    with pytest.raises(TookTooLongError), within_s(0.05):
        while True:
            try:
                time.sleep(5)
            except BaseException:
                caught += 1
                if caught == 2:
                    raise
    assert caught == 2


def test_what_ends_in_time_is_left_alone() -> None:
    with within_s(0.05):
        pass
    time.sleep(0.1)  # a timer that was left behind would end the process


def test_in_another_thread_nothing_is_bounded_and_nothing_breaks() -> None:
    done: list[int] = []

    def work() -> None:
        with within_s(0.01):
            done.append(sum(range(100_000)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
