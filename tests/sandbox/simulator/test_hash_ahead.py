"""A hash that has the next change already: the venue's own mistake, on all connections."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.simulator import Faults, Market, Venue
from sandbox.simulator.broadcast import HASH_AHEAD_S_MAX
from tests.support.frame_reader import NaiveBook
from tests.support.sinks import SHARES, Sink, sinks_of

NOW_MS = 1_800_000_000_000


@pytest.fixture
def sinks(venue: Venue, market: Market) -> list[Sink]:
    return sinks_of(venue, market)


@pytest.fixture
def venue() -> Venue:
    venue = Venue(keep_versions=100)
    venue.now_ms = lambda: NOW_MS  # type: ignore[method-assign]
    return venue


def at(venue: Venue, after_ms: int) -> None:
    venue.now_ms = lambda: NOW_MS + after_ms  # type: ignore[method-assign]


async def test_only_the_hash_is_that_of_the_book_after_the_next_change(
    venue: Venue, market: Market, sinks: list[Sink]
) -> None:
    up, first_book = market.token("Up"), market.books[0]
    naive = NaiveBook(market.condition_id, up)
    naive.bids, naive.asks = {"0.48": "10"}, {"0.5": "2", "0.51": "3", "0.6": "100"}
    venue.faults = Faults(market_hash_ahead=1.0)
    venue.change_level(up, "BUY", 4900, SHARES)
    assert not sinks[0].frames, "it waits for the next"
    venue.faults = Faults()
    at(venue, 1)
    venue.change_level(up, "SELL", 5000, 0)
    one, two = sinks[0].decoded()
    assert sinks[0].frames == sinks[1].frames
    (first, _), (second, _) = one["price_changes"], two["price_changes"]
    assert (one["timestamp"], two["timestamp"]) == (str(NOW_MS), str(NOW_MS + 1))
    assert (first["best_bid"], first["best_ask"]) == ("0.49", "0.5")

    naive.bids["0.49"] = "1"
    del naive.asks["0.5"]
    assert first["hash"] == naive.hash(one["timestamp"])
    assert second["hash"] == naive.hash(two["timestamp"])
    assert venue.version(up, first["hash"]) is None, "no such version ever was"
    assert venue.version(up, second["hash"]) == (first_book.bids(), first_book.asks())
    assert [each[:2] for each in venue.injections.log] == [
        ("market_hash_ahead", 0),
        ("market_hash_ahead", 1),
    ]


async def test_with_no_next_change_it_is_as_it_should_be(
    venue: Venue, market: Market, sinks: list[Sink]
) -> None:
    up = market.token("Up")
    venue.faults = Faults(market_hash_ahead=1.0)
    venue.change_level(up, "BUY", 4900, SHARES)
    venue.trade(up, 5000, SHARES)
    assert [frame["event_type"] for frame in sinks[0].decoded()] == [
        *("price_change", "book", "book", "last_trade_price")
    ]
    (change, *_) = sinks[0].decoded()
    assert venue.version(up, change["price_changes"][0]["hash"]) is not None

    venue.change_level(up, "BUY", 4900, 2 * SHARES)
    assert len(sinks[0].frames) == 4
    async with asyncio.timeout(10 * HASH_AHEAD_S_MAX):
        while len(sinks[0].frames) == 4:  # noqa: ASYNC110 - the clock decides
            await asyncio.sleep(HASH_AHEAD_S_MAX / 10)
    assert sinks[0].decoded()[-1]["price_changes"][0]["size"] == "2"
    assert not venue.injections.log


async def test_a_run_of_them(venue: Venue, market: Market, sinks: list[Sink]) -> None:
    venue.faults = Faults(market_hash_ahead=1.0)
    for step in range(1, 6):
        at(venue, step)
        venue.change_level(market.token("Up"), "BUY", 4900, step * SHARES)
    sizes = [frame["price_changes"][0]["size"] for frame in sinks[0].decoded()]
    assert sizes == ["1", "2", "3", "4"], "in order; the last one still waits"
    assert venue.chance.injected == {"market_hash_ahead": 8}
