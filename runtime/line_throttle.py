"""One line a minute of what others can cause any number of times, and how many were left out."""

from __future__ import annotations

import time
from typing import Final

SAY_EVERY_S: Final = 60.0


class LineThrottle:
    """Of one kind of line."""

    def __init__(self, every_s: float = SAY_EVERY_S) -> None:
        self._every_s = every_s
        self._next_at_s = float("-inf")
        self._unlogged = 0

    def admit(self) -> int | None:
        """None: not to be said, and counted. Otherwise say it; so many were left out before it."""
        now_s = time.monotonic()
        if now_s < self._next_at_s:
            self._unlogged += 1
            return None
        unlogged, self._unlogged = self._unlogged, 0
        self._next_at_s = now_s + self._every_s
        return unlogged
