"""Equal orders, fills and P&L with resolvedkit's engine, on its own data, under the same rules.

Each engine executes what production code wants; theirs fills at the latest book at or before the
arrival, as our `unchanged` lane does. What differs, and by how much, is said where it is asserted:
theirs reckons in floats, rounds a fee to 5 decimals (ours: each level's up, to 6), and takes shares
of a level again that it has taken before. `benchmarks/backtest.py` does the same with all markets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import pytest
from resolvedkit.fills import walk_buy
from resolvedkit.models import Level as TheirLevel

from backtest.engine.assumptions import Assumptions, Bracket
from backtest.engine.latency import Latency
from backtest.engine.observations import Observations, OrderSeen
from backtest.engine.run import run
from backtest.feed.events import FeedEvent, MarketPaid
from functions.core.configuration import Configuration
from protocol.market import UP
from protocol.snapshot import BookSnapshot
from protocol.units import to_usd_e6
from recordings.books import snapshots_of
from recordings.loader import bundled, load
from strategies.book_imbalance import BookImbalance
from tests.support.made_up_feeds import ListFeed, configuration_of, paid_of
from tests.support.resolvedkit_books import (
    Decided,
    LazyBook,
    LazySource,
    TheirOrder,
    columns,
    played,
)

MARKETS: Final = 6
DEFAULT: Final = configuration_of(BookImbalance)
HUNGRY: Final = configuration_of(
    BookImbalance,
    cooldown_s="1",
    max_positions="100",
    size_usd="50",
    daily_spend_cap_usd="1000000",
    daily_loss_limit_usd="1000000",
)
"""So much and so often that levels are taken again."""


@cache
def snapshots() -> dict[str, list[BookSnapshot]]:
    """Of our recordings, by slug."""
    return {
        recording.header.slug: list(snapshots_of(recording))
        for recording in map(load, bundled()[:MARKETS])
    }


def events() -> Iterator[FeedEvent]:
    """Market after market, as they follow each other."""
    payouts = {load(path).header.slug: load(path).payouts for path in bundled()[:MARKETS]}
    for slug, books in snapshots().items():
        market = books[-1].market
        yield from (book for book in books if book.received_at_ns < market.end_ms * 1_000_000)
        up, down = map(to_usd_e6, payouts[slug])
        yield paid_of(market, (up, down))


@cache
def decided(configuration: Configuration) -> Decided:
    wanted = Decided(BookImbalance, configuration)
    for books in snapshots().values():
        wanted.add(books)
    return wanted


def ours(configuration: Configuration, latency_ms: int) -> Observations:
    assumptions = Assumptions(
        latency=Latency.constant(latency_ms),
        taker_delay_ms=0,
        gap_over_ms=3_600_000,  # theirs knows none
        poll=None,
    )
    return run(ListFeed(list(events())), BookImbalance, configuration, assumptions)


@dataclass
class Pair:
    """One order in both engines."""

    mine: OrderSeen
    theirs: TheirOrder
    asks: tuple[TheirLevel, ...]
    """Theirs, of the book that it meets."""

    def walked(self, asks: tuple[TheirLevel, ...]) -> tuple[float, float, float, int]:
        """(shares, cost, fee, levels) by their walk."""
        limit = self.mine.max_price_e4 / 1e4
        walk = walk_buy(asks, self.mine.spend_e6 / 1e6, limit)
        return walk.shares, walk.cost, walk.fee(0.07), len(walk.legs)

    def agrees(self, shares: float, cost: float, fee: float, levels: int) -> bool:
        """Rounded per level: shares down and costs up to 1e-6, fees up; theirs in all to 1e-5.

        What shares cost less for that buys more of the next level, at its price.
        """
        micro = 1.01e-6 * (levels + 1)
        mine = self.mine
        return (
            abs(shares - mine.filled_size_e6 / 1e6) <= micro * 10_000 / mine.arrival_ask_e4
            and abs(cost - mine.filled_spend_e6 / 1e6) <= micro
            and abs(fee - mine.fee_e6 / 1e6) <= 5e-6 + micro
        )


def pairs(configuration: Configuration, latency_ms: int) -> tuple[list[Pair], float, float]:
    """(orders of both, our P&L, theirs); the orders are the same ones."""
    seen = ours(configuration, latency_ms)
    player, results = played(decided(configuration), latency_ms, snapshots())
    assert player.signals == len(seen.signals)
    lane = seen.lane(Bracket.UNCHANGED)
    theirs = {(each.slug, each.decided_at_ms): each for each in player.orders}
    mine = {(seen.markets[each.market].slug, each.decided_at_ms): each for each in lane.orders}
    assert mine.keys() == theirs.keys()
    of = columns()
    ids = {market.slug: market.market_id for market in LazySource().markets()}
    matched: list[Pair] = []
    for key, order in mine.items():
        assert order.outcome == theirs[key].outcome
        rows = [
            row
            for row in of.rows[ids[key[0]]]
            if of.side[row] == order.outcome.upper() and of.at_ms[row] <= order.arrived_at_ms
        ]
        matched.append(Pair(order, theirs[key], LazyBook(rows[-1]).asks))
    return (
        matched,
        sum(each.pnl_e6 or 0 for each in lane.orders) / 1e6,
        sum(result.pnl for result in results),
    )


@pytest.mark.parametrize("latency_ms", [0, 10, 250, 1_000, 5_000])
def test_orders_fills_and_profit_are_theirs(latency_ms: int) -> None:
    matched, my_pnl, their_pnl = pairs(DEFAULT, latency_ms)
    assert len(matched) >= MARKETS
    for pair in matched:
        theirs = pair.theirs
        *_, levels = pair.walked(pair.asks)
        assert pair.agrees(theirs.shares, theirs.cost, theirs.fee, levels)
    # A fee of theirs may be 5e-6 less than it is, and a share of ours 1e-6 short.
    assert 0 <= their_pnl - my_pnl <= 8e-6 * len(matched)


def test_what_was_taken_before_is_the_only_other_difference() -> None:
    matched, my_pnl, their_pnl = pairs(HUNGRY, 250)
    taken: dict[tuple[int, str], dict[float, tuple[float, float]]] = {}
    again = 0
    for pair in sorted(matched, key=lambda each: each.mine.arrived_at_ms):
        key = pair.mine.market, pair.mine.outcome
        before = taken.get(key, {})
        gone = {
            level.price: before[level.price][1]
            for level in pair.asks
            if level.price in before and before[level.price][0] == level.size
        }
        left = tuple(
            TheirLevel(level.price, level.size - gone.get(level.price, 0.0)) for level in pair.asks
        )
        theirs = pair.theirs
        *_, levels = pair.walked(left)
        assert pair.agrees(*pair.walked(left))
        if pair.walked(pair.asks) == pair.walked(left):
            assert pair.agrees(theirs.shares, theirs.cost, theirs.fee, levels)
        else:
            again += 1
        walk = walk_buy(left, pair.mine.spend_e6 / 1e6, pair.mine.max_price_e4 / 1e4)
        for leg in walk.legs:
            gone[leg.price] = gone.get(leg.price, 0.0) + leg.size
        taken[key] = {
            level.price: (level.size, gone[level.price])
            for level in pair.asks
            if level.price in gone
        }
    assert len(matched) > 100
    assert again > 5
    assert abs(their_pnl - my_pnl) > 1


def test_what_the_recordings_leave_out_is_crossed_or_repeated_or_far_from_the_window() -> None:
    of, why = columns(), Counter[str]()
    for market in LazySource().markets()[:MARKETS]:
        kept = {each.received_at_ns // 1_000_000 for each in snapshots()[market.slug]}
        before: dict[str, object] = {}
        for row in of.rows[market.market_id]:
            at_ms, book = of.at_ms[row], LazyBook(row)
            assert market.start_ts is not None
            if not market.start_ts - 60_000 <= at_ms <= market.end_ts:
                why["far"] += 1
            elif at_ms not in kept:
                crossed = book.two_sided and book.best_bid >= book.best_ask
                same = before.get(book.side) == (book.bids, book.asks)
                assert crossed or same, f"{market.slug}: {book.side} at {at_ms} is left out"
                why["crossed" if crossed else "repeated"] += 1
            before[book.side] = book.bids, book.asks
    assert set(why) == {"far", "crossed", "repeated"}


def test_prices_paid_are_of_the_market_that_they_say() -> None:
    for slug, books in snapshots().items():
        paid = [event for event in events() if isinstance(event, MarketPaid) and event.slug == slug]
        (theirs,) = (each for each in LazySource().markets() if each.slug == slug)
        up = books[0].market.token_of(UP)
        assert theirs.payout is not None
        assert [each.resolution.payouts_e6[up] / 1e6 for each in paid] == [theirs.payout[0]]
