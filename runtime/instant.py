"""When something happened here, by both of a machine's clocks.

The wall clock is what other machines' times are compared with; somebody may set it back at any
time. The monotonic clock never goes back; it may stand still while the machine sleeps. Whether a
time is over is asked of whichever has gone further.
"""

from __future__ import annotations

import time

import msgspec


class Instant(msgspec.Struct, frozen=True):
    """Now, when it is made without arguments; nanoseconds."""

    # Looked up each time: the simulation and tests put clocks of their own there.
    epoch_ns: int = msgspec.field(default_factory=lambda: time.time_ns())  # noqa: PLW0108 - above
    monotonic_ns: int = msgspec.field(default_factory=lambda: time.monotonic_ns())  # noqa: PLW0108

    def now_ns(self) -> int:
        """The time now, epoch ns: never less than has passed since this instant."""
        return max(time.time_ns(), self.epoch_ns + time.monotonic_ns() - self.monotonic_ns)
