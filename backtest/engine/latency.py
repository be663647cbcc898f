"""How long an order is on its way: a constant, or drawn from a measured distribution. Pure.

A draw depends on what is asked for and the seed alone, not on the draws before it: the same order
takes as long in every bracket, in every point of a sweep, and in every process.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

LATENCY_MAX_MS: Final = 3_600_000
_SECONDS_FROM_MS: Final = 1_000


class LatencyError(ValueError):
    """What is wrong with a latency; one line for a person."""


class Latency(msgspec.Struct, frozen=True):
    """A distribution by its quantiles, straight in between. Made by one of its constructors."""

    name: str
    """As reports print it."""
    knots: tuple[tuple[float, float], ...]
    """(share of orders, milliseconds), both rising; from share 0 to share 1."""

    @classmethod
    def constant(cls, ms: float) -> Latency:
        """Always the same. Raises LatencyError unless it is from 0 to an hour."""
        return _checked(f"{ms:g} ms", ((0.0, ms), (1.0, ms)))

    @classmethod
    def between(cls, least_ms: float, most_ms: float) -> Latency:
        """Anything between two, equally often. Raises LatencyError."""
        name = f"{least_ms:g} to {most_ms:g} ms"
        if least_ms >= _SECONDS_FROM_MS:
            name = f"{least_ms / 1_000:g} to {most_ms / 1_000:g} s"
        return _checked(name, ((0.0, least_ms), (1.0, most_ms)))

    @classmethod
    def measured(cls, name: str, samples_ms: Sequence[float]) -> Latency:
        """As often as it was measured. Raises LatencyError, also without samples."""
        ordered = sorted(samples_ms)
        if not ordered:
            raise LatencyError(f"{name}: no latency was measured there")
        if len(ordered) == 1:
            ordered *= 2
        # A hundred steps are as fine as anybody reads a latency.
        steps = min(len(ordered) - 1, 100)
        knots = tuple(
            (step / steps, ordered[round(step / steps * (len(ordered) - 1))])
            for step in range(steps + 1)
        )
        return _checked(name, knots)

    @classmethod
    def of_quantiles(cls, name: str, knots: Sequence[tuple[float, float]]) -> Latency:
        """By (share, ms); below the first share all take as long as it. Raises LatencyError."""
        first = [] if knots and knots[0][0] == 0 else [(0.0, knots[0][1])] if knots else []
        return _checked(name, (*first, *knots))

    @property
    def median_ms(self) -> float:
        """Half of the orders take no longer."""
        return self._at(0.5)

    @property
    def is_constant(self) -> bool:
        """Whether all orders take as long."""
        return self.knots[0][1] == self.knots[-1][1]

    def draw_ms(self, what: str, seed: int) -> int:
        """How long the order called `what` takes, in whole milliseconds."""
        if self.is_constant:
            return round(self.knots[0][1])
        digest = hashlib.blake2b(f"{seed}:{what}".encode(), digest_size=8).digest()
        return round(self._at(int.from_bytes(digest, "big") / 2**64))

    def _at(self, share: float) -> float:
        index = bisect_right(self.knots, share, key=lambda knot: knot[0])
        if index >= len(self.knots):
            return self.knots[-1][1]
        (below, below_ms), (above, above_ms) = self.knots[index - 1], self.knots[index]
        part = (share - below) / (above - below)
        return below_ms + part * (above_ms - below_ms)


def _checked(name: str, knots: tuple[tuple[float, float], ...]) -> Latency:
    if not knots or knots[0][0] != 0 or knots[-1][0] != 1:
        raise LatencyError(f"{name}: a latency needs quantiles from 0 to 1")
    for (share, ms), (next_share, next_ms) in pairwise(knots):
        if not share < next_share or not ms <= next_ms:
            raise LatencyError(f"{name}: quantiles must rise")
    if not all(0 <= ms <= LATENCY_MAX_MS for _, ms in knots):  # also refuses NaN
        raise LatencyError(f"{name}: a latency is from 0 to {LATENCY_MAX_MS} ms")
    return Latency(name=name, knots=knots)
