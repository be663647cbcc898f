"""Percentiles, and the form in which figures are handed on."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Nearest rank, in the unit of the samples (milliseconds here)."""

    p50: float
    p99: float
    max: float


def percentiles(samples: list[float]) -> Percentiles:
    """p50, p99 and max. Raises IndexError when there is no sample."""
    ordered = sorted(samples)

    def rank(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return Percentiles(p50=rank(0.5), p99=rank(0.99), max=round(ordered[-1], 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quartiles:
    """Of repeats, in the unit of the samples."""

    low: float
    median: float
    high: float

    def text(self, digits: int = 2) -> str:
        """The median, and the quartiles in brackets."""
        if self.low == self.high:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def quartiles(samples: Sequence[float]) -> Quartiles:
    """Of one sample it is all three. Raises StatisticsError when there is none."""
    if len(samples) == 1:
        return Quartiles(low=samples[0], median=samples[0], high=samples[0])
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Quartiles(low=low, median=median, high=high)


def ratios(above: Sequence[float], below: Sequence[float]) -> Quartiles | None:
    """Of figures that were taken in turn: each repeat's ratio is taken within that repeat.

    None where there is nothing to divide. Raises ValueError when there are not as many of both.
    """
    pairs = [(one, other) for one, other in zip(above, below, strict=True) if other]
    return quartiles([one / other for one, other in pairs]) if pairs else None
