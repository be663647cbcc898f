"""TLS over a socket that its owner reads and writes: nothing is kept where it cannot be seen.

The transports of asyncio and uvloop keep bytes in buffers of their own: a record that has come in
part only shows once the rest is there. Then it would look like an answer to what was written in
between (see `venue.trading.kept_connection`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Final, NamedTuple

READ_BYTES: Final = 16 << 10
"""A record's plain text at most."""
_HEADER_BYTES: Final = 5
"""RFC 8446, 5.1: type, version, and the length of what follows in two bytes."""


class Received(NamedTuple):
    """What the other side has said, and whether it says any more."""

    plain: bytes
    ended: bool = False
    broken: str = ""
    """Why nothing more can be read, where the end was not a proper one."""


class TlsSession:
    """The client's side of one connection."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._header = b""
        self._left = 0
        """Bytes of the current record that have not come yet."""

    async def shake_hands(self, sock: socket.socket) -> None:
        """Raises OSError (ssl.SSLError is one), also for a certificate that is not trusted. Not
        bounded in time."""
        loop = asyncio.get_running_loop()
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            if self._outgoing.pending:
                await loop.sock_sendall(sock, self._outgoing.read())
            if not done:
                data = await loop.sock_recv(sock, READ_BYTES)
                if not data:
                    raise ConnectionResetError("closed during the TLS handshake")
                self._take(data)
        with suppress(ssl.SSLWantReadError):  # what has come along with the handshake's end
            self._tls.read(1)
            raise ConnectionResetError("closed, or sent what was not asked for")

    def encrypted(self, plain: bytes) -> bytes:
        """What to write for it, before which stands whatever TLS itself has to say. Raises
        ssl.SSLError."""
        while plain:
            plain = plain[self._tls.write(plain) :]  # a record at a time
        return self._outgoing.read()

    def to_say(self) -> bytes:
        """What TLS itself has to say: that it has changed its keys, say."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def received(self, data: bytes) -> Received:
        """What is in `data`, as it came from the socket: empty at its end."""
        if data:
            self._take(data)
        else:
            self._incoming.write_eof()
        plain = bytearray()
        try:
            while piece := self._tls.read(READ_BYTES):
                plain += piece
        except ssl.SSLWantReadError:
            return Received(bytes(plain))
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError as error:
            return Received(bytes(plain), ended=True, broken=f"TLS: {error.reason or 'an error'}")
        return Received(bytes(plain), ended=True)  # with close_notify

    def between_records(self) -> bool:
        """Whether all that has come was whole records: else the rest of one is on its way."""
        return not self._left and not self._header

    def _take(self, data: bytes) -> None:
        self._incoming.write(data)
        while data:
            if self._left:
                step = min(self._left, len(data))
                self._left -= step
            else:
                step = _HEADER_BYTES - len(self._header)
                self._header += data[:step]
                if len(self._header) == _HEADER_BYTES:
                    self._left = int.from_bytes(self._header[3:], "big")
                    self._header = b""
            data = data[step:]
