"""Look-ups of a token: when they may begin (at growing intervals while they do not help, one at a
time), and what one of them did."""

from __future__ import annotations

from typing import Final

import msgspec

from feeder.core.market.line_view import Troubles

LOOK_WAIT_MIN_MS: Final = 200
LOOK_WAIT_MAX_MS: Final = 10_000


class LookSchedule:
    """Of one token."""

    __slots__ = ("attempts", "flying", "next_ms")

    def __init__(self) -> None:
        self.attempts = 0
        self.flying = False
        self.next_ms = 0

    def due(self, now_ms: int) -> bool:
        """Whether a look may begin now."""
        return not self.flying and now_ms >= self.next_ms

    def ended(self, success: bool, now_ms: int) -> None:
        """A look has brought what it was for, or has not."""
        self.flying = False
        self.attempts = 0 if success else self.attempts + 1
        doublings = min(self.attempts, 10)  # bounded: an int shifted for ever grows for ever
        self.next_ms = now_ms + min(LOOK_WAIT_MIN_MS << doublings, LOOK_WAIT_MAX_MS)


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a look-up did."""

    taken: int = 0
    """Books that were replaced by it."""
    refused: int = 0
    """Books in trouble that it could not mend."""
    behind: int = 0
    """Books that it shows to be late."""
    troubles: Troubles = ()
    offer: bool = False
