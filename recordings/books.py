"""A recording as the snapshots that a feeder would have published: what strategies are tried on.

Every moment of the recording at which a book changed is one snapshot, received when the venue had
sent it. What a recording does not tell is taken as it is for these markets: fee, minimum size, and
the tick, which becomes finer with the first price that needs it, as the venue's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from protocol.book import PUBLISHED_LEVELS_MAX, Book, Level, Proof
from protocol.fee import FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE, parse_price_e4, parse_size_e6
from recordings.loader import Header, Moment, OutcomeChanges, Recording

TICK_E4: Final = 100
FINE_TICK_E4: Final = 10
FEE: Final = FeeSchedule(rate=Decimal("0.07"), exponent=1)
MIN_ORDER_SIZE_E6: Final = 5_000_000


def snapshots_of(recording: Recording) -> Iterator[BookSnapshot]:
    """Every state of the market, oldest first. Raises BundledRecordingError."""
    start_ms, market = recording.header.start_ms, market_of(recording.header)
    up, down = (outcome.token_id for outcome in market.outcomes)
    books = _Books()
    for sequence, moment in enumerate(recording.moments(), start=1):
        try:
            if not books.change(moment):
                continue
        except ValueError as error:
            raise recording.broken(sequence, error) from error
        if books.prices.finer and market.tick_size_e4 == TICK_E4:
            market = msgspec.structs.replace(market, tick_size_e4=FINE_TICK_E4)
        at_ms = start_ms + moment.at_ms
        up_bids, up_asks, down_bids, down_asks = books.best()
        yield BookSnapshot(
            market=market,
            books=(
                Book(token_id=up, bids=up_bids, asks=up_asks, timestamp_ms=at_ms),
                Book(token_id=down, bids=down_bids, asks=down_asks, timestamp_ms=at_ms),
            ),
            proof=Proof.CHECKSUM,
            venue_timestamp_ms=at_ms,
            received_at_ns=at_ms * 1_000_000,
            published_at_ns=at_ms * 1_000_000,
            epoch=1,
            sequence=sequence,
        )


def market_of(header: Header) -> MarketInfo:
    """The market as it is listed before a price needs the finer tick."""
    first, second = header.outcomes
    return MarketInfo(
        condition_id=header.condition_id,
        slug=header.slug,
        series=header.slug.rpartition("-")[0],
        outcomes=(
            Outcome(name=first, token_id=f"{header.slug}-{first}"),
            Outcome(name=second, token_id=f"{header.slug}-{second}"),
        ),
        start_ms=header.start_ms,
        end_ms=header.end_ms,
        tick_size_e4=TICK_E4,
        min_order_size_e6=MIN_ORDER_SIZE_E6,
        fee=FEE,
        neg_risk=False,
        accepting=True,
    )


# What follows is quick rather than short: every backtest builds these books, and a third of a
# million levels change in the bundled ones. Loops over levels are left to `map`, `zip` and `dict`;
# a side is sorted only when it has other prices than before; and while the
# second outcome's book is the mirror image of the first one's, it is not kept besides.

_Changes: TypeAlias = tuple[list[int], list[int]]
"""Prices and sizes of one side."""
_Best: TypeAlias = tuple[Level, ...]


class _Prices(dict[str, int]):
    """Price text to 1e-4 USD. Raises ValueError where it is none."""

    finer = False
    """Whether one was finer than the coarse tick."""

    def __missing__(self, text: str) -> int:
        self[text] = price_e4 = parse_price_e4(text)
        self.finer = self.finer or price_e4 % TICK_E4 != 0
        return price_e4


class _BookSide:
    """One side of a token's book."""

    def __init__(self, *, descending: bool) -> None:
        self.levels: dict[int, Level] = {}
        self._descending = descending
        self._order: list[int] | None = []
        """The best prices; None where they have to be sorted again."""
        self._best: _Best | None = ()
        self._mirror: _Best | None = ()

    def change(self, changes: _Changes) -> None:
        """Removals first, as a `Step` has them."""
        prices, sizes = changes
        if not prices:
            return
        levels = self.levels
        before = len(levels)
        if 0 in sizes:
            self._order = None
            for price, size in zip(prices, sizes, strict=True):
                if not size:
                    levels.pop(price, None)
            for level in zip(prices, sizes, strict=True):
                if level[1]:
                    levels[level[0]] = level
        else:
            levels.update(zip(prices, zip(prices, sizes, strict=True), strict=True))
            if len(levels) != before:
                self._order = None
        self._best = self._mirror = None

    def best(self) -> _Best:
        """The published levels, best first."""
        if self._best is None:
            if self._order is None:
                order = sorted(self.levels, reverse=self._descending)
                self._order = order[:PUBLISHED_LEVELS_MAX]
            self._best = tuple(map(self.levels.__getitem__, self._order))
        return self._best

    def mirror(self) -> _Best:
        """The best levels of the other token's other side, where that is the mirror image."""
        if self._mirror is None:
            self._mirror = tuple([(PRICE_SCALE - price, size) for price, size in self.best()])
        return self._mirror

    def mirrored(self) -> _BookSide:
        """The other token's other side, where that is the mirror image."""
        side = _BookSide(descending=not self._descending)
        side.change(_mirrored(([*self.levels], [size for _, size in self.levels.values()])))
        return side


class _Books:
    """Both outcomes' books."""

    def __init__(self) -> None:
        self.prices = _Prices()
        self._bids, self._asks = _BookSide(descending=True), _BookSide(descending=False)
        self._second: tuple[_BookSide, _BookSide] | None = None
        """Bids and asks; None while they are the mirror image of the first outcome's."""

    def change(self, moment: Moment) -> bool:
        """Whether it names a level. Raises ValueError where it is no moment."""
        bids, asks = self._read(moment.first)
        if moment.second == 1:
            if self._second is not None:
                self._change_second(_mirrored(asks), _mirrored(bids))
            named = bool(bids[0] or asks[0])
        else:
            if self._second is None:
                self._second = self._asks.mirrored(), self._bids.mirrored()
            second = self._read(moment.second)
            self._change_second(*second)
            named = any(prices for prices, _ in (bids, asks, *second))
        self._bids.change(bids)
        self._asks.change(asks)
        if self._second is not None and self._is_mirror_image(*self._second):
            self._second = None
        return named

    def best(self) -> tuple[_Best, _Best, _Best, _Best]:
        """Bids and asks of the first outcome, and of the second."""
        bids, asks = self._bids, self._asks
        if self._second is None:
            return bids.best(), asks.best(), asks.mirror(), bids.mirror()
        return bids.best(), asks.best(), self._second[0].best(), self._second[1].best()

    def _read(self, sides: OutcomeChanges | None) -> tuple[_Changes, _Changes]:
        return _NO_CHANGES if sides is None else (self._side(sides[0]), self._side(sides[1]))

    def _side(self, flat: list[str]) -> _Changes:
        if len(flat) % 2:
            raise ValueError("a price without its size")
        return [*map(self.prices.__getitem__, flat[::2])], [*map(parse_size_e6, flat[1::2])]

    def _change_second(self, bids: _Changes, asks: _Changes) -> None:
        if self._second is not None:
            self._second[0].change(bids)
            self._second[1].change(asks)

    def _is_mirror_image(self, bids: _BookSide, asks: _BookSide) -> bool:
        return (
            bids.levels == self._asks.mirrored().levels
            and asks.levels == self._bids.mirrored().levels
        )


_NO_CHANGES: Final[tuple[_Changes, _Changes]] = ([], []), ([], [])


def _mirrored(changes: _Changes) -> _Changes:
    prices, sizes = changes
    return [PRICE_SCALE - price for price in prices], sizes
