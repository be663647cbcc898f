"""nats-py's client, with promises that it does not make itself (nats-py 2.16).

1. Whoever was promised encryption sends nothing without it. nats-py encrypts where a server says
   that it requires it; to any other it sends CONNECT, with the password, in the clear, whatever the
   URL says. Here `tls://` and `wss://`, and whatever was encrypted once, stay so at each
   connection: to a server that was restarted, and to those that the cluster names. What counts is
   the socket, not what a server says of itself.
2. Each address of the server's host gets its turn (`runtime.dialer`).
3. Reconnecting goes on whatever answers: nats-py's ends, in silence, at what it does not expect,
   and the client is then neither connected nor closed for good.
4. No word of a server's ends the client for good, and nothing stored ends its reading, or is taken
   for a word of the server's: whoever may publish chooses subject and headers.
5. `flush` says that the server has taken all that was sent before. nats-py's PING overtakes what
   still waits to be written: its answer says nothing of a subscription or a message of that moment.
6. Servers that the cluster no longer names are forgotten. As in nats.go, an empty list says
   nothing: a server may be told not to name any.
7. `publish_nowait` writes before it returns, and `handle` has a message handled before the next one
   is read, mostly in the call that reads the socket (`runtime.nats_reader`). nats-py passes both on
   to other tasks, each of which has to wake up for it.

It overrides what nats-py keeps to itself; tests on real servers hold it to that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast
from urllib.parse import ParseResult, urlsplit

from nats.aio.client import (
    DEFAULT_BUFFER_SIZE,
    DEFAULT_FLUSH_TIMEOUT,
    Client,
    Srv,
    _validate_subject,
)
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport, WebSocketTransport
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    FlushTimeoutError,
    MaxPayloadError,
    OutboundBufferLimitError,
    StaleConnectionError,
    UnexpectedEOF,
)
from nats.errors import Error as NatsError
from nats.protocol.command import pub_cmd
from nats.protocol.parser import AWAITING_CONTROL_LINE

from runtime.dialer import Dialer
from runtime.nats_reader import EarlyReader, whole_messages

_ENCRYPTED: Final = ("tls", "wss")
_WEBSOCKET: Final = ("ws", "wss")
Handler: TypeAlias = Callable[[Msg], None]


class NotEncryptedError(NatsError):
    """The server offers no encryption, and was told nothing."""


class HandledSubscription(Subscription):
    """Its messages are handled as they are read: none is queued."""

    def __init__(self, client: Client, number: int, subject: str, handler: Handler) -> None:
        super().__init__(client, number, subject)
        self.handler = handler


class NatsClient(Client):
    """See the top of this module."""

    def __init__(self) -> None:
        super().__init__()
        self._dialers: dict[tuple[str, int], Dialer] = {}
        """By host and port, of the servers in the pool."""
        self._was_encrypted = False
        self._telling: set[asyncio.Future[None]] = set()
        self._when_reconnected: list[Callable[[], None]] = []
        self.login_in_url = False
        """Whether it is NATS_URL that says who we are."""

    def publish_nowait(
        self, subject: str, payload: bytes, reply: str = "", *, more: bool = False
    ) -> None:
        """`publish` without waiting. It is written before this returns if nothing else waits to be
        sent, otherwise by the flusher, in its turn, as all that is published.

        `more`: another message follows at once, and the two are written together. Raises as
        `publish` does, and OutboundBufferLimitError where that would wait for the server.
        """
        _validate_subject(subject)
        if reply:
            _validate_subject(reply)
        if self.is_closed:
            raise ConnectionClosedError
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        size = len(payload)
        if size > self._max_payload:
            raise MaxPayloadError
        if size + self._pending_data_size > self._max_pending_size:
            raise OutboundBufferLimitError
        command = pub_cmd(subject, reply, payload)
        self._pending.append(command)
        self._pending_data_size += len(command)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        if more or not self._write_pending():
            self._wake_flusher()

    @property
    def room_bytes(self) -> int:
        """How much more `publish_nowait` takes, commands included, until it is written."""
        return self._max_pending_size - self._pending_data_size

    async def handle(self, subject: str, handler: Handler) -> Subscription:
        """Subscribe, and have each message handled before the next one is read. `handler` must be
        quick; what it raises goes to the error callback, and the next message comes all the same.
        """
        _validate_subject(subject, strict=True)
        if self.is_closed:
            raise ConnectionClosedError
        if self.is_draining:
            raise ConnectionDrainingError
        self._sid += 1
        subscription = HandledSubscription(self, self._sid, subject, handler)
        self._subs[self._sid] = subscription
        await self._send_subscribe(subscription)
        return subscription

    def when_reconnected(self, tell: Callable[[], None]) -> None:
        """`tell` is called after each reconnect, once the server has all subscriptions again. What
        was asked before the connection broke, nobody may answer any more."""
        self._when_reconnected.append(tell)

    def _tell_reconnected(self) -> None:
        for tell in self._when_reconnected:
            tell()

    def _write_pending(self) -> bool:
        """Write what waits to be sent, unless the server has still to take what came before.

        Only then is there no need to wait until it has: the bound on what waits stays nats-py's.
        """
        transport = self._transport
        if not (isinstance(transport, _DialledTransport) and self.is_connected and transport.idle):
            return False
        pending, self._pending, self._pending_data_size = self._pending, [], 0
        transport.writelines(pending)  # type: ignore[no-untyped-call]  # nats-py's
        return True

    def _wake_flusher(self) -> None:
        flusher, queue = self._flusher_task, self._flush_queue
        if queue is not None and queue.empty() and flusher is not None and not flusher.done():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _connect_to_server(self, s: Srv) -> None:
        uri = s.uri
        if uri.scheme in _WEBSOCKET:
            try:
                async with asyncio.timeout(self.options["connect_timeout"]):  # aiohttp's is minutes
                    await super()._connect_to_server(s)
            except BaseException:
                await self._drop_websocket()
                raise
            return
        s.last_attempt = time.monotonic()
        self._hang_up()  # on a try that failed: nats-py would leave it open
        dialer = self._dialers.setdefault(_place(uri), Dialer())
        transport = _DialledTransport(dialer, self._take_early)
        await transport.connect(uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])
        self._transport = transport

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        scheme = self._server_uri.scheme
        if initial_connection and info.get("tls_available") and scheme == "tls":
            info["tls_required"] = True  # the server leaves it to us
        named = [each for each in info.get("connect_urls") or () if _is_address(each)]
        await super()._process_info({**info, "connect_urls": named}, initial_connection)
        if named:
            self._server_pool = [
                server
                for server in self._server_pool
                if not server.discovered
                or server is self._current_server
                or server.uri.netloc in named
            ]
            kept = {_place(server.uri) for server in self._server_pool}
            self._dialers = {at: each for at, each in self._dialers.items() if at in kept}
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

    async def _drop_websocket(self) -> None:
        """Of a try that failed: nats-py closes only what was connected, and not its session."""
        transport, self._transport = self._transport, None
        if isinstance(transport, WebSocketTransport) and transport._client is not None:
            await transport._client.close()

    async def _read_loop(self) -> None:
        await super()._read_loop()
        if self.is_connected:  # it has ended at what it does not expect; nobody reads any more
            await self._process_op_err(NatsError("the server's answers are not read any more"))

    async def _process_err(self, err_msg: str) -> None:
        """As nats-py's, but no word of the server's ends the client for good: it tries again."""
        if "permissions violation" in err_msg.lower() or self.is_connecting:
            await super()._process_err(err_msg)
            return
        error = NatsError(f"nats: {err_msg.strip(chr(39))}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        """As nats-py's, which stops reading for good at a subject that is no UTF-8, and takes for
        a word of the server's whatever has its header Status, also what was stored like that."""
        if not (subject.isascii() and reply.isascii()):
            subject = subject.decode("utf-8", "replace").encode()
            reply = reply.decode("utf-8", "replace").encode()
        if reply.startswith(b"$JS.ACK."):
            headers = b""  # of what is stored nobody reads any
        subscription = self._subs.get(sid)
        if not isinstance(subscription, HandledSubscription):
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        read = await self._process_headers(headers) if headers else None
        message = self._build_message(sid, subject, reply, data, read)
        if (error := self._handled(subscription, message)) is not None:
            await self._error_cb(error)

    def _take_early(self, data: bytes) -> bool:
        """Handle what was just read, if all of it is whole messages for handlers; nothing of it is
        handled otherwise. The parser must not be in the middle of one."""
        parser, subscriptions = self._ps, self._subs
        if parser.buf or parser.state != AWAITING_CONTROL_LINE or not self.is_connected:
            return False
        messages = whole_messages(data)
        for sid, *_ in messages:
            if not isinstance(subscriptions.get(sid), HandledSubscription):
                return False
        for sid, subject, reply, payload in messages:
            subscription = subscriptions.get(sid)  # the one before may have ended it
            if isinstance(subscription, HandledSubscription):
                message = Msg(self, subject, reply, payload, None, _sid=sid)
                if (error := self._handled(subscription, message)) is not None:
                    telling = asyncio.ensure_future(self._error_cb(error))
                    self._telling.add(telling)
                    telling.add_done_callback(self._telling.discard)
        return bool(messages)

    def _handled(self, subscription: HandledSubscription, message: Msg) -> Exception | None:
        """What its handler raised."""
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(message.data)
        subscription._received += 1
        if 0 < subscription._max_msgs <= subscription._received:
            self._remove_sub(subscription._id)
        try:
            subscription.handler(message)
        except Exception as error:  # noqa: BLE001 - as nats-py does
            return error
        return None

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except (OSError, NatsError, TimeoutError):
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise NatsError(f"not the answer of a nats-server: {what}") from error
        if isinstance(self._transport, _DialledTransport):
            self._transport.proven()

    async def _process_op_err(self, e: Exception) -> None:
        # An address may let small packets through and swallow large ones.
        silent = isinstance(e, StaleConnectionError) and not isinstance(e, UnexpectedEOF)
        if silent and isinstance(self._transport, _DialledTransport):
            self._transport.doubt()
        await super()._process_op_err(e)

    async def _attempt_reconnect(self) -> None:
        await super()._attempt_reconnect()
        if self.is_connected:
            self._tell_reconnected()

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        if self._transport and self._pending and self.is_connected:
            self._transport.writelines(self._pending)
            self._pending, self._pending_data_size = [], 0
        await super()._send_ping(future)

    async def flush(self, timeout: int = DEFAULT_FLUSH_TIMEOUT) -> None:
        """As nats-py's, which does so at the end of each reconnect."""
        try:
            await super().flush(timeout)
        except FlushTimeoutError:
            if isinstance(self._transport, _DialledTransport):
                self._transport.doubt()
            raise


class _DialledTransport(TcpTransport):
    """TCP to whichever address of the host answers."""

    def __init__(self, dialer: Dialer, take: Callable[[bytes], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py's
        self._dialer = dialer
        self._take = take

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        async with asyncio.timeout(connect_timeout):
            sock = await self._dialer.connect(uri.hostname or "", uri.port or 4222)
            # As `asyncio.open_connection` does it, with a reader of ours.
            loop = asyncio.get_running_loop()
            reader = EarlyReader(self._take, buffer_size)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    @property
    def encrypted(self) -> bool:
        """Whether what is written now leaves encrypted."""
        writer = self._io_writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    @property
    def idle(self) -> bool:
        """Whether all that was written so far is on its way, and more can be written."""
        if self._io_writer is None:
            return False
        transport = self._io_writer.transport
        return not transport.is_closing() and transport.get_write_buffer_size() == 0

    def proven(self) -> None:
        """The server has let us in."""
        self._dialer.proven()

    def doubt(self) -> None:
        """The server does not answer any more."""
        self._dialer.doubt()


def _place(uri: ParseResult) -> tuple[str, int]:
    return uri.hostname or "", uri.port or 4222


def _is_address(text: object) -> bool:
    """Whether this is a host and a port, of a server that another one names."""
    if not isinstance(text, str):
        return False
    try:
        parts = urlsplit(f"nats://{text}")
        return bool(parts.hostname and parts.port) and parts.netloc == text
    except ValueError:
        return False


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
