"""When the bytes of an order have come to the venue, as told by a process that only waits for them.

The simulated venue is also the driver: it hashes books, and reads an order's bytes when it gets to
them, idle about 0.3 ms later. What a pipeline needs ends before that. So orders go to the venue
through here: bytes are passed on as they come, and the moment at which a POST came is kept.
"""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Final
from urllib.parse import urlsplit

_POST: Final = b"POST /order"
_READ_BYTES: Final = 1 << 16


class OrderArrivals:
    """Where orders are to be sent, and when they came."""

    def __init__(self, url: str, told: Connection) -> None:
        self.url = url
        self._told = told
        self._at_ns: list[int] = []
        """In order."""

    def before(self, at_ns: int) -> int:
        """When the latest one until `at_ns` came, nanoseconds since the epoch; `at_ns` if none."""
        while self._told.poll():
            self._at_ns.append(self._told.recv())
        found = bisect_right(self._at_ns, at_ns)
        return self._at_ns[found - 1] if found else at_ns


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
    lock = threading.Lock()
    while True:
        caller, _ = listening.accept()
        called = socket.create_connection(venue)
        for each in (caller, called):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ends in ((caller, called, telling), (called, caller, None)):
            threading.Thread(target=_pass_on, args=(*ends, lock), daemon=True).start()


def _pass_on(
    reader: socket.socket, writer: socket.socket, telling: Connection | None, lock: threading.Lock
) -> None:
    with suppress(OSError):
        while data := reader.recv(_READ_BYTES):
            at_ns = time.time_ns()
            writer.sendall(data)
            if telling is not None and data.startswith(_POST):
                with lock:
                    telling.send(at_ns)
    for each in (reader, writer):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
