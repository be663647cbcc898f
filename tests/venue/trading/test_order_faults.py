"""An order's connection that breaks at every byte of the request and of the answer: whether the
order was sent is told without a gap, and the venue sees it once at most. On production's loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import uvloop

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
from tests.support.raw_venue import RawPeer

pytestmark = pytest.mark.usefixtures("slow_machine")

CHUNKED = (
    b"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\n" + REFUSED[:7] + b"\r\n9;x=y\r\n" + REFUSED[7:] + b"\r\n0\r\nA: b\r\n\r\n"
)
EARLY = b"HTTP/1.1 103 X\r\nA: b\r\n\r\n" + ANSWER
UNTIL_CLOSE = b"HTTP/1.1 400 X\r\n\r\n" + REFUSED
EMPTY = b"HTTP/1.1 204 X\r\n\r\n"
HEAD_LENGTH = len(ANSWER) - len(REFUSED)
RECORD_HEADER, RECORD_END = 5, 17
"""Of TLS 1.3: the content's type and the tag stand at the end."""


def end(peer: RawPeer) -> None:
    peer.end()


def reset(peer: RawPeer) -> None:
    peer.reset()


def say_goodbye(peer: RawPeer) -> None:
    peer.send(peer.close_notify())


BREAKS = [end, reset]


@pytest.fixture(scope="module")
def tls(certified: Contexts) -> Contexts:
    return certified


def near(*boundaries: int, until: int, step: int = 24) -> list[int]:
    """Counts of bytes from 1 up to, but not including, `until`: those beside a boundary, and every
    so many."""
    beside_them = {at + by for at in boundaries for by in (-1, 0, 1)}
    return sorted(x for x in beside_them | set(range(1, until, step)) if 0 < x < until)


# ---- the request --------------------------------------------------------------------------------


async def broken_in_request(
    breaks: Callable[[RawPeer], None], counts: Iterable[int], tls: Contexts = None
) -> None:
    async with orders(tls) as (connection, venue):
        for count in counts:
            if tls is not None:
                await exchanged(connection, venue)  # so that the handshake is read to its end

            async def serve(count: int = count) -> None:
                peer = await venue.accept() if tls is None else venue.peers[0]
                await peer.read_bytes(count)
                breaks(peer)

            assert await beside(serve(), posted(connection)) == "unknown"
            assert venue.nobody_else_came()
            venue.hang_up()


def request_length() -> int:
    async def measured() -> int:
        async with orders() as (connection, _):
            return len(connection._requests.made("POST", "/order", BODY)[0])

    return uvloop.run(measured())


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_venue_that_breaks_off_at_any_byte_of_a_request_leaves_it_unknown(
    breaks: Callable[[RawPeer], None],
) -> None:
    uvloop.run(broken_in_request(breaks, range(1, request_length() + 1)))


@pytest.mark.parametrize("breaks", [*BREAKS, say_goodbye])
def test_so_does_one_that_breaks_off_within_the_request_s_record(
    breaks: Callable[[RawPeer], None], tls: Contexts
) -> None:
    plain = request_length()
    whole = RECORD_HEADER + plain + RECORD_END
    counts = near(RECORD_HEADER, RECORD_HEADER + plain, whole, until=whole + 1, step=48)
    uvloop.run(broken_in_request(breaks, counts, tls))


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_request_that_the_socket_takes_in_part_is_unknown_when_it_breaks(
    breaks: Callable[[RawPeer], None],
) -> None:
    async def run() -> None:
        async with orders() as (connection, venue):
            _, peer = await exchanged(connection, venue)

            async def serve() -> None:
                await peer.read_bytes(1)
                breaks(peer)

            assert await beside(serve(), posted(connection, b" " * (16 << 20))) == "unknown"
            assert venue.nobody_else_came()

    uvloop.run(run())


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_request_that_the_socket_takes_in_part_is_written_to_its_end(
    over_tls: bool, tls: Contexts
) -> None:
    async def run() -> None:
        async with orders(tls if over_tls else None) as (connection, venue):
            _, peer = await exchanged(connection, venue)
            long = b"0123456789" * (1 << 19)

            async def serve() -> None:
                assert (await peer.read_request()).endswith(b"\r\n\r\n" + long)
                peer.say(ANSWER)

            assert text(await beside(serve(), posted(connection, long))) == REFUSED.decode()

    uvloop.run(run())


# ---- the answer ---------------------------------------------------------------------------------


async def answered(
    pieces: list[bytes],
    breaks: Callable[[RawPeer], None],
    counts: Iterable[int] | None = None,
    tls: Contexts = None,
) -> list[str]:
    """What becomes of orders whose answer, a record for each piece, is cut after so many bytes on
    the wire, by default every number of them."""
    outcomes = []
    async with orders(tls) as (connection, venue):
        for count in range(len(b"".join(pieces)) + 1) if counts is None else counts:

            async def serve(count: int = count) -> None:
                peer = await venue.accept()
                await peer.read_request()
                peer.send(b"".join(map(peer.on_wire, pieces))[:count])
                breaks(peer)

            outcomes.append(text(await beside(serve(), posted(connection))))
            assert venue.nobody_else_came()
            venue.hang_up()
    return outcomes


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED, EARLY, EMPTY])
def test_an_answer_that_ends_at_any_byte_proves_nothing(answer: bytes) -> None:
    *cut, whole = uvloop.run(answered([answer], end))
    assert cut == ["unknown"] * len(answer)
    assert whole == ("" if answer == EMPTY else REFUSED.decode())


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED])
def test_an_answer_that_is_reset_at_any_byte_proves_nothing(answer: bytes) -> None:
    *cut, whole = uvloop.run(answered([answer], reset))
    assert cut == ["unknown"] * len(answer)
    assert whole in ("unknown", REFUSED.decode())  # what was not read yet may be gone


def test_an_answer_that_only_the_end_of_the_connection_ends_may_have_been_cut(
    tls: Contexts,
) -> None:
    assert set(uvloop.run(answered([UNTIL_CLOSE], end))) == {"unknown"}
    assert uvloop.run(answered([UNTIL_CLOSE], say_goodbye, [1 << 20], tls)) == ["unknown"]


@pytest.mark.parametrize("breaks", [*BREAKS, say_goodbye])
def test_an_answer_in_records_that_breaks_off_proves_nothing(
    breaks: Callable[[RawPeer], None], tls: Contexts
) -> None:
    pieces = [ANSWER[:HEAD_LENGTH], REFUSED]
    first = RECORD_HEADER + HEAD_LENGTH + RECORD_END
    whole = first + RECORD_HEADER + len(REFUSED) + RECORD_END
    counts = [0, *near(RECORD_HEADER, first, first + RECORD_HEADER, whole, until=whole, step=12)]
    if breaks is say_goodbye:  # a record of its own
        counts = [0, first]
    cut = uvloop.run(answered(pieces, breaks, counts, tls))
    assert cut == ["unknown"] * len(cut)
    if breaks is not reset:
        assert uvloop.run(answered(pieces, breaks, [whole], tls)) == [REFUSED.decode()]
