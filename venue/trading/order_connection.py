"""The connections that orders leave on, and no other request than what keeps them open.

Each request is written once, never again, on no connection: no redirect is followed and nothing is
tried again. While it waits for its answer, a connection is a request's own. One is kept open with a
spare; where both are gone or in use, one is made within half a second, or nothing is sent: a book
grows old meanwhile, also while the event loop stands still.

The headers are those of the official client, byte for byte and in its order: nobody knows which of
them the venue, or what filters before it, looks at.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
import ssl
import time
from typing import Final

import httpx
import msgspec

from runtime.dialer import Dialer
from venue.auth import Credentials, secret_bytes
from venue.errors import (
    NotSentError,
    VenueRefusedError,
    VenueUnreachableError,
    one_line,
)
from venue.trading.connections import ORDER_ANSWER_BYTES_MAX
from venue.trading.kept_connection import Answering, KeptConnection, open_connection
from venue.wire.errors import UNDECODABLE, decoded
from venue.wire.order_answer import HttpAnswer

ANSWER_TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 0.5
KEEP_WARM_TIMEOUT_S: Final = 2.0
"""For an answer that only shows that a connection is alive: shorter, so that a silent one still
leaves time for another before whoever asks gives up."""
TURN_TIMEOUT_S: Final = 0.5
"""How long an order waits while there are as many connections as there may be."""
CONNECTIONS_MAX: Final = 16
KEPT: Final = 2
"""Connections that are open while no order is on its way."""
_PORTS: Final = {"http": 80, "https": 443}
_ORDERS: Final = "/order"
_CLOSED_ONLY: Final = "/auth/ban-status/closed-only"
_HEADER: Final = re.compile(r"[!-~]+")


class _ClosedOnly(msgspec.Struct):
    closed_only: bool


_closed_only: Final = msgspec.json.Decoder(_ClosedOnly)


class OrderConnection:
    """To be made inside the loop that uses it."""

    def __init__(
        self, clob_url: str, credentials: Credentials, tls: ssl.SSLContext | None = None
    ) -> None:
        """`tls` says whom an https URL trusts; None: whom the official client trusts.

        Raises ValueError for credentials that no header can have; it does not show them.
        """
        url = httpx.URL(clob_url)
        self._host = url.raw_host.decode("ascii")
        self._port = url.port or _PORTS[url.scheme]
        self._tls = (tls or _trusted()) if url.scheme == "https" else None
        self._credentials = credentials
        self._requests = _Requests(url, credentials)
        self._dialer = Dialer()
        self._latest: KeptConnection | None = None
        """What the dialer takes words about; None while that is no connection of use."""
        self._turns = asyncio.Semaphore(CONNECTIONS_MAX)
        self._open: set[KeptConnection] = set()
        self._idle: list[KeptConnection] = []
        """Those of `_open` that wait for no answer; whatever answered latest is last."""
        self._closed = False

    async def post(self, body: bytes, timeout_s: float = ANSWER_TIMEOUT_S) -> HttpAnswer:
        """Send an order once; the answer as it is, whatever its status, without our credentials.

        Raises NotSentError, OrderUnknownError: also when nothing came within `timeout_s`, in which
        a connection has to be made, too, or more than ORDER_ANSWER_BYTES_MAX. Who cancels this
        knows nothing of the order.
        """
        until_s = asyncio.get_running_loop().time() + timeout_s
        request, signature = self._requests.made("POST", _ORDERS, body)
        answer = await self._exchange(request, until_s)
        return self._blotted(answer, signature)

    def rehearse(self, body: bytes) -> None:
        """Make the request for an order, as `post` does, for no connection."""
        self._requests.made("POST", _ORDERS, body)

    async def keep_warm(self, timeout_s: float = KEEP_WARM_TIMEOUT_S) -> bool:
        """Ask something cheap on the connections that are kept, one after the other, and make those
        that are missing; whether the venue lets the account only close positions.

        That is how a connection that died without a word is noticed. Raises VenueError when the
        last one has brought no answer, or none that is a success.
        """
        self._idle = [each for each in self._idle if not each.closed]
        for each in self._idle[:-KEPT]:
            self._drop(each, "more than are kept open")
        closed_only = False
        failed: VenueUnreachableError | VenueRefusedError | None = None
        for _ in range(KEPT):
            try:
                closed_only, failed = await self._ask_closed_only(timeout_s), None
            except (VenueUnreachableError, VenueRefusedError) as error:
                failed = error
        if failed is not None:
            raise failed
        return closed_only

    async def close(self) -> None:
        """Close all connections. Orders that wait for an answer stay unknown."""
        self._closed = True
        for each in tuple(self._open):
            self._drop(each, "closed by us")

    async def _ask_closed_only(self, timeout_s: float) -> bool:
        until_s = asyncio.get_running_loop().time() + timeout_s
        request, signature = self._requests.made("GET", _CLOSED_ONLY)
        answer = await self._exchange(request, until_s, to_keep=True)
        answer = self._blotted(answer, signature)
        if answer.status != 200:
            raise VenueRefusedError(answer.status, answer.body.decode("utf-8", "replace"))
        try:
            return decoded(_closed_only.decode, answer.body).closed_only
        except UNDECODABLE as error:
            raise VenueUnreachableError("no answer to whether the account may trade") from error

    async def _exchange(
        self, request: bytes, until_s: float, *, to_keep: bool = False
    ) -> HttpAnswer:
        if self._turns.locked():
            await self._wait_for_turn()
        else:
            await self._turns.acquire()  # at once
        try:
            begun = self._begin_on_open(request, to_keep=to_keep)
            connection, answering = begun or await self._begin_on_new(request)
            return await self._answer(connection, answering, until_s)
        finally:
            self._turns.release()

    async def _wait_for_turn(self) -> None:
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S) as limit:
                await self._turns.acquire()
            if not _is_over(limit):
                return
            self._turns.release()
        except TimeoutError:
            pass
        text = f"{CONNECTIONS_MAX} orders wait for their answers: no connection was free"
        raise NotSentError(text)

    def _begin_on_open(
        self, request: bytes, *, to_keep: bool
    ) -> tuple[KeptConnection, Answering] | None:
        """None: there is no connection that takes the request, and none has had a byte of it."""
        if to_keep:
            self._open = {each for each in self._open if not each.closed}
            if len(self._open) < KEPT:
                return None
        while self._idle:
            connection = self._idle.pop(0 if to_keep else -1)
            if (answering := connection.begin(request)) is not None:
                return connection, answering
            self._open.discard(connection)
        return None

    async def _begin_on_new(self, request: bytes) -> tuple[KeptConnection, Answering]:
        self._latest = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S) as limit:
                connection = await open_connection(
                    self._dialer, self._host, self._port, self._tls, ORDER_ANSWER_BYTES_MAX
                )
        except TimeoutError as error:
            raise NotSentError(f"not connected within {CONNECT_TIMEOUT_S:g} s") from error
        except OSError as error:
            raise NotSentError(one_line(f"not connected: {error}")) from error
        if _is_over(limit):
            connection.close("too late")
            raise NotSentError(f"connected, but not within {CONNECT_TIMEOUT_S:g} s")
        if self._closed:
            connection.close("closed by us")
            raise NotSentError("closed by us")
        if (answering := connection.begin(request)) is None:
            raise NotSentError("the venue closed the new connection before anything was written")
        self._open.add(connection)
        self._latest = connection
        return connection, answering

    async def _answer(
        self, connection: KeptConnection, answering: Answering, until_s: float
    ) -> HttpAnswer:
        timer = asyncio.get_running_loop().call_at(until_s, connection.give_up, "no answer in time")
        try:
            answer = await answering
        except BaseException:  # also of who gives up before we do
            if connection is self._latest:
                self._dialer.doubt()
            connection.close("given up")
            raise
        finally:
            timer.cancel()
        if connection is self._latest:
            self._dialer.proven()
        if connection.closed:
            self._open.discard(connection)
        else:
            self._idle.append(connection)
        return answer

    def _drop(self, connection: KeptConnection, why: str) -> None:
        connection.close(why)
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _blotted(self, answer: HttpAnswer, signature: bytes) -> HttpAnswer:
        """An answer may repeat the request, and it is stored, published and shown."""

        # The signature is plain: what it is made of no JSON or URL writes otherwise.
        plain = signature.decode().rstrip("=")

        def blot(text: str) -> str:
            return self._credentials.without(text).replace(plain, "***") if text else text

        return HttpAnswer(
            status=answer.status,
            body=blot(answer.body.decode("latin-1")).encode("latin-1"),
            content_type=blot(answer.content_type),
            retry_after=blot(answer.retry_after),
        )


class _Requests:
    """Requests as the official client writes them: all that does not change is laid out once."""

    def __init__(self, url: httpx.URL, credentials: Credentials) -> None:
        given = (credentials.address, credentials.key, credentials.passphrase)
        if not all(map(_HEADER.fullmatch, given)):
            raise ValueError("credentials that no header can have")
        try:
            self._unsigned = hmac.new(secret_bytes(credentials.secret), digestmod="sha256")
        except ValueError:
            raise ValueError("the secret of the API credentials is not base64") from None
        self._base = url.raw_path.decode("ascii").rstrip("/")
        self._first = (
            f" HTTP/1.1\r\nHost: {url.netloc.decode('ascii')}\r\n"
            "Accept: */*\r\nAccept-Encoding: identity\r\nConnection: keep-alive\r\n"
            f"User-Agent: python-httpx/{httpx.__version__}\r\n"
        )
        self._who = (
            f"POLY_ADDRESS: {credentials.address}\r\nPOLY_API_KEY: {credentials.key}\r\n"
            f"POLY_PASSPHRASE: {credentials.passphrase}\r\nPOLY_SIGNATURE: "
        )
        self._heads = {
            each: self._head(*each) for each in (("POST", _ORDERS), ("GET", _CLOSED_ONLY))
        }

    def made(self, method: str, path: str, body: bytes = b"") -> tuple[bytes, bytes]:
        """A whole request, signed for this second, and its signature."""
        now_s = b"%d" % int(time.time())
        signing = self._unsigned.copy()  # the key is laid out in it
        signing.update(b"%b%b%b%b" % (now_s, method.encode(), path.encode(), body))
        signature = base64.urlsafe_b64encode(signing.digest())
        length = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
        head = self._heads.get((method, path)) or self._head(method, path)
        parts = (head, signature, now_s, length, body)
        return b"%b%b\r\nPOLY_TIMESTAMP: %b\r\n%b\r\n%b" % parts, signature

    def _head(self, method: str, path: str) -> bytes:
        """All before the signature."""
        kind = "Content-Type: application/json\r\n" if method == "POST" else ""
        return f"{method} {self._base}{path}{self._first}{kind}{self._who}".encode()


def _is_over(limit: asyncio.Timeout) -> bool:
    """Whether its time was over before what it bounds was done: a loop that stood still does not
    say so, and an order must not leave after its time."""
    when = limit.when()
    return when is not None and asyncio.get_running_loop().time() >= when


def _trusted() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
