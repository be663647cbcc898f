"""How sure a number is: drawn anew over whole blocks of markets, and Wilson's interval. Pure.

All trades in one market share one payoff, and coins move together: what was seen at the same time
is one observation, however many trades there were. So markets whose windows overlap are one
*block*, and blocks are what is drawn with replacement (Efron 1979; Cameron, Gelbach and Miller 2008
for clusters). All estimates of a run share one set of draws: their differences are paired.

With few blocks such an interval is too narrow. Its percentiles are therefore taken further out, by
Student's t instead of the normal and by sqrt(n / (n - 1)) (Hesterberg 2015, the *expanded*
percentile interval): 2.2 instead of 2.0 standard errors at 18 blocks. Of very few no stretching
helps, as there is nothing further out to be drawn: measured on fair bets, what is called 95% holds
the truth in 51% of all cases at two blocks, in 73% at three, in 91% at five, in 94% from seven on.
So below BLOCKS_FOR_INTERVAL there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from statistics import NormalDist
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from backtest.measures.sections import Estimate, Rate

DRAWS: Final = 2_000
BLOCKS_FOR_INTERVAL: Final = 5
BLOCKS_MAX: Final = 1_000
"""Of more, neighbours in time are drawn together: the weights stay at 16 MB."""
WORTH_SHOWING: Final = 0.02
"""An edge that somebody would want to see, as a share of the stake."""
_Z: Final = 1.959964
_Z_POWER: Final = 2.801585
"""1.96 + 0.84: an edge of that size would be shown in four of five tries, not in every second."""
_NORMAL: Final = NormalDist()

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]


class Blocks(msgspec.Struct, frozen=True):
    """The blocks of a run, and how often each draw takes each of them."""

    of_market: Indices
    """Block of each market, numbered in order of time."""
    count: int
    weights: Floats
    """(DRAWS, count)."""

    def sums(self, market: Indices, values: Floats) -> Floats:
        """(count,): the values of rows, summed a block; `market` is each row's."""
        sums = np.bincount(self.of_market[market], values, self.count)
        return sums.astype(np.float64, copy=False)  # integers where there are no rows

    def used(self, market: Indices) -> int:
        """In how many of them rows with these markets are."""
        return len(np.unique(self.of_market[market]))

    def drawn(self, sums: Floats) -> Floats:
        """(DRAWS, ...): sums a block, (count, ...), as each draw has them.

        Not by BLAS: its threads wait for each other where the cores are busy, and what they sum
        may differ in the last digit with their number.
        """
        result: Floats = np.einsum("db,b...->d...", self.weights, sums)
        return result


def blocks_of(windows: Sequence[tuple[int, int]], seed: int) -> Blocks:
    """Of markets with these windows (start, end), in any order; a touch is no overlap."""
    of_market = np.zeros(len(windows), dtype=np.intp)
    block, open_until = -1, None
    for index in sorted(range(len(windows)), key=lambda each: windows[each]):
        start, end = windows[index]
        if open_until is None or start >= open_until:
            block, open_until = block + 1, end
        open_until = max(open_until, end)
        of_market[index] = block
    count = block + 1
    if count > BLOCKS_MAX:
        of_market, count = of_market * BLOCKS_MAX // count, BLOCKS_MAX
    chance = np.random.default_rng(seed)
    drawn = chance.multinomial(count, np.full(count, 1 / count), DRAWS) if count else ()
    weights = np.asarray(drawn, dtype=np.float64).reshape(DRAWS if count else 0, count)
    return Blocks(of_market, count, weights)


def ratio_of_sums(blocks: Blocks, market: Indices, above: Floats, below: Floats) -> Estimate:
    """Sum of `above` over the sum of `below`, one of each a row; rows with a NaN do not count."""
    known = ~(np.isnan(above) | np.isnan(below))
    if not known.any():
        return Estimate()
    if not known.all():
        market, above, below = market[known], above[known], below[known]
    sums = blocks.sums(market, above), blocks.sums(market, below)
    if not sums[1].sum():
        return Estimate(n=len(market))
    value, draws = float(sums[0].sum() / sums[1].sum()), ratio_draws(blocks, *sums)
    return estimate_of(value, draws, n=len(market), used=blocks.used(market))


def mean(blocks: Blocks, market: Indices, values: Floats) -> Estimate:
    """The mean of rows; NaN counts not."""
    return ratio_of_sums(blocks, market, values, np.ones(len(values)))


def ratio_draws(blocks: Blocks, above: Floats, below: Floats) -> Floats:
    """(DRAWS,): the ratio of sums a draw, from sums a block; NaN where a draw has nothing below."""
    drawn_below = blocks.drawn(below)
    drawn_above = blocks.drawn(above)
    ratios: Floats = np.full(len(drawn_below), np.nan)
    np.divide(drawn_above, drawn_below, out=ratios, where=drawn_below > 0)
    return ratios


def estimate_of(value: float, draws: Floats, *, n: int, used: int) -> Estimate:
    """A value and the percentiles of its draws; without them where too few blocks are used."""
    if used < BLOCKS_FOR_INTERVAL:
        return Estimate(value=value, n=n, blocks=used)
    low, high = percentiles(draws[~np.isnan(draws)], used)
    return Estimate(value=value, low=low, high=high, n=n, blocks=used)


def percentiles(draws: Floats, used: int) -> tuple[float, float]:
    """The expanded 95% interval of so many used blocks; `draws` is without NaN and not empty."""
    ordered = np.sort(draws)
    last = len(ordered) - 1
    tail = _NORMAL.cdf(-sqrt(used / (used - 1)) * student_t(used - 1)) * last
    return float(ordered[int(tail)]), float(ordered[ceil(last - tail)])


def student_t(degrees: int) -> float:
    """Student's t at 97.5%, by Cornish and Fisher's expansion: within 0.1% from 5 degrees on."""
    z, v = _Z, float(degrees)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def blocks_needed(
    blocks: Blocks, market: Indices, above: Floats, below: Floats, smallest: float
) -> int | None:
    """How many blocks would show a ratio that is `smallest` away from zero, in four of five tries.

    By the spread of this one's: n = (2.8 sd / smallest)^2, sd of one block's part in the ratio.
    None where there are fewer than two blocks to tell, or nothing varies.
    """
    known = ~(np.isnan(above) | np.isnan(below))
    if not known.any() or not smallest > 0:
        return None
    market, above, below = market[known], above[known], below[known]
    summed_above, summed_below = blocks.sums(market, above), blocks.sums(market, below)
    if blocks.count < 2 or not summed_below.sum():
        return None
    ratio = summed_above.sum() / summed_below.sum()
    parts = (summed_above - ratio * summed_below) / summed_below.mean()
    needed = (_Z_POWER * float(parts.std(ddof=1)) / smallest) ** 2
    return max(ceil(needed), 2) if needed > 0 else None


def wilson(hits: int, of: int, independent: int | None = None) -> Rate:
    """How often, with Wilson's interval (1927) of so many independent draws; by default all."""
    independent = of if independent is None else independent
    if not of or not independent:
        return Rate(hits=hits, of=of, independent=independent)
    share = hits / of
    spread = _Z**2 / independent
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * sqrt(share * (1 - share) / independent + spread / (4 * independent))
    return Rate(
        hits=hits,
        of=of,
        independent=independent,
        value=share,
        low=max(0.0, middle - half),
        high=min(1.0, middle + half),
    )


def rate_over_blocks(blocks: Blocks, market: Indices, hits: NDArray[np.bool_]) -> Rate:
    """How often, with its interval drawn over blocks: for rows that are many a market and alike."""
    estimate = mean(blocks, market, hits.astype(np.float64))
    return Rate(
        hits=int(hits.sum()),
        of=len(hits),
        independent=estimate.blocks,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
    )
