"""A host with several addresses, on real sockets, with both event loops."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from runtime.dialer import Dialer
from tests.support.unreachable_addresses import (
    DROPS,
    GOOD,
    HOST,
    REFUSES,
    SWALLOWS,
    dropping,
    resolving,
    swallowing,
)

LOOPS = [asyncio.run, uvloop.run]
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("first", [DROPS, REFUSES])
def test_an_address_that_does_not_answer_holds_the_next_one_up_for_a_moment(
    run: Run, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, first, first, GOOD)

    async def connects() -> None:
        with socket.create_server((GOOD, 0)) as good:
            port = good.getsockname()[1]
            with dropping(port):
                began_s = time.monotonic()
                async with asyncio.timeout(5):
                    sock = await Dialer().connect(HOST, port)
                with sock:
                    assert sock.getpeername() == (GOOD, port)
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert time.monotonic() - began_s < 2

    run(connects())


@pytest.mark.parametrize("run", LOOPS)
def test_an_address_that_takes_connections_and_is_of_no_use_is_tried_last(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, SWALLOWS, GOOD)

    async def connects() -> None:
        with socket.create_server((GOOD, 0)) as good:
            port = good.getsockname()[1]
            dialer = Dialer()

            async def reached() -> str:
                with await dialer.connect(HOST, port) as sock:
                    address: str = sock.getpeername()[0]
                    return address

            async with swallowing(port):
                assert [await reached() for _ in range(4)] == [SWALLOWS, GOOD, SWALLOWS, GOOD]
                dialer.proven()
                # The one that was of use comes first from now on, whatever the resolver says.
                assert [await reached(), await reached()] == [GOOD, SWALLOWS]

    run(connects())


@pytest.mark.parametrize("run", LOOPS)
def test_whatever_is_wrong_with_a_host_is_an_error_of_the_network(run: Run) -> None:
    async def connects() -> None:
        for host in ("127.0.0.4", "a..b", "no-such-host.invalid", "x" * 70 + ".example", ""):
            with pytest.raises(OSError, match=r".") as failed:
                await Dialer().connect(host, 9)
            assert str(failed.value)
        for host in ("127.0.0.1", "localhost"):
            with socket.create_server(("127.0.0.1", 0)) as good:
                (await Dialer().connect(host, good.getsockname()[1])).close()

    run(connects())
