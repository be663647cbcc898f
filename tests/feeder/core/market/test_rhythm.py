from __future__ import annotations

from itertools import pairwise

import pytest

from feeder.core.market.rhythm import QUIET_LOOK_MAX_MS, SILENCE_MIN_MS, SILENCE_SLACK_MS, Rhythm

LATE_MAX_MS = 1_000


def first_look_ms(rhythm: Rhythm, since_ms: int) -> int:
    return next(ms for ms in range(100_000) if rhythm.look_due(since_ms + ms))


@pytest.mark.parametrize(
    ("pause_ms", "look_after_ms"),
    [
        (2, SILENCE_MIN_MS),
        (50, SILENCE_MIN_MS),
        (100, 800),
        (3_000, LATE_MAX_MS + SILENCE_SLACK_MS),
        (60_000, LATE_MAX_MS + SILENCE_SLACK_MS),
    ],
)
def test_silence_is_looked_into_after_some_of_the_usual_pauses(
    pause_ms: int, look_after_ms: int
) -> None:
    rhythm = Rhythm(LATE_MAX_MS, 0)
    for count in range(1, 101):
        rhythm.changed(count * pause_ms)
    assert first_look_ms(rhythm, 100 * pause_ms) == pytest.approx(look_after_ms, abs=10)


def test_looks_into_a_lasting_silence_grow_rare_and_a_change_ends_that() -> None:
    rhythm = Rhythm(LATE_MAX_MS, 0)
    looked_ms = []
    for now_ms in range(0, 300_000, 10):
        if rhythm.look_due(now_ms):
            rhythm.looked(now_ms)
            looked_ms.append(now_ms)
    assert looked_ms[:5] == [1_200, 3_600, 8_400, 18_000, 37_200]
    pauses = {later - earlier for earlier, later in pairwise(looked_ms[5:])}
    assert pauses == {QUIET_LOOK_MAX_MS}
    rhythm.changed(300_000)
    assert first_look_ms(rhythm, 300_000) == LATE_MAX_MS + SILENCE_SLACK_MS
