"""From values to places in a picture. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, log10
from typing import Final

import msgspec

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


class Scale(msgspec.Struct, frozen=True):
    """Values from `low` to `high` lie at places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value, to a tenth; what lies outside is put at the border."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def nice_ticks(low: float, high: float, about: int = 4) -> tuple[float, ...]:
    """Round values that lie around all from `low` to `high`, evenly apart; two at least."""
    if high <= low:
        around = abs(low) or 1.0
        low, high = low - around / 2, low + around / 2
    step = _nice_step((high - low) / about)
    first, last = floor(low / step + 1e-9), -floor(-high / step + 1e-9)
    return tuple(round(each * step, 12) for each in range(first, last + 1))


def _nice_step(rough: float) -> float:
    power = 10.0 ** floor(log10(rough))
    return next(each for each in _STEPS if each * power >= rough * (1 - 1e-9)) * power


def usable(values: Sequence[float | None]) -> list[float]:
    """Those that can be drawn."""
    return [value for value in values if value is not None and isfinite(value)]
