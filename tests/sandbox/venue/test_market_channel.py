"""The market channel as a subscriber sees it."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from polymarket import AsyncSecureClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sandbox.venue import Market, Venue, feed
from tests.sandbox.venue.conftest import SHARES, buy
from tests.sandbox.venue.wire import Reader


@pytest.fixture
async def ws(url: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"{url.replace('http', 'ws')}/ws/market", compression=None) as connection:
        yield connection


async def subscribe(ws: ClientConnection, *tokens: str) -> Any:
    """The first frame of a connection, and its answer."""
    await ws.send(json.dumps({"type": "market", "assets_ids": tokens}))
    return json.loads(await ws.recv())


async def nothing_waits(ws: ClientConnection) -> bool:
    """Whether the next thing to arrive is the answer to a ping sent now."""
    await ws.send("PING")
    return await ws.recv() == "PONG"


def tokens_of(market: Market) -> tuple[str, str]:
    return market.token("Up"), market.token("Down")


async def test_first_frame_is_an_array_of_books_worst_first(
    ws: ClientConnection, market: Market
) -> None:
    books = await subscribe(ws, *tokens_of(market))

    assert [book["event_type"] for book in books] == ["book", "book"]
    up, down = books
    assert [level["price"] for level in up["asks"]] == ["0.6", "0.51", "0.5"]
    assert [level["price"] for level in up["bids"]] == ["0.48"]
    # The other token's book is the mirror image.
    assert [level["price"] for level in down["bids"]] == ["0.4", "0.49", "0.5"]
    assert [level["size"] for level in down["bids"]] == ["100", "3", "2"]
    assert (up["tick_size"], up["last_trade_price"]) == ("0.01", "")
    assert all(isinstance(up[field], str) for field in ("timestamp", "hash", "min_order_size"))


async def test_every_change_carries_the_hash_and_the_best_prices(
    ws: ClientConnection, venue: Venue, market: Market
) -> None:
    up, down = tokens_of(market)
    reader = Reader(market.condition_id, (up, down))
    reader.apply(await subscribe(ws, up, down))

    venue.change_level(up, "BUY", 4900, 12_340_000)
    venue.change_level(up, "SELL", 5000, 0)
    venue.change_level(down, "BUY", 4700, 1)
    venue.set_book(up, [], [])
    venue.change_level(up, "SELL", 100, SHARES)
    for _ in range(6):  # set_book sends one book a token
        reader.apply(json.loads(await ws.recv()))

    assert reader.seen == ["book"] * 2 + ["price_change"] * 3 + ["book"] * 2 + ["price_change"]
    assert reader.books[up].asks == {"0.01": "1"}
    assert reader.books[down].bids == {"0.99": "1"}
    assert reader.books[up].bids == {}


async def test_rest_book_is_the_book_of_the_channel(
    ws: ClientConnection, client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    up = market.token("Up")
    venue.change_level(up, "BUY", 4900, SHARES)
    (frame,) = await subscribe(ws, up)
    book = await client.get_order_book(token_id=up)

    assert book.hash == frame["hash"]
    assert [str(level.price) for level in book.bids] == ["0.48", "0.49"]


async def test_ping(ws: ClientConnection) -> None:
    await ws.send("PING")
    assert await ws.recv() == "PONG"


async def test_only_subscribed_tokens_are_sent(
    ws: ClientConnection, venue: Venue, market: Market
) -> None:
    up, down = tokens_of(market)
    venue.change_level(up, "BUY", 4700, SHARES)
    assert await nothing_waits(ws)

    await subscribe(ws, down)
    venue.change_level(up, "BUY", 4700, 2 * SHARES)
    frame = json.loads(await ws.recv())
    assert [change["asset_id"] for change in frame["price_changes"]] == [down]
    assert frame["price_changes"][0]["side"] == "SELL"


async def test_subscribing_and_unsubscribing_later(
    ws: ClientConnection, venue: Venue, market: Market
) -> None:
    up, down = tokens_of(market)
    await subscribe(ws, up)
    await ws.send(json.dumps({"operation": "subscribe", "assets_ids": [down]}))
    (book,) = json.loads(await ws.recv())
    assert (book["event_type"], book["asset_id"]) == ("book", down)

    await ws.send(json.dumps({"operation": "unsubscribe", "assets_ids": [up, down]}))
    assert await nothing_waits(ws)
    venue.change_level(up, "BUY", 4700, SHARES)
    assert await nothing_waits(ws)


@pytest.mark.parametrize(
    "message",
    ["", "nonsense", "[1]", "{}", '{"operation":"dance"}', '{"type":"market","assets_ids":7}'],
)
async def test_unknown_messages_are_ignored(ws: ClientConnection, message: str) -> None:
    await ws.send(message)
    while (answered := await _pong_or_frame(ws)) != "PONG":
        assert answered == "[]"


async def _pong_or_frame(ws: ClientConnection) -> str | bytes:
    await ws.send("PING")
    return await ws.recv()


async def test_unknown_tokens_are_ignored(ws: ClientConnection, market: Market) -> None:
    (book,) = await subscribe(ws, "1", market.token("Up"))
    assert book["asset_id"] == market.token("Up")
    await ws.send(json.dumps({"operation": "subscribe", "assets_ids": [["1"], 2, None]}))
    assert json.loads(await ws.recv()) == []


async def test_a_trade_is_told_for_both_tokens_and_enters_the_hash(
    ws: ClientConnection, client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    up, down = tokens_of(market)
    reader = Reader(market.condition_id, (up, down))
    reader.apply(await subscribe(ws, up, down))

    await buy(client, up, "1.25", "0.55")  # 1.00 at 0.50, 0.25 at 0.51
    venue.change_level(up, "BUY", 4700, SHARES)
    for _ in range(5):
        reader.apply(json.loads(await ws.recv()))

    assert reader.seen[2:] == ["last_trade_price"] * 4 + ["price_change"]
    assert reader.books[up].last_trade_price == "0.510"
    assert reader.books[down].last_trade_price == "0.490"


async def test_a_new_tick_size_is_followed_by_fresh_books(
    ws: ClientConnection, venue: Venue, market: Market
) -> None:
    up, down = tokens_of(market)
    reader = Reader(market.condition_id, (up, down))
    reader.apply(await subscribe(ws, up, down))

    venue.change_tick_size(market, 10)
    venue.change_level(up, "BUY", 20, SHARES)
    for _ in range(5):
        reader.apply(json.loads(await ws.recv()))

    assert reader.seen[2:] == ["tick_size_change"] * 2 + ["book"] * 2 + ["price_change"]
    assert reader.books[up].tick_size == "0.001"
    assert "0.002" in reader.books[up].bids


async def test_a_reader_that_stops_reading_is_cut_and_holds_up_nobody(
    ws: ClientConnection,
    url: str,
    venue: Venue,
    market: Market,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "FRAMES_WAITING_MAX", 50)
    up = market.token("Up")
    await subscribe(ws, up)
    host, port = url.removeprefix("http://").split(":")
    # A small window, so that the kernel does not swallow megabytes on behalf of the reader.
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    sock.setblocking(False)
    async with connect(f"ws://{host}:{port}/ws/market", sock=sock, compression=None) as slow:
        await slow.send(json.dumps({"type": "market", "assets_ids": [up]}))
        await venue.notice.until(lambda: len(venue.market_feed.readers(up)) == 2)
        levels = [(price, 1_234_567) for price in range(100, 10_000, 100)]
        sent = 0
        while len(venue.market_feed.connections) == 2:
            assert sent < 5_000, "the venue never gave up on a reader that does not read"
            venue.set_book(up, levels[:49], levels[49:])
            sent += 1
            # The good reader gets every frame while the other one blocks.
            assert json.loads(await ws.recv())["event_type"] == "book"

        with pytest.raises(ConnectionClosed):
            while True:
                await slow.recv()
    assert venue.market_feed.overflows == 1


async def test_cut_connections_can_come_back(
    ws: ClientConnection, url: str, venue: Venue, market: Market
) -> None:
    await subscribe(ws, market.token("Up"))
    venue.cut_market_connections()
    with pytest.raises(ConnectionClosed):
        await ws.recv()

    async with connect(f"{url.replace('http', 'ws')}/ws/market") as again:
        assert len(await subscribe(again, market.token("Up"))) == 1
        await venue.subscribed(market.token("Up"))
