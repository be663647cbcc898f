"""When a strategy has failed so often that it is asked no more. Pure.

A strategy that raises, or answers what is no answer, holds. After `FAILURES_MAX` failures within a
minute it is disabled in this worker until that is started again; other strategies go on.
"""

from __future__ import annotations

from collections import deque
from typing import Final

FAILURES_MAX: Final = 20
WITHIN_MS: Final = 60_000


class StrategyFailures:
    """Counts one strategy's failures. Times are milliseconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._at_ms: deque[int] = deque(maxlen=FAILURES_MAX)
        self._disabled = False

    @property
    def disabled(self) -> bool:
        """Whether it is not asked any more."""
        return self._disabled

    def note(self, now_ms: int, counts: int = 1) -> bool:
        """One more, counted as so many. True when it is this one that disables the strategy."""
        self._at_ms.extend([now_ms] * counts)
        full = len(self._at_ms) == FAILURES_MAX
        if self._disabled or not full or now_ms - self._at_ms[0] > WITHIN_MS:
            return False
        self._disabled = True
        return True
