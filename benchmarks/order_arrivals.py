"""When the bytes of an order have come to the venue, as told by a process that only waits for them.

The simulated venue is also the driver: it hashes books, and reads an order's bytes when it gets to
them, idle about 0.3 ms later. What a pipeline needs ends before that. So orders go to the venue
through here: bytes are passed on as they come, and the moment at which a POST had come as far as
the token that it is for is kept, by that token. So of orders at once each has its own.
"""

from __future__ import annotations

import multiprocessing
import re
import socket
import threading
import time
from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Final, TypeAlias
from urllib.parse import urlsplit

_POST: Final = b"POST /order"
_TOKEN: Final = re.compile(rb'"tokenId":\s*"(\d+)"')
_READ_BYTES: Final = 1 << 16
_Told: TypeAlias = SimpleQueue[tuple[str, int]]


class OrderArrivals:
    """Where orders are to be sent, and when they came."""

    def __init__(self, url: str, told: Connection) -> None:
        self.url = url
        self._told = told
        self._at_ns: dict[str, list[int]] = {}
        """By token, in order."""

    def before(self, token_id: str, at_ns: int) -> int:
        """When the latest one on a token until `at_ns` came, nanoseconds since the epoch; `at_ns`
        if none."""
        while self._told.poll():
            for_token, came_at_ns = self._told.recv()
            insort(self._at_ns.setdefault(for_token, []), came_at_ns)
        came_ns = self._at_ns.get(token_id, [])
        found = bisect_right(came_ns, at_ns)
        return came_ns[found - 1] if found else at_ns


@contextmanager
def order_arrivals(venue_url: str) -> Iterator[OrderArrivals]:
    """In a process of its own, which ends with the context."""
    told, telling = multiprocessing.Pipe(duplex=False)
    listening = socket.create_server(("127.0.0.1", 0))
    venue = ("127.0.0.1", urlsplit(venue_url).port or 80)
    # Not forked: this process has an event loop under way.
    process = multiprocessing.get_context("spawn").Process(
        target=_relay, args=(listening, venue, telling), daemon=True
    )
    process.start()
    try:
        yield OrderArrivals(f"http://127.0.0.1:{listening.getsockname()[1]}", told)
    finally:
        process.terminate()
        process.join()
        listening.close()
        told.close()
        telling.close()


def _relay(listening: socket.socket, venue: tuple[str, int], telling: Connection) -> None:
    told: _Told = SimpleQueue()
    threading.Thread(target=_tell, args=(told, telling), daemon=True).start()
    while True:
        caller, _ = listening.accept()
        called = socket.create_connection(venue)
        for each in (caller, called):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ends in ((caller, called, told), (called, caller, None)):
            threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _tell(told: _Told, telling: Connection) -> None:
    """Beside what is passed on: a pipe that nobody reads is full after some thousand orders."""
    while True:
        telling.send(told.get())


def _pass_on(reader: socket.socket, writer: socket.socket, told: _Told | None) -> None:
    came = b""
    with suppress(OSError):
        while data := reader.recv(_READ_BYTES):
            at_ns = time.time_ns()
            writer.sendall(data)
            if told is None:
                continue
            if data.startswith(_POST):
                came = data
            elif came:  # its head came alone
                came += data
            if came and (found := _TOKEN.search(came)):
                told.put((found[1].decode(), at_ns))
                came = b""
    for each in (reader, writer):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
