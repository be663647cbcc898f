"""A busy series, SYNTHESISED from the bundled recordings: for speed and memory, not for results.

The recordings have a book a second; the venue has tens. Between two recorded moments of a market,
what changed from one to the other is played one level at a time, in a random order in which the
book is never crossed; and where that is less than the rate asked for, sizes of levels that are
there change besides. So the recorded prices are met with plausible books between them, which were
never seen anywhere: no figure about a strategy may come from it.

Nothing is kept but the markets that are open: a year needs no more memory than an hour.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

import msgspec

from backtest.feed.events import Exclusion, FeedEvent, MarketPaid
from backtest.feed.merged import Source, merged
from functions.core.evidence import Resolution
from protocol.book import PUBLISHED_LEVELS_MAX, Book, Level, Proof
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE
from recordings.books import market_of, snapshots_of
from recordings.loader import Recording, bundled, load

WINDOW_MS = 900_000
START_MS = 1_800_000_000_000 // WINDOW_MS * WINDOW_MS
MARKETS_A_DAY = 96
SNAPSHOTS_A_MARKET = 36_000
"""About 3.5 million changes a day, as a BTC 15-minute series at the venue."""


class SyntheticFeed:
    """So many windows of a series, one after the other, with the books of the bundled markets in
    turn. The same seed gives the same events."""

    def __init__(
        self,
        *,
        markets: int = MARKETS_A_DAY,
        snapshots_a_market: int = SNAPSHOTS_A_MARKET,
        seed: int = 0,
    ) -> None:
        self._markets = markets
        self._snapshots = snapshots_a_market
        self._seed = seed

    @property
    def name(self) -> str:
        """That it is none of the real ones."""
        return f"{self._markets} markets SYNTHESISED from the bundled recordings"

    @property
    def exclusions(self) -> list[Exclusion]:
        """None."""
        return []

    def __iter__(self) -> Iterator[FeedEvent]:
        """Moments, and each market's payout at its end."""
        return merged(
            Source(
                first_at_ms=START_MS + number * WINDOW_MS - 60_000,
                events=partial(self._market, number),
            )
            for number in range(self._markets)
        )

    def _market(self, number: int) -> Iterator[FeedEvent]:
        files = bundled()
        recording = load(files[number % len(files)])
        start_ms = START_MS + number * WINDOW_MS
        header = msgspec.structs.replace(
            recording.header,
            slug=f"btc-updown-15m-{start_ms // 1_000}",
            condition_id=f"0x{number:064x}",
            start_ms=start_ms,
            end_ms=start_ms + WINDOW_MS,
        )
        market = market_of(header)
        chance = random.Random(f"{self._seed} {number}")
        yield from _moments(recording, market, self._snapshots, chance)
        payouts = (int(payout * 1_000_000) for payout in recording.payouts)
        yield MarketPaid(
            condition_id=market.condition_id,
            slug=market.slug,
            at_ms=market.end_ms,
            resolution=Resolution(
                payouts_e6=dict(
                    zip((outcome.token_id for outcome in market.outcomes), payouts, strict=True)
                ),
                source="synthetic",
            ),
        )


def _moments(
    recording: Recording, market: MarketInfo, snapshots: int, chance: random.Random
) -> Iterator[BookSnapshot]:
    shift_ns = (market.start_ms - recording.header.start_ms) * 1_000_000
    recorded = snapshots_of(recording)
    before = next(recorded)
    book = _UpBook(before.books[0])
    a_ms = snapshots / (WINDOW_MS + 60_000)
    sequence = 0
    for after in recorded:
        target = _Target(after.books[0])
        begin_ns = before.received_at_ns + shift_ns
        span_ns = after.received_at_ns - before.received_at_ns
        changes = target.missing(book, chance)
        count = max(len(changes), round(a_ms * span_ns / 1_000_000))
        if after.market.tick_size_e4 != market.tick_size_e4:
            market = msgspec.structs.replace(market, tick_size_e4=after.market.tick_size_e4)
        for index in range(count):
            left = count - index
            if changes and (len(changes) >= left or chance.random() * left < len(changes)):
                book.take(changes)
            elif not book.flicker(chance):
                continue
            sequence += 1
            yield book.snapshot(market, begin_ns + span_ns * index // count, sequence)
        before = after


class _UpBook:
    """Up's levels; Down's are their mirror image. Only what has changed is built again: a day is
    three and a half million moments."""

    def __init__(self, book: Book) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = dict(book.bids), dict(book.asks)
        self._prices: list[list[int]] = [[], []]
        """Of each side, best first."""
        self._levels: list[list[Level]] = [[], []]
        self._mirrored: list[list[Level]] = [[], []]
        self._shown: list[tuple[Level, ...]] = [(), ()]
        self._shown_mirrored: list[tuple[Level, ...]] = [(), ()]
        self._sort(0)
        self._sort(1)

    def take(self, changes: list[tuple[int, int, int]]) -> None:
        """The first of these that does not cross the book, off the list."""
        for index, (side, price, size) in enumerate(changes):
            against = self._prices[1 - side]
            if size and against and (price >= against[0] if side == 0 else price <= against[0]):
                continue
            del changes[index]
            levels = self.sides[side]
            if size and price in levels:
                self._resize(side, self._prices[side].index(price), size)
                return
            if size:
                levels[price] = size
            else:
                del levels[price]
            self._sort(side)
            return
        raise AssertionError("removals never cross a book")

    def flicker(self, chance: random.Random) -> bool:
        """One level's size changes, more often a good one's; False where there is none."""
        draw = chance.random()
        side, draw = int(draw < 0.5), draw * 2 % 1
        prices = self._prices[side]
        if not prices:
            return False
        index = int(len(prices) * draw * draw)
        size = self.sides[side][prices[index]]
        self._resize(side, index, max(1_000_000, int(size * (0.7 + 0.6 * chance.random()))))
        return True

    def snapshot(self, market: MarketInfo, at_ns: int, sequence: int) -> BookSnapshot:
        """As a feeder would have published it."""
        up, down = market.outcomes
        at_ms = at_ns // 1_000_000
        bids, asks = self._shown
        mirrored_bids, mirrored_asks = self._shown_mirrored
        return BookSnapshot(
            market=market,
            books=(
                Book(token_id=up.token_id, bids=bids, asks=asks, timestamp_ms=at_ms),
                Book(
                    token_id=down.token_id,
                    bids=mirrored_asks,
                    asks=mirrored_bids,
                    timestamp_ms=at_ms,
                ),
            ),
            proof=Proof.CHECKSUM,
            venue_timestamp_ms=at_ms,
            received_at_ns=at_ns,
            published_at_ns=at_ns,
            epoch=1,
            sequence=sequence,
        )

    def _sort(self, side: int) -> None:
        levels = self.sides[side]
        self._prices[side] = prices = sorted(levels, reverse=side == 0)
        self._levels[side] = [(price, levels[price]) for price in prices]
        self._mirrored[side] = [(PRICE_SCALE - price, levels[price]) for price in prices]
        self._show(side)

    def _resize(self, side: int, index: int, size: int) -> None:
        price = self._prices[side][index]
        self.sides[side][price] = size
        self._levels[side][index] = price, size
        self._mirrored[side][index] = PRICE_SCALE - price, size
        self._show(side)

    def _show(self, side: int) -> None:
        self._shown[side] = tuple(self._levels[side][:PUBLISHED_LEVELS_MAX])
        self._shown_mirrored[side] = tuple(self._mirrored[side][:PUBLISHED_LEVELS_MAX])


class _Target:
    """The next recorded book."""

    def __init__(self, book: Book) -> None:
        self._sides = dict(book.bids), dict(book.asks)

    def missing(self, book: _UpBook, chance: random.Random) -> list[tuple[int, int, int]]:
        """(side, price, size) of each level that differs, in a random order."""
        changes = [
            (side, price, wanted.get(price, 0))
            for side, (wanted, there) in enumerate(zip(self._sides, book.sides, strict=True))
            for price in sorted(wanted.keys() | there.keys())
            if wanted.get(price) != there.get(price)
        ]
        chance.shuffle(changes)
        return changes
