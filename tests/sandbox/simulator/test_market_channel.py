"""The market channel as a subscriber sees it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from polymarket import AsyncSecureClient
from py_clob_client.clob_types import OrderBookSummary, OrderSummary
from py_clob_client.utilities import generate_orderbook_summary_hash
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sandbox.simulator import Market, Venue, fan_out
from tests.sandbox.simulator.conftest import SHARES, buy
from tests.sandbox.simulator.test_control import call
from tests.support.frame_reader import NaiveBook, Reader


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
    assert list(up) == [
        *("market", "asset_id", "timestamp", "hash", "bids", "asks"),
        *("tick_size", "event_type", "last_trade_price"),
    ]


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
    reader.settled()

    assert reader.seen == ["book"] * 2 + ["price_change"] * 3 + ["book"] * 2 + ["price_change"]
    assert reader.books[up].asks == {"0.01": "1"}
    assert reader.books[down].bids == {"0.99": "1"}
    assert reader.books[up].bids == {}


async def test_rest_book_is_the_book_of_the_channel(
    ws: ClientConnection, url: str, venue: Venue, market: Market
) -> None:
    up = market.token("Up")
    venue.change_level(up, "BUY", 4900, SHARES)
    (frame,) = await subscribe(ws, up)
    _, book = await call(url, f"/book?token_id={up}")
    facts = {"min_order_size": "5", "neg_risk": False}
    assert book == {key: frame[key] for key in frame if key != "event_type"} | facts


async def test_the_hash_is_that_of_the_venues_own_client(
    url: str, venue: Venue, market: Market
) -> None:
    venue.trade(market.token("Down"), 5200, SHARES)
    for outcome in ("Up", "Down"):
        token = market.token(outcome)
        _, book = await call(url, f"/book?token_id={token}")
        sides = {
            side: [OrderSummary(level["price"], level["size"]) for level in book[side]]
            for side in ("bids", "asks")
        }
        summary = OrderBookSummary(**(book | sides))
        assert summary.last_trade_price == "0.520"
        assert generate_orderbook_summary_hash(summary) == book["hash"]
        naive = NaiveBook(market.condition_id, token)
        naive.apply_book(book)
        naive.settled()  # so is the tests' own


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


async def test_a_match_of_ours_is_told_for_its_token_and_enters_both_hashes(
    ws: ClientConnection, client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    up, down = tokens_of(market)
    reader = Reader(market.condition_id, (up, down))
    reader.apply(await subscribe(ws, up, down))

    await buy(client, up, "1.25", "0.55")  # 1.00 at 0.50, 0.25 at 0.51
    frames = [json.loads(await ws.recv()) for _ in range(4)]
    for frame in frames:
        reader.apply(frame)
    reader.settled()

    assert reader.seen[2:] == ["book"] * 2 + ["last_trade_price"] * 2
    assert [(f["asset_id"], f["price"]) for f in frames[2:]] == [(up, "0.5"), (up, "0.51")]
    assert {book.last_trade_price for book in reader.books.values()} == {"0.510"}


async def test_a_trade_is_several_frames_of_one_version(
    ws: ClientConnection, venue: Venue, market: Market
) -> None:
    up, down = tokens_of(market)
    venue.set_book(up, [(4800, SHARES)], [(5000, SHARES), (5100, SHARES), (6000, SHARES)])
    reader = Reader(market.condition_id, (up, down))
    reader.apply(await subscribe(ws, up, down))
    # Somebody bids for 4 at 0.51, gets 2, and the rest stands.
    venue.trade(
        up, 5100, 2 * SHARES, [("BUY", 5100, 2 * SHARES), ("SELL", 5000, 0), ("SELL", 5100, 0)]
    )
    frames = [json.loads(await ws.recv()) for _ in range(6)]
    changes, books, trade = frames[:3], frames[3:5], frames[5]

    crossed = []
    for frame in frames:
        reader.apply(frame)
        bid, ask = reader.books[up].best()
        crossed.append(float(bid) >= float(ask))
        if frame is not trade:
            assert not any(book.proven for book in reader.books.values())
    reader.settled()

    assert crossed == [True, True] + [False] * 4
    for number, token in enumerate((up, down)):
        told = {
            (f["timestamp"], e["hash"], e["best_bid"], e["best_ask"])
            for f in changes
            for e in f["price_changes"]
            if e["asset_id"] == token
        }
        ((timestamp, digest, *best),) = told
        assert best == [["0.51", "0.6"], ["0.4", "0.49"]][number]
        assert list(books[number]) == [
            *("market", "asset_id", "bids", "asks", "hash", "timestamp", "event_type")
        ]
        assert (books[number]["asset_id"], books[number]["hash"]) == (token, digest)
        assert books[number]["timestamp"] == timestamp < trade["timestamp"]
    assert [[e["price"] for e in f["price_changes"]] for f in changes] == [
        ["0.51", "0.49"], ["0.5", "0.5"], ["0.51", "0.49"]
    ]  # fmt: skip
    assert (trade["event_type"], trade["asset_id"], trade["price"]) == (
        *("last_trade_price", up, "0.51"),
    )


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
    reader.settled()

    assert reader.seen[2:] == ["tick_size_change"] * 2 + ["book"] * 2 + ["price_change"]
    assert reader.books[up].tick_size == "0.001"
    assert "0.002" in reader.books[up].bids


@pytest.mark.parametrize("reads_on", [True, False])
async def test_a_reader_that_stops_reading_is_closed_and_holds_up_nobody(
    ws: ClientConnection,
    url: str,
    venue: Venue,
    market: Market,
    monkeypatch: pytest.MonkeyPatch,
    reads_on: bool,
) -> None:
    monkeypatch.setattr(fan_out, "FRAMES_WAITING_MAX", 50)
    monkeypatch.setattr(fan_out, "SLOW_CLOSE_S", 10 if reads_on else 0.05)
    up = market.token("Up")
    await subscribe(ws, up)
    host, port = url.removeprefix("http://").split(":")
    # A small window, so that the kernel does not swallow megabytes on behalf of the reader.
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    sock.setblocking(False)
    async with connect(
        f"ws://{host}:{port}/ws/market", sock=sock, compression=None, close_timeout=0.1
    ) as slow:
        await slow.send(json.dumps({"type": "market", "assets_ids": [up]}))
        await venue.notice.until(lambda: len(venue.market_feed.readers(up)) == 2)
        transport = venue.market_feed.connections[1]._transport
        assert transport is not None
        sending = transport.get_extra_info("socket")
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        levels = [(price, 1_234_567) for price in range(100, 10_000, 100)]
        sent = 0
        connection = venue.market_feed.connections[1]
        while not connection.overflowed:
            assert sent < 5_000, "the venue never gave up on a reader that does not read"
            venue.set_book(up, levels[:49], levels[49:])
            sent += 1
            # The good reader gets every frame while the other one blocks.
            assert json.loads(await ws.recv())["event_type"] == "book"

        if reads_on:
            with pytest.raises(ConnectionClosed) as ended:
                while True:
                    await slow.recv()
            assert ended.value.rcvd is not None
            assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (
                *(1013, "slow consumer: send buffer full"),
            )
        else:
            async with asyncio.timeout(30):
                await venue.notice.until(lambda: len(venue.market_feed.connections) == 1)
    async with asyncio.timeout(30):
        await venue.notice.until(lambda: venue.market_feed.overflows == 1)


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
