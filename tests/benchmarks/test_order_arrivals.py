"""When the bytes of an order have come to the venue."""

from __future__ import annotations

import socket
import time

from benchmarks.order_arrivals import OrderArrivals, order_arrivals


def test_an_order_is_passed_on_as_it_is_and_the_moment_it_came_is_kept() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as venue,
        order_arrivals(f"http://127.0.0.1:{venue.getsockname()[1]}") as arrivals,
        socket.create_connection(("127.0.0.1", _port(arrivals)), timeout=30) as caller,
    ):
        assert arrivals.before(7) == 7
        called, _ = venue.accept()
        called.settimeout(30)
        for request in (b"GET /time HTTP/1.1", b"POST /order 1", b"GET /book", b"POST /order 2"):
            sent_ns = time.time_ns()
            caller.sendall(request)
            assert called.recv(1 << 16) == request
            passed_on_ns = time.time_ns()
            if request.startswith(b"POST"):
                assert arrivals._told.poll(30)  # it tells once it has passed it on
                assert sent_ns < arrivals.before(passed_on_ns) < passed_on_ns
        called.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        assert caller.recv(1 << 16) == b"HTTP/1.1 200 OK\r\n\r\n"
        called.close()
        assert caller.recv(1 << 16) == b""


def _port(arrivals: OrderArrivals) -> int:
    return int(arrivals.url.rpartition(":")[2])
