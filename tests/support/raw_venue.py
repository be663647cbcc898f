"""A venue whose every byte a test says: sockets that send, end and break when they are told, plain
or TLS. Nothing runs in the background: a test knows what the other side can have read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_ONE_READ: Final = 1 << 18
_RESETS_AT_CLOSE: Final = struct.pack("ii", 1, 0)


class RawPeer:
    """The venue's side of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = b""
        """What has been read, decrypted, and is no whole request yet."""
        self.requests = 0
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    async def shake_hands(self, context: ssl.SSLContext) -> bytes:
        """The server's side of TLS; what it would send right after, which a test is to send."""
        loop = asyncio.get_running_loop()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                self._tls.do_handshake()
                self._hear(b"")  # the request may have come along
                return self._outgoing.read()
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    await loop.sock_sendall(self.socket, self._outgoing.read())
            self._incoming.write(await loop.sock_recv(self.socket, _ONE_READ))

    async def read_bytes(self, count: int) -> None:
        """Exactly so many of the bytes on the wire: the rest stays unread. Over TLS what came with
        the handshake's end counts as read."""
        loop = asyncio.get_running_loop()
        while count:
            piece = await loop.sock_recv(self.socket, count)
            assert piece, "the client has ended"
            count -= len(piece)
            self._hear(piece)

    async def read_request(self) -> bytes:
        """One whole request."""
        loop = asyncio.get_running_loop()
        while (end := self._request_ends()) is None:
            piece = await loop.sock_recv(self.socket, _ONE_READ)
            assert piece, "the client has ended"
            self._hear(piece)
        request, self.received = self.received[:end], self.received[end:]
        self.requests += 1
        return request

    async def skip_request(self) -> None:
        """Read one, and say nothing."""
        await self.read_request()

    async def hello(self, context: ssl.SSLContext) -> bytes:
        """What a server says first in a handshake whose first bytes have been read."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(self.received + await self._more())
        self.received = b""
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    async def _more(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, _ONE_READ)

    async def read_to_end(self) -> bytes:
        """All that comes until the client ends or breaks the connection."""
        loop = asyncio.get_running_loop()
        try:
            while piece := await loop.sock_recv(self.socket, _ONE_READ):
                self._hear(piece)
        except ConnectionResetError:
            pass
        return self.received

    def on_wire(self, plain: bytes) -> bytes:
        """The bytes that say this: one record of TLS."""
        if self._tls is None:
            return plain
        self._tls.write(plain)
        return self._outgoing.read()

    def close_notify(self) -> bytes:
        """The record with which TLS ends."""
        assert self._tls is not None
        with suppress(ssl.SSLError):  # the other side has not said so
            self._tls.unwrap()
        return self._outgoing.read()

    def send(self, wire: bytes) -> None:
        """Bytes as they are."""
        self.socket.sendall(wire)

    def say(self, plain: bytes) -> None:
        """A text, encrypted over TLS."""
        self.send(self.on_wire(plain))

    def end(self) -> None:
        """FIN; what has not been read does not make a reset of it."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS_AT_CLOSE)
        self.socket.close()

    def _hear(self, wire: bytes) -> None:
        if self._tls is None:
            self.received += wire
            return
        self._incoming.write(wire)
        try:
            while piece := self._tls.read(_ONE_READ):
                self.received += piece
        except ssl.SSLWantReadError:
            pass

    def _request_ends(self) -> int | None:
        head, end, rest = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        lengths = [x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        return None if len(rest) < length else len(head) + 4 + length


class RawVenue:
    """Listens on `port`; `peers` are its connections, in their order."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._listener = listener
        self._tls = tls
        self.port: int = listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self.peers: list[RawPeer] = []

    async def accept(self) -> RawPeer:
        """The next connection; over TLS, after the handshake and its tickets."""
        peer = await self.accept_plain()
        if self._tls is not None:
            peer.send(await peer.shake_hands(self._tls))
        return peer

    async def accept_plain(self) -> RawPeer:
        """The next connection, before any TLS."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peers.append(RawPeer(sock))
        return self.peers[-1]

    def nobody_else_came(self) -> bool:
        """Whether no connection waits to be accepted."""
        try:
            self._listener.accept()
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        """Refuse further connections; those that are there stay."""
        self._listener.close()

    def hang_up(self) -> None:
        """Forget all connections."""
        for peer in self.peers:
            peer.socket.close()
        self.peers = []


@contextmanager
def raw_venue(tls: ssl.SSLContext | None = None) -> Iterator[RawVenue]:
    """A venue on a free port, whose sockets are closed in the end."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)
    venue = RawVenue(listener, tls)
    try:
        yield venue
    finally:
        listener.close()
        venue.hang_up()
