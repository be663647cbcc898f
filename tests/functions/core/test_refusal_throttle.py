from __future__ import annotations

from functions.core.refusal_throttle import RefusalThrottle

KEY = ("market", "Up", "cooldown")


def test_a_refusal_is_told_once_a_window_with_the_number_of_its_repeats() -> None:
    counter = RefusalThrottle(window_ms=100)
    assert counter.admit(KEY, 0) == 0
    assert [counter.admit(KEY, now) for now in (1, 50, 99)] == [None, None, None]
    assert counter.admit(KEY, 100) == 3
    assert counter.admit(KEY, 101) is None


def test_reasons_and_outcomes_are_told_apart() -> None:
    counter = RefusalThrottle(window_ms=100)
    assert counter.admit(KEY, 0) == 0
    assert counter.admit(("market", "Up", "halted"), 1) == 0
    assert counter.admit(("market", "Down", "cooldown"), 1) == 0
