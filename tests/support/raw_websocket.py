"""A websocket server whose every byte after the handshake a test says, and our side of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from venue.errors import ConnectionClosedError
from venue.websocket_connection import WebSocket, open_websocket

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def raw_frame(payload: bytes, opcode: int = 1, *, fin: bool = True, bits: int = 0) -> bytes:
    """As a server sends it; `bits`: the reserved ones."""
    first, length = (0x80 if fin else 0) | bits << 4 | opcode, len(payload)
    if length < 126:
        return bytes([first, length]) + payload
    if length < 1 << 16:
        return bytes([first, 126]) + length.to_bytes(2) + payload
    return bytes([first, 127]) + length.to_bytes(8) + payload


class RawCaller:
    """One connection, after the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, wire: bytes) -> None:
        self.writer.write(wire)

    async def told(self) -> tuple[int, bytes]:
        """(opcode, payload) of the client's next frame, which is short."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2))
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(length)
        return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))

    async def told_close(self) -> tuple[int, str]:
        """(code, reason) of the client's close frame, whatever else comes before."""
        while True:
            opcode, payload = await self.told()
            if opcode == 8:
                return int.from_bytes(payload[:2]), payload[2:].decode()

    def hang_up(self) -> None:
        self.writer.transport.abort()


class RawWebsockets:
    """`async with RawWebsockets().open() as server`; `first` goes out with the handshake's answer,
    `answer` instead of it."""

    def __init__(self, *, first: bytes = b"", answer: bytes | None = None) -> None:
        self.url, self.callers = "", asyncio.Queue[RawCaller]()
        self._first, self._answer = first, answer
        self.head = b""

    async def caller(self) -> RawCaller:
        return await self.callers.get()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        lines = dict(each.split(b": ", 1) for each in self.head.split(b"\r\n")[1:-2])
        accept = base64.b64encode(hashlib.sha1(lines[b"Sec-WebSocket-Key"] + _GUID).digest())  # noqa: S324
        answer = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        writer.write((answer if self._answer is None else self._answer) + self._first)
        if self._answer is not None:
            writer.close()
        else:
            self.callers.put_nowait(RawCaller(reader, writer))

    @asynccontextmanager
    async def open(self, context: ssl.SSLContext | None = None) -> AsyncIterator[RawWebsockets]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        (port,) = {each.getsockname()[1] for each in server.sockets}
        self.url = f"{'wss' if context else 'ws'}://127.0.0.1:{port}/ws"
        try:
            yield self
        finally:
            server.close()
            while not self.callers.empty():
                self.callers.get_nowait().hang_up()


class Taker:
    """Takes what a connection brings; `end()` waits for its end."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.frames: list[bytes] = []
        self.told: list[int] = []
        """How many had been taken when no other followed in the same read."""
        self._turn = asyncio.Event()
        websocket.frames.begin(self._take, self._turn.set, on_taken=self._on_taken)

    def _take(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._turn.set()

    def _on_taken(self) -> None:
        if not self.told or self.told[-1] != len(self.frames):
            self.told.append(len(self.frames))

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            while len(self.frames) < count and self.websocket.frames.ended is None:
                self._turn.clear()
                await self._turn.wait()
        return self.frames

    async def end(self) -> str:
        await self.until(1 << 30)
        error = self.websocket.frames.ended
        assert isinstance(error, ConnectionClosedError)
        return str(error)


@asynccontextmanager
async def opened(
    server: RawWebsockets | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[WebSocket, RawCaller]]:
    async with (
        (server or RawWebsockets()).open(context) as listening,
        open_websocket(listening.url) as websocket,
    ):
        caller = await listening.caller()
        yield websocket, caller
        caller.hang_up()  # else closing waits for its good-bye
