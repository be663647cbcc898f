"""What the last frames made of a market's books, for the line that brings the same frame second.

The second line need not find out again what a frame makes of levels that it has, too: the same
changes of the same levels are the same levels, with the same best prices. Everything else (what is
late, comes twice, is proven, for how long it is not) each line's book goes on to judge by itself.

1. The same frame is the very same event object: whoever decodes gives the same bytes the same one.
2. The same levels are the very same object, or have the hash of the same version.
3. So nothing but frames of which every change took effect on the first line is noted.
4. What no line takes is forgotten: at most `STEPS_MAX` frames a market are remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from feeder.core.book.book_step import BookStep
from venue.wire.market_channel import PriceChangeEvent

STEPS_MAX: Final = 16
"""By so many frames a line may lag behind."""

Steps: TypeAlias = Sequence[tuple[int, BookStep]]
"""(which of the market's two books, what became of it) of each book that a frame changed."""


class SharedSteps:
    """Of one market; both its lines note here, and take."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        # By the event's id, which is no other's while it is kept here.
        self._noted: dict[int, tuple[PriceChangeEvent, Steps]] = {}

    def note(self, event: PriceChangeEvent, steps: Steps) -> None:
        """A line's books have made these steps with this event."""
        noted = self._noted
        if len(noted) >= STEPS_MAX:  # the other line has lost some, or lags too far behind
            noted.clear()
        noted[id(event)] = event, steps

    def take(self, event: PriceChangeEvent) -> Steps:
        """What was noted of this event, once; nothing if nothing was."""
        noted = self._noted.pop(id(event), None)
        return () if noted is None else noted[1]

    def clear(self) -> None:
        """Nobody is to take what was noted."""
        self._noted.clear()
