"""How lively a market is, and since when its silence is worth a look.

A market that is silent for longer than its own rhythm explains is looked up; as long as nothing
has changed, more and more rarely. The venue changes both tokens of a market at once, so a look at
either is one at both; unless one goes on without the other, which is silent then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

# Silence of so many usual pauses is unusual; a look-up then is cheap, and no verdict.
RHYTHM_FACTOR: Final = 8
SILENCE_MIN_MS: Final = 500
SILENCE_SLACK_MS: Final = 200
QUIET_LOOK_MAX_MS: Final = 30_000


class Rhythm:
    """Of whatever changes."""

    __slots__ = ("_late_max_ms", "_looked_ms", "_pause_ms", "changed_ms", "looks")

    def __init__(self, late_max_ms: int, now_ms: int) -> None:
        self._late_max_ms = late_max_ms
        self.changed_ms = now_ms
        self._looked_ms = 0
        self._pause_ms = float(SILENCE_MIN_MS)
        self.looks = 0
        """Since the last change."""

    def changed(self, now_ms: int) -> None:
        """There is something new to show."""
        self._pause_ms += (now_ms - self.changed_ms - self._pause_ms) / RHYTHM_FACTOR
        self.changed_ms, self.looks = now_ms, 0

    def look_due(self, now_ms: int) -> bool:
        """Whether the silence is to be looked into now."""
        longest_ms = self._late_max_ms + SILENCE_SLACK_MS
        pause_ms = min(max(RHYTHM_FACTOR * self._pause_ms, SILENCE_MIN_MS), longest_ms)
        wait_ms = min(pause_ms * (1 << min(self.looks, 10)), QUIET_LOOK_MAX_MS)
        return now_ms - max(self.changed_ms, self._looked_ms) >= wait_ms

    def looked(self, now_ms: int) -> None:
        """A look has begun."""
        self._looked_ms = now_ms
        self.looks += 1


class MarketRhythm:
    """Of a market and of each of its tokens."""

    __slots__ = ("_each", "_late_max_ms", "_market")

    def __init__(self, tokens: Collection[str], late_max_ms: int, now_ms: int) -> None:
        self._late_max_ms = late_max_ms
        self._market = Rhythm(late_max_ms, now_ms)
        self._each = {token_id: Rhythm(late_max_ms, now_ms) for token_id in tokens}

    def changed(self, tokens: Collection[str], now_ms: int) -> None:
        """There is something new to show of these tokens."""
        self._market.changed(now_ms)
        for token_id in tokens:
            self._each[token_id].changed(now_ms)

    def take_look(self, token_id: str, now_ms: int) -> bool:
        """Whether this token's silence is to be looked into now; if so the look has begun."""
        market, own = self._market, self._each[token_id]
        left_behind = market.changed_ms - own.changed_ms >= self._late_max_ms
        turn = token_id == tuple(self._each)[market.looks % len(self._each)]
        if left_behind and own.look_due(now_ms):
            own.looked(now_ms)
        elif turn and market.look_due(now_ms):
            market.looked(now_ms)
        else:
            return False
        return True
