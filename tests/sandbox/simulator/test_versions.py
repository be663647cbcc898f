"""Which book a hash was told of."""

from __future__ import annotations

import time

import pytest

from protocol.units import parse_price_e4, parse_size_e6
from sandbox.simulator import Market, Venue, serve
from tests.sandbox.simulator.conftest import SHARES
from tests.sandbox.simulator.test_control import call
from tests.support.sinks import sinks_of
from tests.support.two_connections import line


def listed(venue: Venue, slug: str = "btc-updown-15m-1800000000") -> Market:
    now_ms = time.time_ns() // 1_000_000
    market = venue.add_market(slug, start_ms=now_ms, end_ms=now_ms + 900_000)
    venue.set_book(market.token("Up"), [(4800, SHARES)], [(5000, SHARES)])
    return market


def levels(side: dict[str, str], *, descend: bool) -> tuple[tuple[int, int], ...]:
    found = [(parse_price_e4(price), parse_size_e6(size)) for price, size in side.items()]
    return tuple(sorted(found, reverse=descend))


async def test_every_hash_that_was_told_has_its_book() -> None:
    venue = Venue(keep_versions=100)
    async with serve(venue) as url:
        market = listed(venue)
        async with line(url, venue, market) as one:
            await one.subscribe()
            await one.read(1)
            for size in range(1, 20):
                venue.change_level(market.token("Up"), "SELL", 5000 + size * 100, size * SHARES)
                if size == 10:
                    venue.trade(market.token("Up"), 5000, SHARES)
            compared = 0
            while compared < 38:
                frame = await one.frame()
                one.reader.apply(frame)
                for told in frame.get("price_changes", []):
                    reader = one.reader.books[told["asset_id"]]
                    expected = (
                        levels(reader.bids, descend=True),
                        levels(reader.asks, descend=False),
                    )
                    assert venue.version(told["asset_id"], told["hash"]) == expected
                    compared += 1
        _, rest = await call(url, f"/book?token_id={market.token('Up')}")
        known = venue.version(market.token("Up"), rest["hash"])
        assert known is not None
        status, body = await call(
            url, f"/sandbox/version?token_id={market.token('Up')}&hash={rest['hash']}"
        )
        assert (status, body) == (
            200,
            {s: [list(x) for x in side] for s, side in zip(("bids", "asks"), known, strict=True)},
        )
        assert (await call(url, "/sandbox/version?token_id=1&hash=2"))[0] == 404


def test_states_between_the_frames_of_a_trade_are_no_versions() -> None:
    venue = Venue(keep_versions=100)
    venue.now_ms = lambda: 1_800_000_000_000  # type: ignore[method-assign]
    market = listed(venue)
    up, (sink, _) = market.token("Up"), sinks_of(venue, market)
    versions = market.books[0].versions
    assert versions is not None
    versions.clear()
    venue.trade(up, 5000, SHARES, [("BUY", 5000, SHARES), ("SELL", 5000, 0)])
    told = [f["price_changes"][0]["hash"] for f in sink.decoded()[:2]]
    assert told == [_hash_now(venue, up)] * 2
    assert venue.version(up, told[0]) == (((5000, SHARES), (4800, SHARES)), ())
    assert len(versions._by_hash) == 1


async def test_only_the_last_are_kept() -> None:
    venue = Venue(keep_versions=3)
    market = listed(venue)
    up, book = market.token("Up"), market.books[0]
    told = []
    for size in range(1, 6):
        venue.change_level(up, "BUY", 4700, size * SHARES)
        told.append(_hash_now(venue, up))
    assert [venue.version(up, each) is None for each in told] == [True, True] + [False] * 3
    assert venue.version(up, told[-1]) == (book.bids(), book.asks())
    assert venue.version(up, "no hash") is None


def test_none_are_kept_by_default() -> None:
    venue = Venue()
    market = listed(venue)
    assert venue.version(market.token("Up"), _hash_now(venue, market.token("Up"))) is None
    assert market.books[0].versions is None


def test_those_of_ended_markets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Venue(keep_versions=3)
    market = listed(venue)
    up = market.token("Up")
    told = _hash_now(venue, up)
    listed(venue, "btc-updown-15m-1800000900")
    assert venue.version(up, told) is not None
    monkeypatch.setattr(venue, "now_ms", lambda: market.end_ms + 60_001)
    listed(venue, "btc-updown-15m-1800001800")
    assert venue.version(up, told) is None


def _hash_now(venue: Venue, token: str) -> str:
    text = venue.book_text(token)
    return text.split('"hash":"')[1][:40]
