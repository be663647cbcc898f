"""One line a minute, and how many were left out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runtime import line_throttle
from runtime.line_throttle import LineThrottle


def test_a_minute_has_one_line_and_the_next_says_how_many_were_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now_s, now_s=100.0)
    monkeypatch.setattr(line_throttle, "time", clock)
    throttle = LineThrottle()
    assert [throttle.admit() for _ in range(4)] == [0, None, None, None]
    clock.now_s += 60
    assert [throttle.admit(), throttle.admit()] == [3, None]
    clock.now_s += 600
    assert throttle.admit() == 1
