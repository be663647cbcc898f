"""What has passed since, when somebody sets the wall clock or the machine sleeps."""

from __future__ import annotations

import time

import pytest

from runtime.instant import Instant

S = 10**9


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "passed_s"),
    [(5, 5, 5), (-6, 5, 5), (0, 5, 5), (3_600, 5, 3_600), (60, 0, 60)],
    ids=["neither", "set back", "held", "set ahead", "the machine slept"],
)
def test_the_clock_that_has_gone_further_counts(
    wall_s: int, monotonic_s: int, passed_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = Instant(epoch_ns=1_000 * S, monotonic_ns=7 * S)
    monkeypatch.setattr(time, "time_ns", lambda: (1_000 + wall_s) * S)
    monkeypatch.setattr(time, "monotonic_ns", lambda: (7 + monotonic_s) * S)
    assert then.now_ns() == (1_000 + passed_s) * S
    assert Instant() == Instant((1_000 + wall_s) * S, (7 + monotonic_s) * S)
