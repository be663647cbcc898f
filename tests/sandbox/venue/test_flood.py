"""Synthetic load: its frames verify, its windows roll, its rate is what was asked for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect

from protocol.book import Level
from protocol.series import parse_series
from sandbox.venue import Market, Venue, serve
from sandbox.venue.flood import LEVELS_MAX, SIDE_LEVELS_MIN, Flood
from tests.sandbox.venue.wire import Reader

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


async def test_frames_verify_and_versions_are_kept() -> None:
    venue = Venue(keep_versions=5_000)
    flood = Flood(venue, SERIES, changes_per_s=1_000, seed=3)
    async with serve(venue) as url, flooding(flood):
        market = traded_now(venue, "btc")
        tokens = tuple(book.token_id for book in market.books)
        reader = Reader(market.condition_id, tokens)
        async with connect(f"{url.replace('http', 'ws')}/ws/market", compression=None) as ws:
            await ws.send(json.dumps({"type": "market", "assets_ids": tokens}))
            async with asyncio.timeout(20):
                while (
                    reader.seen.count("price_change") < 300 or "last_trade_price" not in reader.seen
                ):
                    frame = json.loads(await ws.recv())
                    reader.apply(frame)  # every hash, every best price, by the oracle
                    for change in _changes(frame):
                        version = venue.version(change["asset_id"], change["hash"])
                        assert version is not None
                        _check_ladders(*version)


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
    venue, flood = played(1, 20_000)
    assert flood.trades > 200
    for market in venue.markets.values():
        if market.books[0].last_trade_e4 is None:
            continue
        for book in market.books:
            _check_ladders(book.bids(), book.asks())
    assert {m.tick_size_e4 for m in venue.markets.values()} >= {10}, "the finer grid has come"


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
    assert low <= counted["btc"] / 1_000 <= high


async def test_windows_roll_from_placeholder_to_resolution() -> None:
    venue = Venue()
    flood = Flood(venue, [parse_series("btc-2s")], changes_per_s=200)
    async with flooding(flood):
        following = next(m for m in venue.markets.values() if m.start_ms > venue.now_ms())
        if venue.now_ms() < following.start_ms - 200:
            assert following.books[0].best_bid_text() == "0.01"
            assert following.books[0].best_ask_text() == "0.99"
        async with asyncio.timeout(10):
            while following.payouts is None:  # noqa: ASYNC110 - the clock decides
                await asyncio.sleep(0.05)
        assert len(following.books[0].bids()) > 10
        assert following.resolved_at(venue.now_ms())
        assert len(venue.markets) >= 3


async def test_the_rate_is_what_was_asked_for() -> None:
    venue = Venue()
    flood = Flood(venue, SERIES, changes_per_s=400)
    began_s = time.monotonic()
    async with flooding(flood):
        async with asyncio.timeout(20):
            while flood.changes < 200:  # noqa: ASYNC110 - the clock decides
                await asyncio.sleep(0.005)
    took_s = time.monotonic() - began_s
    assert took_s > 0.45, "never faster than asked"
    assert flood.changes + flood.missed >= int((took_s - 0.2) * 400)
