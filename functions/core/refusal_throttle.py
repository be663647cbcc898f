"""Counting the repeats of one refusal instead of reporting each.

A signal lasts for hundreds of books, so its refusal would be logged hundreds of times. The first
one is reported; the others within the window are suppressed and counted, and the next one that is
reported carries their number.
"""

from __future__ import annotations

from typing import Final, TypeAlias

Key: TypeAlias = tuple[str, str, str]
"""(condition id, outcome, reason)."""

_KEYS_MAX: Final = 10_000  # bounds memory; ~100 markets x 2 outcomes x a dozen reasons is 2,400


class RefusalThrottle:
    """Which refusals to report. Times in milliseconds."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._seen: dict[Key, tuple[int, int]] = {}  # key -> (window end, suppressed so far)

    def set_window(self, window_ms: int) -> None:
        """For refusals that are reported from now on."""
        self._window_ms = window_ms

    def admit(self, key: Key, now_ms: int) -> int | None:
        """None: suppressed, and counted. Otherwise report it; so many were suppressed before it."""
        until_ms, suppressed = self._seen.get(key, (0, 0))
        if now_ms < until_ms:
            self._seen[key] = (until_ms, suppressed + 1)
            return None
        if len(self._seen) >= _KEYS_MAX:
            self._seen = {k: v for k, v in self._seen.items() if v[0] > now_ms}
        if len(self._seen) >= _KEYS_MAX:
            return None  # whoever sends so many would otherwise have each of them reported
        self._seen[key] = (now_ms + self._window_ms, 0)
        return suppressed
