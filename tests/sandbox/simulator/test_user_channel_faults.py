"""What the user channel does to events, and what it says of delayed and failed orders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from polymarket import AsyncSecureClient
from polymarket.models.clob.user_events import parse_user_event

from sandbox.simulator import Market, Venue
from tests.sandbox.simulator.conftest import buy, until


@asynccontextmanager
async def listening(
    client: AsyncSecureClient, url: str, venue: Venue
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A user connection that the venue knows."""
    key = client.credentials
    auth = {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws/user") as ws:
        await ws.send_json({"type": "user", "auth": auth})
        await until(venue, lambda: any(c.owner for c in venue.user_feed.connections))
        yield ws


async def events(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    """The statuses of the next events."""
    async with asyncio.timeout(30):
        texts = [await ws.receive_str() for _ in range(count)]
    return [str(parse_user_event(json.loads(text)).payload.status) for text in texts]


async def quiet(ws: aiohttp.ClientWebSocketResponse) -> None:
    """Nothing waits to be read: the answer to a PING comes next."""
    await ws.send_str("PING")
    async with asyncio.timeout(30):
        assert await ws.receive_str() == "PONG"


async def test_connections_are_cut_and_the_event_is_lost(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with listening(client, url, venue) as ws:
        venue.faults.user_cut = 1.0
        await buy(client, market.token("Up"), "1", "0.52")
        async with asyncio.timeout(30):
            ended = await ws.receive()
    assert ended.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
    assert venue.chance.injected["user_cut"] >= 1


async def test_connections_can_be_cut_at_any_time(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with listening(client, url, venue) as ws:
        venue.cut_user_connections()
        async with asyncio.timeout(30):
            ended = await ws.receive()
    assert ended.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


async def test_events_are_lost(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with listening(client, url, venue) as ws:
        venue.faults.user_lost = 1.0
        await buy(client, market.token("Up"), "1", "0.52")
        await quiet(ws)
        venue.faults.user_lost = 0.0
        assert await events(ws, 2) == ["MINED", "CONFIRMED"]
    assert venue.chance.injected == {"user_lost": 2}


async def test_events_come_twice(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with listening(client, url, venue) as ws:
        venue.faults.user_duplicated = 1.0
        await buy(client, market.token("Up"), "1", "0.52")
        expected = ["MATCHED"] * 4 + ["MINED"] * 2 + ["CONFIRMED"] * 2
        assert await events(ws, 8) == expected


async def test_events_overtake_each_other(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with listening(client, url, venue) as ws:
        venue.faults.user_reordered, venue.faults.user_reordered_ms = 1.0, 1_000
        await buy(client, market.token("Up"), "1", "0.52")
        venue.faults.user_reordered = 0.0
        assert await events(ws, 4) == ["MINED", "CONFIRMED", "MATCHED", "MATCHED"]
    assert venue.chance.injected == {"user_reordered": 2}


async def test_events_of_one_moment_overtake_each_other(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with listening(client, url, venue) as ws:
        venue.faults.user_reordered = 0.5
        venue.chance.restart(9)  # the first of three
        await buy(client, market.token("Up"), "2", "0.55")
        async with asyncio.timeout(30):
            kinds = [json.loads(await ws.receive_str())["event_type"] for _ in range(3)]
        assert kinds == ["trade", "trade", "order"]


@pytest.mark.parametrize("never", [False, True])
async def test_a_delayed_order_is_told_when_it_ends(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market, never: bool
) -> None:
    async with listening(client, url, venue) as ws:
        venue.faults.delayed, venue.faults.unmatched = 1.0, float(never)
        venue.faults.delayed_ms = 200
        await buy(client, market.token("Up"), "1", "0.52")
        await quiet(ws)
        if never:
            assert await events(ws, 1) == ["UNMATCHED"]
        else:
            assert await events(ws, 4) == ["MATCHED", "MATCHED", "MINED", "CONFIRMED"]


async def test_a_trade_that_fails_says_so(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with listening(client, url, venue) as ws:
        venue.faults.failed_trade = 1.0
        await buy(client, market.token("Up"), "1", "0.52")
        assert await events(ws, 4) == ["MATCHED", "MATCHED", "RETRYING", "FAILED"]
