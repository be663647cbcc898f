"""A host with several addresses, on real sockets, with both event loops."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import aiohappyeyeballs.impl
import pytest
import uvloop

from runtime.dialer import Dialer
from tests.support.stalls import lived_time
from tests.support.unreachable_addresses import (
    DROPS,
    GOOD,
    HOST,
    LOOPBACK_6,
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
                async with asyncio.timeout(30):
                    sock = await Dialer().connect(HOST, port)
                with sock:
                    assert sock.getpeername() == (GOOD, port)
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert time.monotonic() - began_s < 20  # the kernel takes minutes

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
@pytest.mark.parametrize("families", [(LOOPBACK_6, DROPS, GOOD), (DROPS, LOOPBACK_6, GOOD)])
def test_the_families_turns_bring_nobody_forward_who_is_in_doubt(
    run: Run, families: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, *families)

    async def connects() -> None:
        with socket.create_server((GOOD, 0)) as good:
            port = good.getsockname()[1]
            dialer = Dialer()
            async with swallowing(port, LOOPBACK_6):
                with dropping(port):
                    reached = []
                    for _ in range(3):
                        with await dialer.connect(HOST, port) as sock:
                            reached.append(sock.getpeername()[0])
        assert reached == [LOOPBACK_6, GOOD, LOOPBACK_6]

    run(connects())


async def test_each_family_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((GOOD, 0)) as good:
        port = good.getsockname()[1]
        resolving(monkeypatch, *(f"2001:db8::{number}" for number in range(1, 9)), GOOD)
        tried = trying(monkeypatch)
        (await Dialer().connect(HOST, port)).close()
    assert tried[:2] == ["2001:db8::1", GOOD]


@pytest.mark.parametrize("run", LOOPS)
def test_many_addresses_that_drop_everything_are_passed_within_natss_two_seconds(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes = [f"127.0.1.{number}" for number in range(1, 13)]
    resolving(monkeypatch, *holes, GOOD)

    async def connects() -> None:
        with ExitStack() as stack:
            port = stack.enter_context(socket.create_server((GOOD, 0))).getsockname()[1]
            for hole in holes:
                stack.enter_context(dropping(port, hole))
            dialer = Dialer()
            async with lived_time() as clock:
                (await dialer.connect(HOST, port)).close()
                assert clock.now_s() < 2
            dialer.proven()
            # And they are remembered: it is the first one from now on.
            tried = trying(monkeypatch)
            (await dialer.connect(HOST, port)).close()
            assert tried == [GOOD]

    run(connects())


@pytest.mark.parametrize("run", LOOPS)
def test_whoever_was_tried_in_vain_is_remembered_when_the_caller_gives_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, DROPS, GOOD)

    async def connects() -> None:
        with socket.create_server((GOOD, 0)) as good:
            port = good.getsockname()[1]
            with dropping(port):
                dialer = Dialer()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await dialer.connect(HOST, port)
                tried = trying(monkeypatch)
                (await dialer.connect(HOST, port)).close()
        assert tried == [GOOD]

    run(connects())


async def test_an_address_that_was_of_use_and_falls_silent_is_in_doubt_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, SWALLOWS, GOOD)
    with socket.create_server((GOOD, 0)) as good:
        port = good.getsockname()[1]
        dialer = Dialer()
        async with swallowing(port):
            (await dialer.connect(HOST, port)).close()
            dialer.proven()
            dialer.doubt()
            with await dialer.connect(HOST, port) as sock:
                assert sock.getpeername()[0] == GOOD


def trying(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets are made for from now on, in order."""
    tried: list[str] = []
    made = aiohappyeyeballs.impl._connect_sock

    async def connects(loop: object, exceptions: object, info: Any, *rest: Any) -> Any:
        tried.append(info[4][0])
        return await made(loop, exceptions, info, *rest)  # type: ignore[arg-type]  # as it was

    monkeypatch.setattr(aiohappyeyeballs.impl, "_connect_sock", connects)
    return tried


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
