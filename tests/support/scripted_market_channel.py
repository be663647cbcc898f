"""A market channel that does exactly what a test says: it never sends a frame by itself.

Speaks real websockets. Does not model books, subscriptions or PONG: the test answers. For a venue
that behaves like one there is `sandbox.simulator`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.market_channel_frames import frame


class Caller:
    """One connection of the feeder, seen from the venue."""

    def __init__(self, websocket: ServerConnection) -> None:
        self._websocket = websocket

    async def next(self) -> dict[str, Any] | str:
        """The next message of the feeder: decoded JSON, or its text."""
        text = await self._websocket.recv()
        assert isinstance(text, str)
        return json.loads(text) if text.startswith("{") else text

    async def next_operation(self) -> dict[str, Any]:
        """The next message that is not a PING."""
        while True:
            message = await self.next()
            if isinstance(message, dict):
                return message

    async def send(self, event: dict[str, Any] | list[dict[str, Any]] | str) -> None:
        """Send a frame; a string is sent as it is."""
        await self._websocket.send(event if isinstance(event, str) else frame(event).decode())

    async def hang_up(self) -> None:
        """Cut the connection without a closing handshake."""
        self._websocket.transport.abort()

    async def gone(self) -> None:
        """Return when the feeder has closed the connection."""
        try:
            while True:
                await self._websocket.recv()
        except ConnectionClosed:
            return


class WireVenue:
    """`async with WireVenue().open() as venue:` listens; `await venue.caller()` is who connects."""

    def __init__(self) -> None:
        self._callers: asyncio.Queue[Caller] = asyncio.Queue()
        self.url = ""

    async def caller(self) -> Caller:
        """The next connection."""
        return await self._callers.get()

    @property
    def callers_waiting(self) -> int:
        """Connections that no test has taken yet."""
        return self._callers.qsize()

    async def _accept(self, websocket: ServerConnection) -> None:
        self._callers.put_nowait(Caller(websocket))
        await websocket.wait_closed()

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[WireVenue]:
        server = await serve(self._accept, "127.0.0.1", port, close_timeout=0.2)
        async with server:
            (port,) = {listening.getsockname()[1] for listening in server.sockets}
            self.url = f"ws://127.0.0.1:{port}/ws/market"
            yield self
