"""One connection of HTTP/1.1, on which a request is written once, and which never takes for its
answer what came before it.

1. Right before a request is written, all that the machine has received is read. An end, a reset, or
   one byte that nobody asked for, also the first bytes of a TLS record: the connection is closed,
   and nothing is written. Between that look and the write nothing is waited for.
2. The write goes to the socket itself. As long as the kernel has taken no byte of it, as of a
   connection that was reset, the request was never sent: that is the proof, and the only one. Once
   it has taken one, the connection never says so again, whatever follows.
3. An answer counts when it is whole, and it has to say its length for that: where only the end of
   the connection ends it, what takes a refusal back may have been cut off. A connection is used
   again only after a whole answer, beyond which nothing has come, to a request written in full.
4. An answer is given up beyond its bound. None is asked for compressed, and one that comes so is
   not read (a kilobyte may unpack to a gigabyte). What is no HTTP is quoted nowhere: it may repeat
   the request, and that has credentials in it.

h11 reads the answers. Why the rest is written here: see `docs/explanation/decisions.md`.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from typing import Final, TypeAlias

import h11

from runtime.dialer import Dialer
from venue.errors import OrderUnknownError
from venue.trading.tls_session import READ_BYTES, Received, TlsSession
from venue.wire.order_answer import HttpAnswer

_READS_MAX: Final = 16
"""At once. Each answer is shorter; who has sent more before a request is not heard out."""
_ASKED: Final = h11.Request(
    method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")]
)
"""What h11 wants to know of a request to read its answer; it may have been a GET as well."""
_ASKED_IN_FULL: Final = h11.EndOfMessage()
_HEADERS_READ: Final = frozenset({b"content-type", b"content-encoding", b"retry-after"})
Answering: TypeAlias = "asyncio.Future[HttpAnswer]"
"""Fails with OrderUnknownError."""


class KeptConnection:
    """To be made inside the loop that uses it; owns the socket, which is connected and does not
    block."""

    def __init__(self, sock: socket.socket, tls: TlsSession | None, bytes_max: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._tls = tls
        self._bytes_max = bytes_max
        self._unwritten = b""
        self._answering: Answering | None = None
        self._answer = _Answer()
        self.closed = False
        self._there = select.poll()  # asked before each read: an error costs more than an answer
        self._there.register(sock, select.POLLIN)
        self._loop.add_reader(sock, self._read_all)

    def begin(self, request: bytes) -> Answering | None:
        """Write a request, once; what its answer will be. None: not one byte of it was written, and
        the connection is closed. Only for a connection that waits for no answer.
        """
        heard_out = not self.closed and self._read_all()
        if not heard_out or self._unwritten or not self._is_between_records():
            self.close("what was sent was not asked for")
            return None
        try:
            written = request if self._tls is None else self._tls.encrypted(request)
            taken = self._socket.send(written)
        except OSError as error:  # ssl.SSLError too: none of it was written then
            self.close(f"{type(error).__name__}: {error}")
            return None
        self._answering = self._loop.create_future()
        self._answer = _Answer()
        self._unwritten = written[taken:]
        if self._unwritten:
            self._loop.add_writer(self._socket, self._write_rest)
        return self._answering

    def give_up(self, why: str) -> None:
        """Close it, unless the answer has come by now: a loop that stood still may tell of the time
        before it tells of the socket."""
        if self._answering is not None:
            self._read_all()
        if self._answering is not None:
            self.close(why)

    def close(self, why: str) -> None:
        """At once. Whoever waits for an answer is told why there is none."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if self._answering is not None and not self._answering.done():
            self._answering.set_exception(OrderUnknownError(why))
        self._answering = None

    def _is_between_records(self) -> bool:
        return self._tls is None or self._tls.between_records()

    def _read_all(self) -> bool:
        """Read until nothing is there. False: more is there, or the connection is closed.

        uvloop tells of a socket with an error once, and no more: what is left then is never read.
        """
        for _ in range(_READS_MAX):
            if not self._there.poll(0):  # neither bytes, nor an end, nor an error
                return True
            try:
                data = self._socket.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError as error:
                self.close(f"{type(error).__name__}: {error}")
                return False
            if self._tls is None:
                self._take(Received(data, ended=not data))
            else:
                self._take(self._tls.received(data))
            if self.closed:
                return False
        return False

    def _take(self, received: Received) -> None:
        answering = self._answering
        if answering is None:
            if received.plain or received.ended:
                self.close("the venue closed it, or sent what was not asked for")
        else:
            try:
                self._read_answer(received, answering)
            except h11.RemoteProtocolError:
                self.close(f"no HTTP/1.1 within {self._answer.bytes_read} bytes")
            except OrderUnknownError as error:
                self.close(str(error))
        if self._tls is not None and not self.closed and (said := self._tls.to_say()):
            self._unwritten += said
            self._write_rest()

    def _read_answer(self, received: Received, answering: Answering) -> None:
        answer = self._answer
        answer.read(received.plain, self._bytes_max)
        if not answer.whole:
            if received.ended:
                how = received.broken or "closed by the venue"
                raise OrderUnknownError(f"{how} after {answer.bytes_read} bytes of an answer")
            return
        if not answering.done():  # else it was given up
            answering.set_result(answer.as_read())
        self._answering = None
        if (
            received.ended
            or self._unwritten
            or not self._is_between_records()
            or not answer.nothing_follows()
        ):
            self.close("not to be used again")

    def _write_rest(self) -> None:
        try:
            taken = self._socket.send(self._unwritten)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError as error:
            self.close(f"{type(error).__name__}: {error}")
            return
        self._unwritten = self._unwritten[taken:]
        if self._unwritten:
            self._loop.add_writer(self._socket, self._write_rest)
        else:
            self._loop.remove_writer(self._socket)


class _Answer:
    """The answer to one request, as far as it has come."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._http.send(_ASKED)
        self._http.send(_ASKED_IN_FULL)
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self.bytes_read = 0
        self.whole = False

    def read(self, plain: bytes, bytes_max: int) -> None:
        """Raises OrderUnknownError, h11.RemoteProtocolError."""
        self.bytes_read += len(plain)
        if self.bytes_read > bytes_max:
            raise OrderUnknownError(f"an answer of more than {bytes_max} bytes")
        if plain:
            self._http.receive_data(plain)
            self._read_on()

    def as_read(self) -> HttpAnswer:
        """The whole answer."""
        return HttpAnswer(
            status=self._status,
            body=bytes(self._body),
            content_type=self._header(b"content-type"),
            retry_after=self._header(b"retry-after"),
        )

    def nothing_follows(self) -> bool:
        """Whether both sides keep the connection, and nothing has come beyond the answer."""
        http = self._http
        kept = http.our_state is h11.DONE and http.their_state is h11.DONE
        return kept and http.trailing_data == (b"", False)

    def _read_on(self) -> None:
        while not self.whole:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.whole = True
            elif isinstance(event, h11.Response):
                self._status = event.status_code
                for raw_name, value in event.headers.raw_items():
                    if (name := raw_name.lower()) in _HEADERS_READ:
                        known = self._headers.get(name)
                        self._headers[name] = value if known is None else known + b", " + value
                encoding = self._header(b"content-encoding").strip().lower()
                if encoding not in ("identity", ""):
                    raise OrderUnknownError("a compressed answer")
            elif not isinstance(event, h11.InformationalResponse):
                return

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")


async def open_connection(
    dialer: Dialer, host: str, port: int, context: ssl.SSLContext | None, bytes_max: int
) -> KeptConnection:
    """Raises OSError. Not bounded in time."""
    sock = await dialer.connect(host, port)
    try:
        tls = None if context is None else TlsSession(context, host)
        if tls is not None:
            await tls.shake_hands(sock)
        return KeptConnection(sock, tls, bytes_max)
    except BaseException:
        sock.close()
        raise
