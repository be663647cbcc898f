"""Which markets choose and which test: whole blocks, by time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from backtest.engine.observations import MarketSeen
from backtest.measures.intervals import blocks_of
from backtest.sweep.grid import SweepError


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A recording cut in two."""

    is_train: list[bool]
    """By market, as `Observations.markets`."""
    train_blocks: int
    test_blocks: int
    at_ms: int
    """When the first window of the test half begins."""


def split_of(markets: Sequence[MarketSeen], train_share: float) -> Split:
    """About `train_share` of the blocks train, at least one, and at least one tests.

    Raises SweepError for another share than one between 0 and 1, and below two blocks.
    """
    if not 0 < train_share < 1:
        raise SweepError(f"train {train_share:g}: a share between 0 and 1 is wanted, e.g. 0.5")
    blocks = blocks_of([(market.start_ms, market.end_ms) for market in markets], seed=0)
    if blocks.count < 2:
        raise SweepError(
            f"{len(markets)} markets at {blocks.count} times: a sweep needs two at least,"
            " one to choose by and one to test"
        )
    train = min(max(1, round(train_share * blocks.count)), blocks.count - 1)
    is_train = [block < train for block in blocks.of_market.tolist()]
    return Split(
        is_train=is_train,
        train_blocks=train,
        test_blocks=blocks.count - train,
        at_ms=min(
            market.start_ms for market, trains in zip(markets, is_train, strict=True) if not trains
        ),
    )
