"""Series whose books come from the future: for a while nothing of them is believed. Pure.

A book that has waited in the stream for as long as this clock is behind looks as if it had just
come. A series has one feeder at a time, another one another clock.
"""

from __future__ import annotations

from typing import Final

from protocol.subjects import BOOKS

SERIES_MAX: Final = 100
BEHIND_BELIEVED_MS: Final = BOOKS.max_age_s * 1_000
"""As long as a book can wait in the stream."""


class ClockDoubt:
    """Times are milliseconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._until_ms: dict[str, int] = {}
        """By series, the latest last."""

    def note(self, series: str, now_ms: int) -> None:
        """A book of this series is from the future."""
        self._until_ms.pop(series, None)
        if len(self._until_ms) >= SERIES_MAX:
            del self._until_ms[next(iter(self._until_ms))]
        self._until_ms[series] = now_ms + BEHIND_BELIEVED_MS

    def __bool__(self) -> bool:
        return bool(self._until_ms)

    def holds(self, series: str, now_ms: int) -> bool:
        """Whether one has come so lately that no book of the series is believed."""
        if now_ms < self._until_ms.get(series, 0):
            return True
        self._until_ms.pop(series, None)
        return False
