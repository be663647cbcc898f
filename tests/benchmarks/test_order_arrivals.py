"""When the bytes of an order have come to the venue."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.order_arrivals import OrderArrivals, order_arrivals


def test_an_order_is_passed_on_as_it_is_and_the_moment_it_came_is_kept() -> None:
    with _relayed() as (arrivals, caller, called):
        assert arrivals.before("1", 7) == 7
        for request in (b"GET /time HTTP/1.1", _order(1), b"GET /book", _order(1)):
            sent_ns = time.time_ns()
            caller.sendall(request)
            assert called.recv(1 << 16) == request
            passed_on_ns = time.time_ns()
            if request.startswith(b"POST"):
                assert arrivals._told.poll(30)  # it tells once it has passed it on
                assert sent_ns < arrivals.before("1", passed_on_ns) < passed_on_ns
        called.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        assert caller.recv(1 << 16) == b"HTTP/1.1 200 OK\r\n\r\n"
        called.close()
        assert caller.recv(1 << 16) == b""


def test_of_orders_at_once_each_has_its_own_moment() -> None:
    with _relayed() as (arrivals, caller, called):
        between_ns = [time.time_ns()]
        for token in (1, 2):
            caller.sendall(_order(token))
            assert called.recv(1 << 16) == _order(token)
            between_ns.append(time.time_ns())
            assert arrivals._told.poll(30)
            arrivals.before("", 0)
        # The venue may get to the first when the second is there, too.
        for token in (1, 2):
            came_ns = arrivals.before(str(token), between_ns[-1])
            assert between_ns[token - 1] < came_ns < between_ns[token]


def test_an_order_whose_head_comes_alone_has_come_with_its_body() -> None:
    with _relayed() as (arrivals, caller, called):
        head, body = _order(1).split(b"\r\n\r\n")
        caller.sendall(head)
        assert called.recv(1 << 16) == head
        head_ns = time.time_ns()
        caller.sendall(body)
        assert called.recv(1 << 16) == body
        assert arrivals._told.poll(30)
        assert head_ns < arrivals.before("1", time.time_ns())


def test_moments_that_are_told_out_of_order_are_found_in_order() -> None:
    told = _Told([("1", 5), ("1", 3), ("1", 4)])
    arrivals = OrderArrivals("", told)  # type: ignore[arg-type]
    assert [arrivals.before("1", at_ns) for at_ns in (3, 4, 5, 6)] == [3, 4, 5, 5]


def test_orders_are_passed_on_also_while_nobody_asks_when_they_came() -> None:
    with _relayed() as (arrivals, caller, called):
        caller.settimeout(30)
        for _ in range(4_000):  # more than a pipe holds
            caller.sendall(_order(1))
            assert called.recv(1 << 16) == _order(1)
        assert arrivals._told.poll(30)


class _Told:
    """Has all of them at once."""

    def __init__(self, told: list[tuple[str, int]]) -> None:
        self._told = told

    def poll(self) -> bool:
        return bool(self._told)

    def recv(self) -> tuple[str, int]:
        return self._told.pop(0)


def _order(token: int) -> bytes:
    return b'POST /order HTTP/1.1\r\n\r\n{"order":{"tokenId":"%d"}}' % token


@contextmanager
def _relayed() -> Iterator[tuple[OrderArrivals, socket.socket, socket.socket]]:
    """What the relay tells, and its two ends: who orders, and the venue."""
    with (
        socket.create_server(("127.0.0.1", 0)) as venue,
        order_arrivals(f"http://127.0.0.1:{venue.getsockname()[1]}") as arrivals,
        socket.create_connection(
            ("127.0.0.1", int(arrivals.url.rpartition(":")[2])), timeout=30
        ) as caller,
    ):
        called, _ = venue.accept()
        called.settimeout(30)
        with called:
            yield arrivals, caller, called
