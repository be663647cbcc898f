"""What fails again and again, told to a person once, and once more when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

QUIET_S: Final = 10.0
"""A full disk takes a short line now and then: that is no end of it."""


class Setback:
    """Of one thing that is tried again and again."""

    def __init__(self, say: Callable[[str], None], quiet_s: float = QUIET_S) -> None:
        self._say = say
        self._quiet_s = quiet_s
        self._failed_at_s: float | None = None
        """The last time, monotonic; None: it has worked since."""

    def failed(self, text: str) -> None:
        """It did not work; `text` is said if that is new."""
        is_new = self._failed_at_s is None
        self._failed_at_s = time.monotonic()
        if is_new:
            self._say(text)

    def worked(self, text: Callable[[], str]) -> None:
        """It worked; `text()` is said when it had failed, but not for `quiet_s` now."""
        if self._failed_at_s is None or time.monotonic() - self._failed_at_s < self._quiet_s:
            return
        self._failed_at_s = None
        self._say(text())
