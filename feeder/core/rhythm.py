"""How lively a market is, and since when its silence is worth a look.

A market that is silent for longer than its own rhythm explains is looked up; as long as nothing
has changed, more and more rarely.
"""

from __future__ import annotations

from typing import Final

# Silence of so many usual pauses is unusual; a look-up then is cheap, and no verdict.
RHYTHM_FACTOR: Final = 8
SILENCE_MIN_MS: Final = 500
SILENCE_SLACK_MS: Final = 200
QUIET_LOOK_MAX_MS: Final = 30_000


class Rhythm:
    """Of one market."""

    __slots__ = ("_changed_ms", "_late_max_ms", "_looked_ms", "_pause_ms", "looks")

    def __init__(self, late_max_ms: int, now_ms: int) -> None:
        self._late_max_ms = late_max_ms
        self._changed_ms = now_ms
        self._looked_ms = 0
        self._pause_ms = float(SILENCE_MIN_MS)
        self.looks = 0
        """Since the last change."""

    def changed(self, now_ms: int) -> None:
        """There is something new to show."""
        self._pause_ms += (now_ms - self._changed_ms - self._pause_ms) / RHYTHM_FACTOR
        self._changed_ms, self.looks = now_ms, 0

    def look_due(self, now_ms: int) -> bool:
        """Whether the silence is to be looked into now."""
        longest_ms = self._late_max_ms + SILENCE_SLACK_MS
        pause_ms = min(max(RHYTHM_FACTOR * self._pause_ms, SILENCE_MIN_MS), longest_ms)
        wait_ms = min(pause_ms * (1 << min(self.looks, 10)), QUIET_LOOK_MAX_MS)
        return now_ms - max(self._changed_ms, self._looked_ms) >= wait_ms

    def looked(self, now_ms: int) -> None:
        """A look has begun."""
        self._looked_ms = now_ms
        self.looks += 1
