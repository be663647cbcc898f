"""How durations are summed up in the reports of the runs."""

from __future__ import annotations


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """(p50, p99, max), nearest rank. `values` must not be empty."""
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return rank(0.5), rank(0.99), ordered[-1]
