"""Two independent connections to the market channel, read frame by frame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from sandbox.simulator import Market, Venue
from tests.support.frame_reader import Frame, Reader


class Line:
    """A client's end of one connection, and what a naive reader makes of its frames."""

    def __init__(self, ws: ClientConnection, market: Market) -> None:
        self.ws = ws
        self.tokens = tuple(book.token_id for book in market.books)
        self.reader = Reader(market.condition_id, self.tokens)

    async def subscribe(self) -> None:
        await self.ws.send(json.dumps({"type": "market", "assets_ids": self.tokens}))

    async def frame(self) -> Any:
        """The next frame, decoded."""
        async with asyncio.timeout(30):
            return json.loads(await self.ws.recv())

    async def read(self, count: int) -> list[Frame]:
        """The next frames; what they tell of, all of it, must have the oracle's hash."""
        frames = [await self.frame() for _ in range(count)]
        for frame in frames:
            self.reader.apply(frame)
        self.reader.settled()
        return frames

    async def waiting(self) -> list[Any]:
        """All frames that are there before the answer to a PING."""
        frames = []
        await self.ws.send("PING")
        async with asyncio.timeout(30):
            while (text := await self.ws.recv()) != "PONG":
                frames.append(json.loads(text))
        return frames


@asynccontextmanager
async def line(url: str, venue: Venue, market: Market) -> AsyncIterator[Line]:
    """One more connection, which the venue has already seen."""
    known = len(venue.market_feed.connections)
    async with connect(
        f"{url.replace('http', 'ws')}/ws/market", compression=None, close_timeout=0.2
    ) as ws:
        async with asyncio.timeout(30):
            await venue.notice.until(lambda: len(venue.market_feed.connections) > known)
        yield Line(ws, market)
