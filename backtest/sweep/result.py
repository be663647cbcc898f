"""What a sweep found: plain numbers, all of it JSON. Pure.

Money is in 1e-6 USD (`_e6`). The recording is cut in two by time: points are chosen by the *train*
half, and what they do in the *test* half is said with them, always.
"""

from __future__ import annotations

import msgspec

from backtest.measures.sections import Both
from backtest.sweep.grid import Number


class SweepDisagreesError(RuntimeError):
    """A point run again by production came to something else; one line for a person.

    That is a defect of the sweep: none of its numbers may be believed.
    """


class SweptAxis(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter that was varied."""

    name: str
    values: tuple[Number, ...]
    """That were tried, rising, each once."""
    default: Number
    """What it is without a sweep."""


class Half(msgspec.Struct, frozen=True, kw_only=True):
    """What the orders on the markets of one half came to, in one bracket."""

    orders: int
    filled: int
    """Wholly or partly."""
    settled: int
    """Filled, and it is known what the market paid: spent and P&L are of these."""
    spent_e6: int
    """Without fees."""
    pnl_e6: int
    """After fees."""
    return_on_stake: float | None
    """P&L a USD spent; 0.05 is 5%. None where nothing was spent."""


class SweptPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point, both halves."""

    parameters: dict[str, Number]
    """Of the swept ones."""
    train: Both[Half]
    test: Both[Half]


class Luck(msgspec.Struct, frozen=True, kw_only=True):
    """How good the best point's train half would be if prices were right and no point were any
    good: winners drawn anew, the best of as many points taken, many times over.

    Each order wins with the probability that the book it was filled from said (its mid), so a point
    expects to lose half the spread and the fee. In one draw markets of one window have one fate,
    for all points.
    """

    draws: int
    best_pnl_e6: int
    """The real best's, in the train half."""
    median_pnl_e6: int
    """Of the best of as many points by luck."""
    p95_pnl_e6: int
    """Above it are 5% of those."""
    reached_share: float
    """How often luck's best was at least as good as the real one: small is good, 0.5 is luck."""
    quantiles_e6: tuple[int, ...]
    """P&L of luck's best at the shares 0, 0.01, ... 1: for a picture."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """What was run again by production over the whole feed. All of it agreed to the micro-USD,
    or there is no result (SweepDisagreesError)."""

    points: int
    orders: int
    """Compared one by one, of both brackets."""


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """All of one sweep."""

    strategy: str
    axes: list[SweptAxis]
    is_grid: bool
    """Whether every combination of the axes' values was tried; else they are drawn."""
    trials: int
    """How many points were tried: the more, the better the best looks by luck alone."""
    train_share: float
    """Of the blocks, as it was asked for."""
    train_blocks: int
    """Markets whose windows overlap are one block; no block is cut in two."""
    test_blocks: int
    train_markets: int
    test_markets: int
    split_at_ms: int
    """When the first window of the test half begins."""
    points: list[SweptPoint]
    """All, in the order in which they were given."""
    best: list[int]
    """Indices in `points`, best first, by P&L in the train half in the bracket `next` (what they
    did in the other bracket comes second, then the order in which they were given). Only of those
    with a settled order there."""
    default: SweptPoint
    """The parameters as they are without a sweep; not one of the trials."""
    luck: Both[Luck] | None
    """None where no point has a settled order in the train half."""
    agreement: Agreement
    twin: bool
    """Whether the strategy has a vectorised twin; else it was asked itself, which is slower."""
    strategy_error: str = ""
    """The first thing that the strategy raised, at whichever point."""

    @property
    def best_points(self) -> list[SweptPoint]:
        """As `best`."""
        return [self.points[index] for index in self.best]
