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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What one run measured."""

    count: int
    """Samples behind the percentiles."""
    signals: int = 0
    """Signals sent, where orders were wanted."""
    stages: dict[str, Percentiles]


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


def quartiles(samples: Sequence[float]) -> Quartiles:
    """Of at least two samples."""
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Quartiles(low=low, median=median, high=high)
