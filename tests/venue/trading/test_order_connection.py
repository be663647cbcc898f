"""The connections of orders: which of them an order leaves on, what is proof that it never left,
and that no answer is taken for another order's."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from polymarket.clients._transport import AsyncTransport, TransportOptions
from polymarket.clients.async_secure import _make_l2_header_resolver
from polymarket.models.clob import ApiKeyCreds

from runtime.dialer import Dialer
from tests.support.certificates import contexts
from tests.support.raw_orders import (
    ANSWER,
    BODY,
    REFUSED,
    Contexts,
    beside,
    exchanged,
    orders,
    posted,
    text,
)
from tests.support.raw_venue import RawPeer, RawVenue, raw_venue
from tests.support.user_channel_frames import CREDENTIALS, SECRETS
from venue.auth import Credentials
from venue.errors import NotSentError, OrderUnknownError, VenueRefusedError, VenueUnreachableError
from venue.trading import order_connection
from venue.trading.kept_connection import open_connection
from venue.trading.order_connection import CONNECTIONS_MAX, OrderConnection

OTHER = b'{"error":"other"}'
OTHER_ANSWER = b"HTTP/1.1 400 X\r\nContent-Length: 17\r\n\r\n" + OTHER
OPEN = b'HTTP/1.1 200 X\r\nContent-Length: 21\r\n\r\n{"closed_only":false}'


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_connection, "CONNECT_TIMEOUT_S", 20.0)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return contexts(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certified: Contexts) -> Contexts:
    return certified if request.param == "tls" else None


async def kept_warm(connection: OrderConnection, venue: RawVenue) -> bool:
    """Both connections open, by the venue's leave."""

    async def serve() -> None:
        for _ in range(order_connection.KEPT):
            peer = await venue.accept()
            await peer.read_request()
            peer.say(OPEN)

    serving = asyncio.create_task(serve())
    closed_only = await connection.keep_warm()
    await serving
    return closed_only


async def answers(peer: RawPeer, answer: bytes = OTHER_ANSWER) -> None:
    """One request on a connection that is there."""
    await peer.read_request()
    peer.say(answer)


async def silent(peer: RawPeer) -> None:
    """Wait until we have hung up, and see that there was no request before."""
    assert await peer.read_to_end() == b""


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


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("seen", [False, True])
def test_a_connection_on_which_anything_came_is_not_used(
    run: Callable[..., None], seen: bool, certified: Contexts
) -> None:
    """Also when nothing of it has been read yet, and when it is part of a record."""

    async def each(fault: Callable[[RawPeer], None], tls: Contexts) -> None:
        async with orders(tls) as (connection, venue):
            await exchanged(connection, venue)
            fault(venue.peers[0])
            if seen:
                await asyncio.sleep(0.001)
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


async def test_closing_ends_what_waits_and_sends_no_more() -> None:
    async with orders() as (connection, venue):
        posting = asyncio.create_task(posted(connection))
        peer = await venue.accept()
        await peer.read_request()
        await connection.close()
        assert await posting == "unknown"
        assert await posted(connection) == "not sent"


# ---- kept open ----------------------------------------------------------------------------------


async def test_two_are_kept_open_and_what_died_is_replaced(tls: Contexts) -> None:
    async with orders(tls) as (connection, venue):
        await kept_warm(connection, venue)
        first, second = venue.peers
        first.reset()
        serving = asyncio.gather(answers(second, OPEN), kept_by_new(venue))
        assert await connection.keep_warm() is False
        await serving
        assert len(venue.peers) == 3


async def kept_by_new(venue: RawVenue, answer: bytes = OPEN) -> None:
    await answers(await venue.accept(), answer)


async def test_a_connection_that_died_without_a_word_is_replaced() -> None:
    async with orders() as (connection, venue):
        await kept_warm(connection, venue)
        first, second = venue.peers
        serving = asyncio.gather(first.skip_request(), kept_by_new(venue))
        assert await connection.keep_warm(timeout_s=0.05) is False
        await serving
        await silent(second) if second.requests > 1 else None
        await first.read_to_end()  # we have hung up


async def test_what_an_answer_says_of_the_account_is_told() -> None:
    async with orders() as (connection, venue):
        closed = OPEN.replace(b"21", b"20").replace(b"false", b"true")

        async def serve() -> None:
            await kept_by_new(venue)
            await kept_by_new(venue, closed)

        serving = asyncio.create_task(serve())
        assert await connection.keep_warm() is True
        await serving
        refusal = b"HTTP/1.1 401 X\r\nContent-Length: 16\r\n\r\n" + REFUSED
        for answer, error in (
            (refusal, VenueRefusedError),
            (ANSWER, VenueRefusedError),
            (OPEN.replace(b"closed", b"cl0sed"), VenueUnreachableError),
        ):
            both = asyncio.gather(*(answers(peer, answer) for peer in venue.peers))
            with pytest.raises(error):
                await connection.keep_warm()
            await both


async def test_more_than_are_kept_are_closed_with_the_next_round() -> None:
    async with orders() as (connection, venue):
        posts = [asyncio.create_task(posted(connection)) for _ in range(5)]
        for _ in posts:
            await answers(await venue.accept())
        await asyncio.gather(*posts)
        serving = [asyncio.create_task(peer.read_to_end()) for peer in venue.peers]
        pinging = asyncio.create_task(connection.keep_warm(timeout_s=0.05))
        done, still = await asyncio.wait(serving, timeout=0.02)
        assert (len(done), len(still)) == (3, 2)
        with pytest.raises(VenueUnreachableError):
            await pinging


# ---- what is sent and said ----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_requests_are_the_official_client_s_byte_for_byte(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_795_996_189.7)
    key, secret, passphrase = SECRETS
    signer: Any = SimpleNamespace(address=CREDENTIALS.address)
    given = ApiKeyCreds(key=key, secret=secret, passphrase=passphrase)
    path = "/order" if method == "POST" else order_connection._CLOSED_ONLY
    with raw_venue() as venue:
        client = AsyncTransport(
            base_url=venue.url,
            options=TransportOptions(http2=False),
            header_resolver=_make_l2_header_resolver(signer, given),
        )
        client._client.headers["Accept-Encoding"] = "identity"
        asked = client.get_json(path) if method == "GET" else client.post_json(path, json=[1.1])
        asking = asyncio.create_task(asked)
        peer = await venue.accept()
        theirs = await peer.read_request()
        peer.say(OPEN)
        await asking
        await client.close()
        body = theirs.partition(b"\r\n\r\n")[2]
        ours = OrderConnection(venue.url, CREDENTIALS)._requests.made(method, path, body)[0]
    assert ours == theirs


async def test_a_base_with_a_path_is_kept_and_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_795_996_189.7)
    plain = OrderConnection("https://h.example", CREDENTIALS)._requests
    below = OrderConnection("https://h.example:443/clob/", CREDENTIALS)._requests
    assert below.made("GET", "/x")[0] == plain.made("GET", "/x")[0].replace(
        b"GET ", b"GET /clob", 1
    )


@pytest.mark.parametrize("wrong", [{"key": "a\r\nB: c"}, {"passphrase": ""}, {"secret": "!secret"}])
async def test_credentials_that_no_header_can_have_are_refused_without_a_word_of_them(
    wrong: dict[str, str],
) -> None:
    given = {"address": "0x1", "key": "k", "secret": "c2VjcmV0", "passphrase": "p"}
    with pytest.raises(ValueError, match="credentials") as refused:
        OrderConnection("http://h.example", Credentials(**{**given, **wrong}))
    assert not any(each and each in str(refused.value) for each in wrong.values())


async def test_no_answer_and_no_error_shows_a_secret() -> None:
    async with orders() as (connection, venue):

        async def repeat(head: bytes) -> None:
            peer = await venue.accept()
            request = await peer.read_request()
            peer.say(head % len(request) + request if b"%d" in head else head + request)
            peer.end()

        echo = b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n"
        answer, _ = await asyncio.gather(connection.post(BODY), repeat(echo))
        said = answer.body.decode()
        shown = [said, repr(connection), repr(vars(connection)["_credentials"])]
        for head in (b"", b"HTTP/1.1 ", b"HTTP/1.1 400 X\r\n"):
            with pytest.raises(OrderUnknownError) as failed:
                await asyncio.gather(connection.post(BODY), repeat(head))
            shown.append(f"{failed.value!r} {failed.value.__cause__!r}")
        assert "POLY_API_KEY: ***" in said
        assert "POLY_SIGNATURE: ***" in said
        for each in shown:
            assert not any(secret in each for secret in SECRETS)
