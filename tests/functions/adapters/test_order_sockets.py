"""Answers to `POST /order`, byte by byte: bounded, sent once, and never another order's."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from functions.adapters import live_exchange
from functions.ports import PreparedOrder
from tests.support.certificates import contexts
from tests.support.live_desk import Desk, open_desk
from venue.errors import VenueError
from venue.rest import ANSWER_BYTES_MAX
from venue.trading.connections import ORDER_ANSWER_BYTES_MAX
from venue.trading.official_client import bounded_call
from venue.trading.official_orders import OfficialOrders
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason, Unknown

BALANCE = json.dumps({"error": "not enough balance / allowance"}).encode()

CHUNKED = b"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n"


def http(status: int, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def match(order: PreparedOrder) -> bytes:
    taken = {"success": True, "orderID": order.order_id, "status": "matched"}
    return json.dumps({**taken, "makingAmount": "1.1", "takingAmount": "2.2"}).encode()


class Socket:
    """A server that answers its requests with what it is given, bytes as they are."""

    def __init__(self) -> None:
        self.answers: list[list[bytes]] = []
        self.requests: list[str] = []
        self.connections = 0
        self.endless = False
        self.held: asyncio.Event | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lengths = [x for x in head.lower().split("\r\n") if x.startswith("content-length:")]
                await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
                self.requests.append(head.split("\r\n")[0])
                parts = self.answers.pop(0)
                if self.held is not None and len(self.requests) == 1:
                    await self.held.wait()
                for part in parts:
                    writer.write(part)  # over TLS a record of its own
                while self.endless:
                    writer.write(b"x" * (1 << 16))
                    await writer.drain()
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def sockets(tls: Path | None = None) -> AsyncIterator[tuple[Desk, Socket]]:
    """A desk whose orders go to the socket; over TLS with certificates in that directory."""
    socket = Socket()
    ours, theirs = (None, None) if tls is None else contexts(tls, "localhost")
    server = await asyncio.start_server(socket.serve, "127.0.0.1", 0, ssl=ours)
    port = server.sockets[0].getsockname()[1]
    async with open_desk(order_client=OfficialOrders) as desk:
        http = desk.exchange._client._ctx.secure_clob._client
        http.base_url = httpx.URL(f"http{'s' if tls else ''}://127.0.0.1:{port}")
        http._transport._pool._ssl_context = theirs  # type: ignore[attr-defined]
        try:
            yield desk, socket
        finally:
            server.close()


async def answered(*parts: Callable[[bytes], bytes] | bytes) -> tuple[Answer, Socket]:
    """What is made of one answer; a function is given the body of a match."""
    async with sockets() as (desk, socket):
        order = await desk.prepare()
        socket.answers = [[x if isinstance(x, bytes) else x(match(order)) for x in parts]]
        return await desk.exchange.post(order), socket


async def test_the_plain_answer_is_read() -> None:
    answer, _ = await answered(lambda body: http(200, body))
    assert isinstance(answer, Accepted)
    answer, _ = await answered(http(400, BALANCE))
    assert isinstance(answer, Rejected)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize(
    "to", ["/order", "http://127.0.0.1:1/order", "http://[::1", "file:///etc/passwd", ""]
)
async def test_a_redirect_is_not_followed_and_proves_nothing(status: int, to: str) -> None:
    answer, socket = await answered(http(status, BALANCE, f"Location: {to}"))
    assert isinstance(answer, Unknown)
    assert socket.requests == ["POST /order HTTP/1.1"]


@pytest.mark.parametrize("status", [201, 202, 203, 206, 299])
async def test_another_status_of_success_is_a_match_only_with_its_body(status: int) -> None:
    answer, _ = await answered(lambda body: http(status, body))
    assert isinstance(answer, Accepted)
    answer, _ = await answered(http(status, b""))
    assert isinstance(answer, Unknown)


@pytest.mark.parametrize(
    "answer",
    [
        http(204, b""),
        http(205, b""),
        http(304, b""),
        http(200, BALANCE),
        http(200, b"null"),
        http(999, BALANCE),
        b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 50,
        CHUNKED + b"%x\r\n%s\r\n" % (len(BALANCE), BALANCE),
        CHUNKED + b"%x\r\n%s" % (len(BALANCE), BALANCE[:9]),
        CHUNKED + b"ZZ\r\n" + BALANCE,
        b"HTTP/1.1 400 X\r\nContent-Length: 900\r\n\r\n" + BALANCE,
        b"HTTP/1.1 400 X\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n" + BALANCE,
        http(400, BALANCE).replace(b"Content-Length: ", b"Content-Length: -"),
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"<html>",
        b"",
    ],
)  # fmt: skip
async def test_what_is_no_whole_answer_of_the_venue_proves_nothing(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_exchange, "POST_TIMEOUT_S", 0.5)
    read, socket = await answered(answer)
    assert isinstance(read, Unknown)
    assert len(socket.requests) == 1


async def test_what_comes_before_an_answer_is_not_the_answer() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    answer, _ = await answered(early, lambda body: http(200, body))
    assert isinstance(answer, Accepted)


# ---- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 425, 429])
@pytest.mark.parametrize("length", [ORDER_ANSWER_BYTES_MAX + 1, 17 << 20])
async def test_an_answer_beyond_the_bound_is_unknown(status: int, length: int) -> None:
    body = b" " * (length - len(BALANCE)) + BALANCE
    answer, _ = await answered(http(status, body))
    assert isinstance(answer, Unknown)
    assert str(ORDER_ANSWER_BYTES_MAX) in answer.text


async def test_an_endless_answer_is_given_up_at_the_bound() -> None:
    async with sockets() as (desk, socket):
        order = await desk.prepare()
        socket.answers = [[b"HTTP/1.1 429 X\r\nContent-Type: text/html\r\n\r\n"]]
        socket.endless = True
        tracemalloc.start()
        answer = await desk.exchange.post(order)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(answer, Unknown)
        assert peak < 4 * ANSWER_BYTES_MAX


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_compressed_answer_is_not_unpacked(times: int) -> None:
    packed = b"[" * (200 << 20)
    for _ in range(times):
        packed = gzip.compress(packed, 1)
    encoding = f"Content-Encoding: {', '.join(['gzip'] * times)}"
    tracemalloc.start()
    answer, _ = await answered(http(429, packed, encoding))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(answer, Unknown)
    assert peak < 4 * ANSWER_BYTES_MAX


async def test_every_other_question_of_the_client_is_bounded_too() -> None:
    async with sockets() as (desk, socket):
        client = desk.exchange._client
        socket.endless = True
        ctx = client._ctx
        for transport in (ctx.clob, ctx.relayer, ctx.gamma, ctx.data, ctx.rpc._transport):
            transport._client.base_url = ctx.secure_clob._client.base_url
            socket.answers = [[b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n"]]
            with pytest.raises(VenueError, match=f"more than {ANSWER_BYTES_MAX} bytes"):
                await bounded_call("asked", transport.get_json("/x"))


# ---- a connection that is used again ------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("padding", [0, 20_000])
async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_order_s(
    tls: bool, pause: bool, apart: bool, padding: int, tmp_path: Path
) -> None:
    async with sockets(tmp_path if tls else None) as (desk, socket):
        first, second = await desk.prepare(), await desk.prepare()
        taken, stale = http(200, match(first) + b" " * padding), http(400, BALANCE)
        socket.answers = [[taken, stale] if apart else [taken + stale], [http(200, match(second))]]
        assert isinstance(await desk.exchange.post(first), Accepted)
        if pause:
            await asyncio.sleep(0.05)
        assert isinstance(await desk.exchange.post(second), Accepted)
        assert socket.connections == 2


@pytest.mark.parametrize("tls", [False, True])
async def test_an_answer_in_order_keeps_the_connection(tls: bool, tmp_path: Path) -> None:
    async with sockets(tmp_path if tls else None) as (desk, socket):
        first, second = await desk.prepare(), await desk.prepare()
        socket.answers = [[http(200, match(first))], [http(425, b"")]]
        assert isinstance(await desk.exchange.post(first), Accepted)
        answer = await desk.exchange.post(second)
        assert isinstance(answer, Rejected)
        assert answer.reason is RejectReason.ENGINE_RESTARTING
        assert socket.connections == 1


async def test_an_answer_that_came_too_late_is_not_taken_for_the_next_order_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with sockets() as (desk, socket):
        first, second = await desk.prepare(), await desk.prepare()
        socket.answers = [[http(400, BALANCE)], [http(200, match(second))]]
        socket.held = asyncio.Event()
        monkeypatch.setattr(live_exchange, "POST_TIMEOUT_S", 0.2)
        assert isinstance(await desk.exchange.post(first), Unknown)
        socket.held.set()
        monkeypatch.setattr(live_exchange, "POST_TIMEOUT_S", 5.0)
        assert isinstance(await desk.exchange.post(second), Accepted)
        assert socket.connections == 2


async def test_orders_at_once_get_their_own_answers() -> None:
    async with sockets() as (desk, socket):
        orders = [await desk.prepare() for _ in range(3)]
        socket.answers = [[http(429, b"")]] * 3
        answers = await asyncio.gather(*map(desk.exchange.post, orders))
        assert all(isinstance(each, Rejected) for each in answers)
        assert socket.connections == 3
