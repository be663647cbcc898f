"""nats-py's client, with two promises that it does not make itself (nats-py 2.16).

1. Whoever was promised encryption sends nothing without it. nats-py encrypts where a server says
   that it requires it; to any other it sends CONNECT, with the password, in the clear, whatever the
   URL says. Here `tls://` and `wss://`, and whatever was encrypted once, stay so at each
   connection: to a server that was restarted, and to those that the cluster names. What counts is
   the socket, not what a server says of itself.
2. Each address of the server's host gets its turn (`runtime.dialer`).

It overrides what nats-py keeps to itself; tests on real servers hold it to that.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, cast
from urllib.parse import ParseResult

from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.transport import TcpTransport, WebSocketTransport
from nats.errors import Error as NatsError

from runtime.dialer import Dialer

_ENCRYPTED: Final = ("tls", "wss")
_WEBSOCKET: Final = ("ws", "wss")


class NotEncryptedError(NatsError):
    """The server offers no encryption, and was told nothing."""


class NatsClient(Client):
    """See the top of this module."""

    def __init__(self) -> None:
        super().__init__()
        self._dialers: dict[str, Dialer] = {}
        """By host: the cluster's servers are few."""
        self._was_encrypted = False

    async def _connect_to_server(self, s: Srv) -> None:
        uri = s.uri
        if uri.scheme in _WEBSOCKET:
            async with asyncio.timeout(self.options["connect_timeout"]):  # aiohttp's is minutes
                await super()._connect_to_server(s)
            return
        s.last_attempt = time.monotonic()
        self._hang_up()  # on a try that failed: nats-py would leave it open
        transport = _DialledTransport(self._dialers.setdefault(uri.hostname or "", Dialer()))
        await transport.connect(uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])
        self._transport = transport

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        scheme = self._server_uri.scheme
        if initial_connection and info.get("tls_available") and scheme == "tls":
            info["tls_required"] = True  # the server leaves it to us
        await super()._process_info(info, initial_connection)
        if scheme in _WEBSOCKET:
            for server in self._server_pool:
                if server.discovered:  # nats-py takes them for nats://
                    server.uri = server.uri._replace(scheme=scheme)

    def _connect_command(self) -> bytes:
        """CONNECT, which holds the password."""
        uri = self._server_uri
        if _is_encrypted(self._transport):
            self._was_encrypted = True
        elif uri.scheme in _ENCRYPTED or self._was_encrypted:
            self._hang_up()  # whatever waits to be sent must not leave either
            raise NotEncryptedError(_refusal(uri, self._was_encrypted))
        return super()._connect_command()

    @property
    def _server_uri(self) -> ParseResult:
        return cast(Srv, self._current_server).uri  # set by whoever connects

    def _hang_up(self) -> None:
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call]  # nats-py's

    async def _process_connect_init(self) -> None:
        await super()._process_connect_init()
        if isinstance(self._transport, _DialledTransport):
            self._transport.proven()


class _DialledTransport(TcpTransport):
    """TCP to whichever address of the host answers."""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py's
        self._dialer = dialer

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        async with asyncio.timeout(connect_timeout):
            sock = await self._dialer.connect(uri.hostname or "", uri.port or 4222)
            reader, writer = await asyncio.open_connection(sock=sock, limit=buffer_size)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    @property
    def encrypted(self) -> bool:
        """Whether what is written now leaves encrypted."""
        writer = self._io_writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    def proven(self) -> None:
        """The server has let us in."""
        self._dialer.proven()


def _is_encrypted(transport: object) -> bool:
    if isinstance(transport, _DialledTransport):
        return transport.encrypted
    if isinstance(transport, WebSocketTransport) and transport._ws is not None:
        return transport._ws.get_extra_info("ssl_object") is not None
    return False


def _refusal(uri: ParseResult, was_encrypted: bool) -> str:
    where = f"{uri.hostname}:{uri.port}" if uri.port else str(uri.hostname)
    if uri.scheme in _ENCRYPTED or not was_encrypted:
        why = f"{uri.scheme}:// is wanted, and the server at {where} offers no TLS"
    else:
        why = f"the server at {where} offers no TLS any more"
    return f"{why}; nothing was sent to it, no password either: set TLS up there"
