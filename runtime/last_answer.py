"""Whether a dependency that is asked again and again has stopped answering, for a health check."""

from __future__ import annotations

import time
from typing import Final

TROUBLE_LENGTH_MAX: Final = 300


class LastAnswer:
    """Of one dependency; `says` begins the sentence about it: "table t has not answered"."""

    def __init__(self, says: str, silent_max_s: float = 30.0) -> None:
        self._says = says
        self.silent_max_s = silent_max_s
        self._came_at_s = time.monotonic()
        self._trouble = "no answer yet"

    def came(self) -> None:
        """It has answered."""
        self._came_at_s = time.monotonic()

    def failed(self, trouble: str) -> None:
        """It has not; one line that says why."""
        self._trouble = trouble[:TROUBLE_LENGTH_MAX]

    def problem(self) -> str | None:
        """That it has not answered for long, None when it has."""
        silent_s = time.monotonic() - self._came_at_s
        if silent_s <= self.silent_max_s:
            return None
        return f"{self._says} for {silent_s:.0f} s: {self._trouble}"
