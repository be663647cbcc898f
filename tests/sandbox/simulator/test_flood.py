"""Synthetic load: its frames verify, its windows roll, its rate is what was asked for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import connect

from protocol.book import Level
from protocol.series import parse_series
from sandbox.simulator import Market, Venue, serve
from sandbox.simulator.flood import LEVELS_MAX, SIDE_LEVELS_MIN, Flood, _Quoted
from tests.support.frame_reader import Reader
from tests.support.sinks import SHARES, Sink, sinks_of
from tests.support.stalls import lived_time

SERIES = [parse_series(name) for name in ("btc-60s", "eth-60s")]


@asynccontextmanager
async def flooding(flood: Flood) -> AsyncIterator[None]:
    task = asyncio.create_task(flood.run())
    try:
        for _ in range(5):  # the windows are listed by tasks of tasks
            await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def traded_now(venue: Venue, coin: str) -> Market:
    now_ms = venue.now_ms()
    return next(
        m
        for m in venue.markets.values()
        if m.slug.startswith(coin) and m.start_ms <= now_ms < m.end_ms
    )


@pytest.fixture(autouse=True)
def eventful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rare in life happens in a short test."""
    monkeypatch.setattr("sandbox.simulator.flood._TRADE", 0.1)
    monkeypatch.setattr("sandbox.simulator.flood._RETURN", 0.1)


async def test_frames_verify_and_versions_are_kept() -> None:
    venue = Venue(keep_versions=5_000)
    flood = Flood(venue, SERIES, changes_per_s=400, focus=1.0, seed=3)
    async with serve(venue) as url, flooding(flood):
        market = traded_now(venue, "btc")
        tokens = tuple(book.token_id for book in market.books)
        reader = Reader(market.condition_id, tokens)
        async with connect(
            f"{url.replace('http', 'ws')}/ws/market", compression=None, close_timeout=0.1
        ) as ws:
            await ws.send(json.dumps({"type": "market", "assets_ids": tokens}))
            async with asyncio.timeout(20):
                while reader.seen.count("price_change") < 200:
                    frame = json.loads(await ws.recv())
                    reader.apply(frame)  # every hash, every best price, by the oracle
                    for change in _changes(frame):
                        version = venue.version(change["asset_id"], change["hash"])
                        assert version is not None
                        _check_ladders(*version)
                while not all(book.proven for book in reader.books.values()):
                    reader.apply(json.loads(await ws.recv()))
    assert "last_trade_price" in reader.seen


def _changes(frame: Any) -> list[dict[str, str]]:
    return frame.get("price_changes", []) if isinstance(frame, dict) else []


def _check_ladders(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
    assert len(bids) + len(asks) <= LEVELS_MAX
    assert min(len(bids), len(asks)) >= SIDE_LEVELS_MIN
    assert bids[0][0] < asks[0][0]


def played(seed: int, changes: int, focus: float = 0.0) -> tuple[Venue, Flood]:
    """A flood without a clock."""
    venue = Venue()
    flood = Flood(venue, SERIES, changes_per_s=1, seed=seed, focus=focus)
    venue.now_ms = lambda: 1_800_000_030_000  # type: ignore[method-assign]

    async def play() -> None:
        async with flooding(flood):
            for _ in range(changes):
                flood._change_one()

    asyncio.run(play())
    return venue, flood


def test_books_never_cross_nor_empty_on_either_grid() -> None:
    venue, flood = played(1, 3_000)
    assert flood.trades > 150
    for market in venue.markets.values():
        if market.last_trade_e4 is None:
            continue
        for book in market.books:
            _check_ladders(book.bids(), book.asks())
    assert {m.tick_size_e4 for m in venue.markets.values()} >= {10}, "the finer grid has come"


def test_books_return_to_states_that_they_have_just_had() -> None:
    venue, (sink, _), market = quiet()
    quoted = _Quoted(market, Random(1))
    venue.set_book(market.token("Up"), *quoted.sides())
    returned = 0
    for _ in range(50):
        sink.frames.clear()
        for side, price_e4, size_e6 in quoted._return():
            venue.change_level(market.token("Up"), side, price_e4, size_e6)
        entries = [frame["price_changes"][0] for frame in sink.decoded()]
        if len(entries) >= 3:
            *_, before, other, again = (entry["hash"] for entry in entries)
            assert before == again != other
            assert len({str(entry) for entry in entries}) == len(entries), "no two are identical"
            returned += 1
    assert returned > 25


async def test_no_frame_comes_twice_although_books_return(monkeypatch: pytest.MonkeyPatch) -> None:
    venue, now_ms = Venue(), 1_800_000_030_000

    def sleep(_: float) -> None:
        nonlocal now_ms
        now_ms += 1

    venue.now_ms = lambda: now_ms  # type: ignore[method-assign]
    monkeypatch.setattr("sandbox.simulator.flood.time.sleep", sleep)
    flood = Flood(venue, SERIES, changes_per_s=1, focus=1.0)
    async with flooding(flood):
        sink, _ = sinks_of(venue, traded_now(venue, "btc"))
        for _ in range(1_000):
            flood._change_one()
    assert len(sink.frames) > 1_000
    assert len(set(sink.frames)) == len(sink.frames)
    assert 0 < now_ms - 1_800_000_030_000 < 500, "most of them in one millisecond"


@pytest.mark.parametrize("seed", range(20))
def test_a_trade_leaves_the_books_as_its_last_frame_says(seed: int) -> None:
    venue, (sink, _), market = quiet()
    quoted = _Quoted(market, Random(seed))
    venue.set_book(market.token("Up"), *quoted.sides())
    trade = quoted.trade()
    assert trade is not None
    token = market.books[trade.outcome].token_id
    sink.frames.clear()
    venue.trade(token, trade.price_e4, SHARES, trade.levels)
    assert [frame["event_type"] for frame in sink.decoded()] == [
        *["price_change"] * len(trade.levels),
        *("book", "book", "last_trade_price"),
    ]
    for book in market.books:
        _check_ladders(book.bids(), book.asks())
    bids, asks = quoted.sides()
    assert sorted(market.books[0].bids()) == sorted(bids)
    assert sorted(market.books[0].asks()) == sorted(asks)
    assert market.last_trade_e4 == trade.price_e4


def quiet() -> tuple[Venue, list[Sink], Market]:
    """Nothing but what a test does, all of it in one millisecond."""
    venue = Venue()
    venue.now_ms = lambda: 1_800_000_000_000  # type: ignore[method-assign]
    market = venue.add_market("btc-updown-15m-1800000000", start_ms=0, end_ms=1 << 50)
    return venue, sinks_of(venue, market), market


def test_the_seed_decides_what_is_changed() -> None:
    def shown(seed: int) -> list[tuple[Level, ...]]:
        venue, _ = played(seed, 500)
        return [b.asks() for m in venue.markets.values() for b in m.books]

    assert shown(1) == shown(1) != shown(2)


@pytest.mark.parametrize(("focus", "low", "high"), [(0.0, 0.4, 0.6), (1.0, 1.0, 1.0)])
def test_changes_are_spread_or_on_one_market(focus: float, low: float, high: float) -> None:
    venue = Venue()
    flood = Flood(venue, SERIES, changes_per_s=1, focus=focus)
    venue.now_ms = lambda: 1_800_000_030_000  # type: ignore[method-assign]
    counted = {"btc": 0, "eth": 0}
    change = venue.change_levels

    def count(market: Market, changes: Any) -> None:
        counted[market.slug[:3]] += 1
        change(market, changes)

    venue.change_levels = count  # type: ignore[method-assign]

    async def play() -> None:
        async with flooding(flood):
            for _ in range(1_000):
                flood._change_one()

    asyncio.run(play())
    assert low <= counted["btc"] / sum(counted.values()) <= high
    assert flood.changes > 1_000


async def test_windows_roll_from_placeholder_to_resolution() -> None:
    venue = Venue()
    flood = Flood(venue, [parse_series("btc-1s")], changes_per_s=200)
    async with flooding(flood):
        following = next(m for m in venue.markets.values() if m.start_ms > venue.now_ms())
        if venue.now_ms() < following.start_ms - 200:
            assert following.books[0].best_bid_text() == "0.01"
            assert following.books[0].best_ask_text() == "0.99"
        async with asyncio.timeout(30):
            while following.payouts is None:  # noqa: ASYNC110 - the clock decides
                await asyncio.sleep(0.05)
        assert len(following.books[0].bids()) > 10
        assert following.resolved_at(venue.now_ms())
        assert len(venue.markets) >= 3


async def test_the_rate_is_what_was_asked_for() -> None:
    venue = Venue()
    flood = Flood(venue, SERIES, changes_per_s=400)
    began_s = time.monotonic()
    async with flooding(flood), lived_time() as clock:
        async with asyncio.timeout(30):
            while flood.changes < 200:  # noqa: ASYNC110 - the clock decides
                await asyncio.sleep(0.005)
        lived_s = clock.now_s()
    assert time.monotonic() - began_s > 0.45, "never faster than asked"
    assert flood.changes + flood.missed >= int((lived_s - 0.2) * 400)
