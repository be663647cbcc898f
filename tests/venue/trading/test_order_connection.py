"""The connections of orders: which of them an order leaves on, what is proof that it never left,
and that no answer is taken for another order's."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from runtime.dialer import Dialer
from tests.support.certificates import contexts
from tests.support.raw_orders import (
    ANSWER,
    BODY,
    OTHER,
    OTHER_ANSWER,
    REFUSED,
    Contexts,
    answers,
    beside,
    exchanged,
    kept_warm,
    orders,
    posted,
    silent,
    text,
)
from tests.support.raw_venue import RawPeer, raw_venue
from tests.support.user_channel_frames import CREDENTIALS
from venue.errors import NotSentError, OrderUnknownError
from venue.trading import order_connection
from venue.trading.kept_connection import KeptConnection, open_connection
from venue.trading.order_connection import CONNECTIONS_MAX, OrderConnection

pytestmark = pytest.mark.usefixtures("slow_machine")


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certified: Contexts) -> Contexts:
    return certified if request.param == "tls" else None


def say_and_end(peer: RawPeer) -> None:
    peer.say(ANSWER)
    peer.end()


# ---- a connection that is used again ------------------------------------------------------------

FAULTS: dict[str, Callable[[RawPeer], None]] = {
    "FIN": lambda peer: peer.end(),
    "RST": lambda peer: peer.reset(),
    "an answer": lambda peer: peer.say(ANSWER),
    "an answer and FIN": say_and_end,
    "a byte": lambda peer: peer.say(b"\n"),
    "much": lambda peer: peer.say(b"x" * 16_000),
}
RECORD = 5 + len(ANSWER) + 17
OF_RECORD = {
    f"{count} bytes of a record": lambda peer, count=count: peer.send(peer.on_wire(ANSWER)[:count])
    for count in [*range(1, 8), RECORD // 2, RECORD - 1]
}
OVER_TLS: dict[str, Callable[[RawPeer], None]] = {
    "close_notify": lambda peer: peer.send(peer.close_notify()),
    "no TLS": lambda peer: peer.send(ANSWER),
    **OF_RECORD,
}


@pytest.mark.parametrize(
    ("run", "seen"), [(asyncio.run, False), (uvloop.run, False), (uvloop.run, True)]
)
def test_a_connection_on_which_anything_came_is_not_used(
    run: Callable[..., None], seen: bool, certified: Contexts
) -> None:
    """Also when nothing of it has been read yet, and when it is part of a record."""

    async def each(fault: Callable[[RawPeer], None], tls: Contexts) -> None:
        async with orders(tls) as (connection, venue):
            await exchanged(connection, venue)
            fault(venue.peers[0])
            kept = connection._idle[0]
            while seen and kept._is_between_records() and not kept.closed:  # noqa: ASYNC110
                await asyncio.sleep(0)  # nobody tells of a part of a record
            outcome, _ = await exchanged(connection, venue, OTHER_ANSWER)
            assert text(outcome) == OTHER.decode()
            if fault is not FAULTS["RST"]:
                await silent(venue.peers[0])
            assert venue.nobody_else_came()

    async def all_of_them() -> None:
        for fault in FAULTS.values():
            await each(fault, None)
        for fault in (*FAULTS.values(), *OVER_TLS.values()):
            await each(fault, certified)

    run(all_of_them())


async def test_the_spare_is_used_when_the_other_one_is_dead(tls: Contexts) -> None:
    async with orders(tls) as (connection, venue):
        assert await kept_warm(connection, venue) is False
        first, second = venue.peers
        second.end()  # the latest to answer is the first to be used
        assert text(await beside(answers(first), posted(connection))) == OTHER.decode()
        await silent(second)
        assert venue.nobody_else_came()


async def test_a_request_is_never_sent_when_nobody_is_there_any_more(tls: Contexts) -> None:
    async with orders(tls) as (connection, venue):
        await kept_warm(connection, venue)
        venue.close()
        for peer in venue.peers:
            peer.end()
        assert await posted(connection) == "not sent"
        for peer in venue.peers:
            await silent(peer)


async def test_answers_in_order_keep_the_connection(tls: Contexts) -> None:
    async with orders(tls) as (connection, venue):
        _, peer = await exchanged(connection, venue)
        assert text(await beside(answers(peer), posted(connection))) == OTHER.decode()
        assert venue.nobody_else_came()


@pytest.mark.parametrize("whole", [True, False])
async def test_tickets_of_tls_are_nothing_that_was_said_but_must_be_whole(
    whole: bool, certified: Contexts
) -> None:
    assert certified is not None
    with raw_venue(certified[0]) as venue:
        opening = asyncio.create_task(
            open_connection(Dialer(), "127.0.0.1", venue.port, certified[1], 100)
        )
        peer = await venue.accept_plain()
        tickets = await peer.shake_hands(certified[0])
        connection = await opening
        peer.send(tickets if whole else tickets[:-1])  # not read yet
        answering = connection.begin(b"GET / HTTP/1.1\r\n\r\n")
        assert (answering is not None) is whole
        assert connection.closed is not whole
        connection.close("the end")
        if answering is not None:
            with pytest.raises(OrderUnknownError, match="the end"):
                await answering
            await peer.read_request()
        else:
            await silent(peer)


async def test_a_socket_that_takes_no_byte_is_proof(tls: Contexts) -> None:
    async with orders(tls) as (connection, venue):
        await kept_warm(connection, venue)
        # As for a connection of which the kernel knows first: nothing to read, and no more writing.
        for each in connection._idle:
            each._socket.shutdown(socket.SHUT_WR)
        venue.close()
        assert await posted(connection) == "not sent"


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER + b"\n",
        ANSWER + OTHER_ANSWER,
        ANSWER + OTHER_ANSWER[:9],
        ANSWER.replace(b"X\r\n", b"X\r\nConnection: close\r\n"),
        ANSWER.replace(b"1.1", b"1.0"),
    ],
)
async def test_a_connection_that_may_not_go_on_after_its_answer_is_not_used_again(
    answer: bytes, tls: Contexts
) -> None:
    async with orders(tls) as (connection, venue):
        outcome, first = await exchanged(connection, venue, answer)
        assert text(outcome) == REFUSED.decode()
        outcome, _ = await exchanged(connection, venue, OTHER_ANSWER)
        assert text(outcome) == OTHER.decode()
        await silent(first)


async def test_an_answer_that_came_too_late_is_nobody_s(tls: Contexts) -> None:
    async with orders(tls) as (connection, venue):
        await exchanged(connection, venue)
        late = venue.peers[0]
        assert await beside(late.skip_request(), posted(connection, timeout_s=0.01)) == "unknown"
        late.say(ANSWER)
        outcome, _ = await exchanged(connection, venue, OTHER_ANSWER)
        assert text(outcome) == OTHER.decode()


async def test_an_answer_that_is_there_when_its_time_is_over_counts(tls: Contexts) -> None:
    """After a loop that stood still, the end of the time may be told of first."""
    async with orders(tls) as (connection, venue):
        _, peer = await exchanged(connection, venue)
        posting = asyncio.create_task(posted(connection, timeout_s=0))
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_at, 0, peer.say, ANSWER)  # the timer before the order's
        assert text(await posting) == REFUSED.decode()
        await peer.read_request()
        assert text(await beside(answers(peer), posted(connection))) == OTHER.decode()


async def test_half_an_answer_that_is_there_by_then_is_none(tls: Contexts) -> None:
    async with orders(tls) as (connection, venue):
        _, peer = await exchanged(connection, venue)
        posting = asyncio.create_task(posted(connection, timeout_s=0))
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_at, 0, peer.say, ANSWER[:-1])
        assert await posting == "unknown"


async def test_an_answer_to_half_a_request_is_one_but_the_connection_ends() -> None:
    async with orders() as (connection, venue):

        async def serve() -> None:
            peer = await venue.accept()
            await peer.read_bytes(1)
            peer.say(ANSWER)

        assert (
            text(await beside(serve(), posted(connection, b" " * (16 << 20)))) == REFUSED.decode()
        )
        outcome, _ = await exchanged(connection, venue, OTHER_ANSWER)
        assert text(outcome) == OTHER.decode()


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 400 X\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 400 X\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 400 X\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 400 X\r\nContent-Length: 40000\r\n\r\n" + b" " * 40_000,
        b"HTTP/1.1 102 X\r\n\r\n" * 2_000,
        b"HTTP/1.1 400 X\r\nA: " + b"a" * 40_000,
    ],
)
async def test_what_is_no_answer_is_given_up_at_once(garbage: bytes) -> None:
    async with orders() as (connection, venue):
        outcome, _ = await exchanged(connection, venue, garbage)
        assert outcome == "unknown"


# ---- a new connection ---------------------------------------------------------------------------


async def test_a_connection_that_is_not_made_has_sent_nothing(
    certified: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert certified is not None
    async with orders(certified) as (connection, venue):
        for count in (0, 1, 5, 60, 200, 700):  # of what the venue says in the handshake

            async def serve(count: int = count) -> None:
                peer = await venue.accept_plain()
                await peer.read_bytes(5)
                peer.send((await peer.hello(certified[0]))[:count])
                peer.end()

            assert await beside(serve(), posted(connection)) == "not sent"
        monkeypatch.setattr(order_connection, "CONNECT_TIMEOUT_S", 0.05)
        assert await posted(connection) == "not sent"  # it says nothing
        venue.close()
        assert await posted(connection) == "not sent"


def stand_still(monkeypatch: pytest.MonkeyPatch, for_s: float) -> None:
    loop, time_s = asyncio.get_running_loop(), asyncio.get_running_loop().time
    monkeypatch.setattr(loop, "time", lambda: time_s() + for_s)


async def test_a_loop_that_stood_still_as_it_connected_sends_nothing(
    tls: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def standing_still(*args: Any) -> KeptConnection:
        connection = await open_connection(*args)
        stand_still(monkeypatch, 25)
        return connection

    monkeypatch.setattr(order_connection, "open_connection", standing_still)
    async with orders(tls) as (connection, venue):

        async def serve() -> None:
            await silent(await venue.accept())

        assert await beside(serve(), posted(connection)) == "not sent"
        assert not connection._open


async def test_nor_does_one_that_stood_still_while_an_order_waited_for_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with orders() as (connection, venue):
        for _ in range(CONNECTIONS_MAX):
            await connection._turns.acquire()
        waiting = asyncio.create_task(posted(connection))
        await asyncio.sleep(0)
        connection._turns.release()
        stand_still(monkeypatch, 1)
        assert await waiting == "not sent"
        assert venue.nobody_else_came()
        outcome, _ = await exchanged(connection, venue)  # the turn was given back
        assert text(outcome) == REFUSED.decode()


async def test_an_answer_that_comes_along_with_the_handshake_is_nobody_s(tmp_path: Path) -> None:
    ours, theirs = contexts(tmp_path, "localhost")
    ours.maximum_version = ssl.TLSVersion.TLSv1_2  # whose handshake the server ends
    async with orders((ours, theirs)) as (connection, venue):

        async def serve() -> None:
            peer = await venue.accept_plain()
            peer.send(await peer.shake_hands(ours) + peer.on_wire(ANSWER))
            await silent(peer)

        assert await beside(serve(), posted(connection)) == "not sent"


async def test_a_venue_with_another_s_certificate_is_sent_nothing(certified: Contexts) -> None:
    assert certified is not None
    with raw_venue(certified[0]) as venue:
        connection = OrderConnection(venue.url, CREDENTIALS)  # trusts whom all trust

        async def serve() -> None:
            peer = await venue.accept_plain()
            await peer.read_bytes(5)
            peer.send(await peer.hello(certified[0]))
            assert await peer.read_to_end() == b""

        with pytest.raises(NotSentError, match="certificate verify failed"):
            await asyncio.gather(connection.post(BODY), serve())


async def test_orders_at_once_have_connections_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with orders() as (connection, venue):
        posts = [asyncio.create_task(connection.post(b"%d" % at)) for at in range(CONNECTIONS_MAX)]
        asked = []
        for _ in posts:
            peer = await venue.accept()
            asked.append((await peer.read_request()).rpartition(b"\r\n")[2])
        monkeypatch.setattr(order_connection, "TURN_TIMEOUT_S", 0.01)
        assert await posted(connection) == "not sent"
        monkeypatch.setattr(order_connection, "TURN_TIMEOUT_S", 20.0)
        waiting = asyncio.create_task(posted(connection))
        await asyncio.sleep(0)
        for peer, body in reversed([*zip(venue.peers, asked, strict=True)]):
            peer.say(b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        said = [answer.body for answer in await asyncio.gather(*posts)]
        assert said == [b"%d" % at for at in range(CONNECTIONS_MAX)]
        readers = [asyncio.create_task(answers(peer)) for peer in venue.peers]
        assert text(await waiting) == OTHER.decode()
        for reader in readers:
            reader.cancel()
        assert venue.nobody_else_came()


@pytest.mark.parametrize("when", ["connecting", "waiting"])
async def test_an_order_that_is_cancelled_leaves_nothing_behind(
    when: str, certified: Contexts
) -> None:
    async with orders(certified) as (connection, venue):
        for _ in range(CONNECTIONS_MAX + 1):  # each has had its turn back
            posting = asyncio.create_task(connection.post(BODY))
            peer = await (venue.accept() if when == "waiting" else venue.accept_plain())
            await (peer.read_request() if when == "waiting" else peer.read_bytes(5))
            posting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await posting
            await peer.read_to_end()
        outcome, _ = await exchanged(connection, venue)
        assert text(outcome) == REFUSED.decode()


async def test_an_address_of_which_nothing_came_before_the_order_was_given_up_is_doubted() -> None:
    async with orders() as (connection, venue):
        _, peer = await exchanged(connection, venue)
        assert not connection._dialer._unproven
        posting = asyncio.create_task(connection.post(BODY))
        await peer.read_request()
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting
        assert [*connection._dialer._unproven] == [("127.0.0.1", venue.port)]


async def test_an_answer_on_an_older_connection_is_no_word_for_the_address_of_the_latest(
    certified: Contexts,
) -> None:
    async with orders(certified) as (connection, venue):
        _, peer = await exchanged(connection, venue)
        first = asyncio.create_task(posted(connection))
        await peer.read_request()
        second = asyncio.create_task(posted(connection))
        (await venue.accept_plain()).reset()  # no handshake: only TCP works there
        assert await second == "not sent"
        peer.say(ANSWER)
        assert text(await first) == REFUSED.decode()
        assert [*connection._dialer._unproven] == [("127.0.0.1", venue.port)]


async def test_closing_ends_what_waits_and_sends_no_more() -> None:
    async with orders() as (connection, venue):
        posting = asyncio.create_task(posted(connection))
        peer = await venue.accept()
        await peer.read_request()
        await connection.close()
        assert await posting == "unknown"
        assert await posted(connection) == "not sent"
