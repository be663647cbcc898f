"""What a run takes for granted, each by the name that reports print it under. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from backtest.engine.latency import Latency


class Bracket(StrEnum):
    """Which book an order meets that arrives between two recorded ones.

    What the book was in between nobody knows, so every result is given for both.
    """

    UNCHANGED = "unchanged"
    """The last one at or before the arrival: optimistic, because a recording hides changes."""
    NEXT = "next"
    """The first one after the arrival: pessimistic."""


POLL_MAX_MS: Final = 3_600_000


class PollingError(ValueError):
    """What is wrong with a scanner; one line for a person."""


class Polling(msgspec.Struct, frozen=True, kw_only=True):
    """A scanner instead of a stream: it looks every so often, and executes some time later.

    Raises PollingError unless that is every so many whole seconds, at most an hour.
    """

    every_ms: int
    execution: Latency
    """From the scan to the venue."""

    def __post_init__(self) -> None:
        if self.every_ms % 1_000 or not 0 < self.every_ms <= POLL_MAX_MS:
            raise PollingError("a scanner looks every so many whole seconds, at most 3600")

    @property
    def phases_ms(self) -> tuple[int, ...]:
        """When the scans of a period may begin: each second of it, because nobody chooses that."""
        return tuple(range(0, self.every_ms, 1_000))


PLAN_POLLING: Final = Polling(every_ms=30_000, execution=Latency.between(30_000, 120_000))
"""What the streaming executor replaces: a scan every 30 s, an order 30 to 120 s later."""


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of one run."""

    latency: Latency
    """From the decision to the venue."""
    taker_delay_ms: int = 250
    """How long the venue holds a taker order before it is matched (`itode`: 250 ms)."""
    gap_over_ms: int = 10_000
    """An order that would meet a book this old, or no book for so long, is left out."""
    poll: Polling | None = PLAN_POLLING
    """What the stream is compared with; None: with no scanner."""
    seed: int = 1
    """Of what is drawn: latencies, intervals."""
