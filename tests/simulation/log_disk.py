"""What stands under production's log: a disk that is full now and then."""

from __future__ import annotations

import errno
import random
from typing import Any

from runtime.log import line_of
from runtime.output import STDERR


class LogDisk:
    """`full` is the share of the lines that find no room."""

    def __init__(self, rng: random.Random) -> None:
        self.full = 0.0
        self.lost = 0
        """Lines so far."""
        self._rng = rng

    def take(self, level: str, fields: dict[str, Any]) -> None:
        """Render and write a line as production does."""
        if self.full:
            STDERR.write(line_of(level, fields))

    def write(self, *_: object) -> None:
        """In the place of `Output._write`."""
        if self._rng.random() < self.full:
            self.lost += 1
            raise OSError(errno.ENOSPC, "No space left on device")
