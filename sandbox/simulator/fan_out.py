"""Fan-out to websockets: a slow reader never holds up the others.

Each connection has a bounded queue and its own writer task. A connection whose queue is full gets
no more frames and is closed with code 1013 (and counted), as the real venue does with consumers
that fall behind: a delta stream with a hole in it is worse than none. A reader that does not even
read so far is cut after SLOW_CLOSE_S. Connections are numbered from 0 in the order in which they
were opened; a number is never used twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, TypeAlias, TypeVar

from aiohttp import WSCloseCode, web

# About four seconds of the busiest benchmark; what waits longer than that is stale anyway.
FRAMES_WAITING_MAX: Final = 4096
SLOW_CLOSE_S: Final = 2.0
SLOW: Final = b"slow consumer: send buffer full"
_CLOSE_TIMEOUT_S: Final = 0.5


class Notice:
    """Lets a test await a fact about the venue instead of sleeping for it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def changed(self) -> None:
        """Wake everyone who waits in `until`."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Return as soon as `fact()` is true; the caller sets the timeout."""
        while not fact():
            await self._event.wait()


Deed: TypeAlias = Callable[[], Awaitable[None]]
"""Something to be done to a connection after the frames that wait before it."""


class Subscriber:
    """One websocket and the frames that wait for it."""

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport | None, number: int
    ) -> None:
        self._ws = ws
        self._transport = transport
        self._waiting: asyncio.Queue[str | Deed] = asyncio.Queue(FRAMES_WAITING_MAX)
        self.number = number
        self.tokens: set[str] = set()
        self.owner = ""
        """API key of a user channel."""
        self.overflowed = False

    def send(self, text: str) -> None:
        """Queue a frame; a full queue ends the connection."""
        self._enqueue(text)

    def _enqueue(self, item: str | Deed) -> None:
        if self.overflowed:
            return
        try:
            self._waiting.put_nowait(item)
        except asyncio.QueueFull:
            self.overflowed = True
            self._forget()
            self._waiting.put_nowait(self._say_too_slow)
            asyncio.get_running_loop().call_later(SLOW_CLOSE_S, self.abort)

    def _forget(self) -> None:
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def _say_too_slow(self) -> None:
        await self._ws.close(code=WSCloseCode.TRY_AGAIN_LATER, message=SLOW)

    def abort(self) -> None:
        """Cut the TCP connection, without a closing handshake."""
        if self._transport is not None:
            self._transport.abort()

    async def pump(self) -> None:
        """Write queued frames until the connection ends."""
        with suppress(ConnectionError):
            while True:
                item = await self._waiting.get()
                if isinstance(item, str):
                    await self._ws.send_str(item)
                else:
                    await item()

    async def close(self) -> None:
        """Closing handshake for those who answer, the axe for the others."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._ws.close(code=WSCloseCode.GOING_AWAY)
        self.abort()


ConnectionT = TypeVar("ConnectionT", bound=Subscriber)


class FanOut(Generic[ConnectionT]):
    """The open connections of one channel, which `connected` makes."""

    def __init__(
        self,
        notice: Notice,
        connected: Callable[[web.WebSocketResponse, asyncio.Transport | None, int], ConnectionT],
    ) -> None:
        self.connections: list[ConnectionT] = []
        """In the order in which they were opened."""
        self.overflows = 0
        self._by_token: dict[str, set[ConnectionT]] = {}
        self._notice = notice
        self._connected = connected
        self._opened = 0

    @asynccontextmanager
    async def connection(
        self, request: web.Request
    ) -> AsyncIterator[tuple[ConnectionT, web.WebSocketResponse]]:
        """Upgrade a request and pump frames to it while the context lasts."""
        ws = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await ws.prepare(request)
        connection = self._connected(ws, request.transport, self._opened)
        self._opened += 1
        self.connections.append(connection)
        self._notice.changed()
        pump = asyncio.create_task(connection.pump())
        try:
            yield connection, ws
        finally:
            self.unsubscribe(connection, tuple(connection.tokens))
            self.connections.remove(connection)
            self.overflows += connection.overflowed
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump
            self._notice.changed()

    def subscribe(self, connection: ConnectionT, tokens: Iterable[str]) -> None:
        """From now on frames about these tokens go to this connection."""
        for token in tokens:
            connection.tokens.add(token)
            self._by_token.setdefault(token, set()).add(connection)
        self._notice.changed()

    def unsubscribe(self, connection: ConnectionT, tokens: Iterable[str]) -> None:
        """Stop sending frames about these tokens."""
        for token in tokens:
            connection.tokens.discard(token)
            readers = self._by_token.get(token)
            if readers is not None:
                readers.discard(connection)
                if not readers:
                    del self._by_token[token]
        self._notice.changed()

    def readers(self, token: str) -> AbstractSet[ConnectionT]:
        """Connections subscribed to a token."""
        return self._by_token.get(token, frozenset())

    async def close(self) -> None:
        """Say good-bye to everyone, in bounded time."""
        await asyncio.gather(*(connection.close() for connection in tuple(self.connections)))
