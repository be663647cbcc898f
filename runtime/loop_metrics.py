"""Metrics that are counted and read on one thread, the event loop's: prometheus's without its lock.

A worker counts several times for each book and account, where a lock and the checks of what is
counted cost more than the counting. What is exported is the same, under the same names.
"""

from __future__ import annotations

from bisect import bisect_left

from prometheus_client import Counter, Histogram


class _Number:
    """What prometheus's `MutexValue` is, as far as it is asked here."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def get(self) -> float:
        return self.value

    def get_exemplar(self) -> None:
        return None


class LoopCounter(Counter):
    """A counter of the event loop's thread."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._value = self._number = _Number()

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Count so many more; `amount` is not negative, and nothing is an exemplar."""
        self._number.value += amount


class LoopHistogram(Histogram):
    """A histogram of the event loop's thread."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._sum = self._total = _Number()
        self._buckets = self._numbers = [_Number() for _ in self._upper_bounds]

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Observe one amount, which is a number; nothing is an exemplar."""
        self._total.value += amount
        self._numbers[bisect_left(self._upper_bounds, amount)].value += 1
