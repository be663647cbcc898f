"""The two websocket channels. Unknown tokens and unknown messages are ignored, as documented.

`custom_feature_enabled` is accepted and changes nothing: best_bid_ask, new_market and
market_resolved are never sent (the real market_resolved has been reported missing, too).
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from sandbox.simulator.auth import AuthError
from sandbox.simulator.clob import VENUE
from sandbox.simulator.frames import opening_book
from sandbox.simulator.market_faults import MarketConnection
from sandbox.simulator.venue import Venue


async def market_channel(request: web.Request) -> web.WebSocketResponse:
    """/ws/market: subscribe, then an array of books, then changes."""
    venue = request.app[VENUE]
    async with venue.market_feed.connection(request) as (connection, ws):
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data == "PING":
                connection.send("PONG")
            else:
                _on_market_message(venue, connection, _parsed(message.data))
    return ws


def _on_market_message(venue: Venue, connection: MarketConnection, message: dict[str, Any]) -> None:
    asked = message.get("assets_ids")
    asked = asked if isinstance(asked, list) else []
    tokens = [token for token in asked if isinstance(token, str) and token in venue.by_token]
    if message.get("operation") == "unsubscribe":
        venue.market_feed.unsubscribe(connection, tokens)
    elif message.get("operation") == "subscribe" or message.get("type") == "market":
        # Whether the real venue always sends a book after a later subscribe is undocumented;
        # here it does, unless `market_no_book` says otherwise.
        venue.market_feed.subscribe(connection, tokens)
        books = [
            opening_book(market, book)
            for token in tokens
            for market in (venue.by_token[token],)
            for book in market.books
            if book.token_id == token
        ]
        connection.send("[" + ",".join(books) + "]")


async def user_channel(request: web.Request) -> web.WebSocketResponse:
    """/ws/user: credentials in the first frame, then this key's orders and trades."""
    venue = request.app[VENUE]
    async with venue.user_feed.connection(request) as (connection, ws):
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data == "PING":
                connection.send("PONG")
                continue
            parsed = _parsed(message.data)
            if not connection.owner:
                try:
                    connection.owner = venue.keys.check_frame(parsed.get("auth")).key
                except AuthError:
                    break  # the real venue closes without a word
            markets = parsed.get("markets")
            if isinstance(markets, list):
                # Condition ids, in the set that holds token ids on the market channel.
                change = (
                    venue.user_feed.unsubscribe
                    if parsed.get("operation") == "unsubscribe"
                    else venue.user_feed.subscribe
                )
                change(connection, [str(market) for market in markets])
            venue.notice.changed()
        await ws.close()
    return ws


def _parsed(text: str) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return {}
    return message if isinstance(message, dict) else {}
