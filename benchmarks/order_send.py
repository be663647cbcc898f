"""Sending one order that is signed already, by three HTTP clients in turns: from the call to its
bytes at the server, and what it costs the client up to the answer.

    python -m benchmarks.order_send [--tls]

`hot` follows right upon the one before. Before `cold`, other code and data have been through the
caches, as between two orders of a worker. The server is a process of its own that tells in its
answer when it had the whole request: the clock is the machine's. Wall times are this machine's at
this load; the client's CPU is what can be compared, and the ratios of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec
import uvloop
from polymarket.clients._transport import AsyncTransport, TransportOptions
from polymarket.clients.async_secure import _make_l2_header_resolver
from polymarket.models.clob import ApiKeyCreds

from benchmarks.stats import quartiles
from tests.support.certificates import contexts
from venue.auth import Credentials
from venue.trading.connections import ORDER_ANSWER_BYTES_MAX, bound, close_what_has_more
from venue.trading.order_connection import OrderConnection

ROUNDS: Final = 300
WARM_UP: Final = 30
BODY: Final = json.dumps({"order": {"signature": "0x" + "ab" * 560}}, separators=(",", ":"))
GIVEN: Final = Credentials(
    address="0x6e0c80c90ea6c15917308F820Eac91Ce2724B5b5",
    key="9180014b-33c8-9240-a14b-bdca11c0a465",
    secret="qLkKd9wyXl_3m-ZEmrvZ-9Ur0hWZ8bYcW0kqcG0TQTk=",  # noqa: S106 - nobody's
    passphrase="7e2f4d0c1b9a8e6f5d4c3b2a19087f6e5d4c3b2a",  # noqa: S106
)
HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Connection: keep-alive\r\nServer: cloudflare\r\nCF-Ray: 8a9d7f1c9b2e1234-DUB\r\n"
    b"CF-Cache-Status: DYNAMIC\r\nStrict-Transport-Security: max-age=31536000\r\n"
    b"Vary: Accept-Encoding\r\nContent-Length: %d\r\n\r\n"
)
_SWEPT: Final = bytearray(8 << 20)
"""More than a core's own caches hold."""
Send: TypeAlias = Callable[[], Awaitable[bytes]]


def serve(told: Connection, tls: ssl.SSLContext | None) -> None:
    """One connection after the other, each to its end; runs in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    told.send(listener.getsockname()[1])
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        multiprocessing.get_context("fork").Process(target=_answer_on, args=(sock, tls)).start()
        sock.close()


def _answer_on(sock: socket.socket, tls: ssl.SSLContext | None) -> None:
    connection = sock if tls is None else tls.wrap_socket(sock, server_side=True)
    received = b""
    while piece := connection.recv(1 << 16):
        received += piece
        head, end, body = received.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length: ")[2].split()[0]):
            came = {"came_at_ns": time.perf_counter_ns(), "orderID": "0x" + "cd" * 32}
            answer = json.dumps(came).encode()
            connection.sendall(HEAD % len(answer) + answer)
            received = b""


def run(*, over_tls: bool = False) -> dict[str, float]:
    """Quartiles in microseconds by name."""
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = contexts(Path(directory), "localhost") if over_tls else (None, None)
        fork = multiprocessing.get_context("fork")
        here, there = fork.Pipe()
        server = fork.Process(target=serve, args=(there, ours))
        server.start()
        try:
            url = f"http{'s' if over_tls else ''}://127.0.0.1:{here.recv()}"
            return uvloop.run(_measured(url, theirs))
        finally:
            server.terminate()
            server.join()


async def _measured(url: str, tls: ssl.SSLContext | None) -> dict[str, float]:
    direct = OrderConnection(url, GIVEN, tls)
    signer: Any = SimpleNamespace(address=GIVEN.address)
    keys = ApiKeyCreds(key=GIVEN.key, secret=GIVEN.secret, passphrase=GIVEN.passphrase)
    resolve = _make_l2_header_resolver(signer, keys)
    official = AsyncTransport(
        base_url=url, options=TransportOptions(http2=False), header_resolver=resolve
    )
    if tls is not None:
        official._client._transport._pool._ssl_context = tls  # type: ignore[attr-defined]
    bound(official, keys, ORDER_ANSWER_BYTES_MAX)
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def by_direct() -> bytes:
        return (await direct.post(BODY.encode())).body

    async def by_official() -> bytes:  # as `official_client.post_order`
        headers = {**await resolve("POST", "/order", BODY), "Content-Type": "application/json"}
        await close_what_has_more(official)
        answer = await official._client.request(
            "POST", "/order", content=BODY.encode(), headers=headers
        )
        return answer.content

    async def by_aiohttp() -> bytes:
        headers = {**await resolve("POST", "/order", BODY), "Content-Type": "application/json"}
        async with session.post(
            f"{url}/order", data=BODY.encode(), headers=headers, ssl=tls or True
        ) as answer:
            return await answer.read()

    senders: dict[str, Send] = {
        "direct": by_direct,
        "aiohttp": by_aiohttp,
        "official": by_official,
    }
    figures: dict[str, float] = {}
    try:
        for kind in ("hot", "cold"):
            samples = await _in_turns(senders, cold=kind == "cold")
            for name, columns in samples.items():
                for what, values in columns.items():
                    found = quartiles(values)
                    for rank in ("low", "median", "high"):
                        figures[f"{name}_{kind}_{what}_{rank}"] = getattr(found, rank)
    finally:
        await direct.close()
        await session.close()
        await official.close()
    return figures


async def _in_turns(senders: dict[str, Send], *, cold: bool) -> dict[str, dict[str, list[float]]]:
    samples: dict[str, dict[str, list[float]]] = {
        name: {"to_bytes_us": [], "cpu_us": []} for name in senders
    }
    for at in range(-WARM_UP, ROUNDS):
        for name, send in senders.items():
            if cold:
                await _other_work()
            else:
                await send()
            cpu_ns, called_ns = time.process_time_ns(), time.perf_counter_ns()
            answer = await send()
            cpu_us = (time.process_time_ns() - cpu_ns) / 1e3
            came_at_ns = msgspec.json.decode(answer)["came_at_ns"]
            if at >= 0:
                samples[name]["to_bytes_us"].append((came_at_ns - called_ns) / 1e3)
                samples[name]["cpu_us"].append(cpu_us)
    return samples


async def _other_work() -> None:
    """Code and data that push what sends an order out of the caches."""
    for at in range(0, len(_SWEPT), 64):
        _SWEPT[at] = (_SWEPT[at] + 1) & 0xFF
    json.loads(json.dumps([{str(each): float(each)} for each in range(2_000)]))
    await asyncio.sleep(0.005)


def main() -> None:
    """Print a line for each client."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tls", action="store_true")
    figures = run(over_tls=arguments.parse_args().tls)
    for name in sorted({key.rpartition("_")[0] for key in figures}):
        low, median, high = (figures[f"{name}_{rank}"] for rank in ("low", "median", "high"))
        print(f"{name:28} {low:8.0f} {median:8.0f} {high:8.0f}")


if __name__ == "__main__":
    main()
