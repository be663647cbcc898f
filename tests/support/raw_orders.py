"""Orders on a connection to the raw venue, and what becomes of them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from tests.support.raw_venue import RawPeer, RawVenue, raw_venue
from tests.support.user_channel_frames import CREDENTIALS
from venue.errors import NotSentError, OrderUnknownError
from venue.trading.order_connection import KEPT, OrderConnection
from venue.wire.order_answer import HttpAnswer

BODY = b'{"order":1}'
REFUSED = b'{"error":"none"}'
ANSWER = b"HTTP/1.1 400 X\r\nContent-Length: 16\r\n\r\n" + REFUSED
OTHER = b'{"error":"other"}'
OTHER_ANSWER = b"HTTP/1.1 400 X\r\nContent-Length: 17\r\n\r\n" + OTHER
OPEN = b'HTTP/1.1 200 X\r\nContent-Length: 21\r\n\r\n{"closed_only":false}'
LONG_S = 30.0
"""Beyond what any test takes, also on a slow machine."""
Contexts: TypeAlias = tuple[ssl.SSLContext, ssl.SSLContext] | None
Outcome: TypeAlias = HttpAnswer | str


@asynccontextmanager
async def orders(tls: Contexts = None) -> AsyncIterator[tuple[OrderConnection, RawVenue]]:
    """A connection without a connection yet, and the venue that it is for."""
    ours, theirs = tls or (None, None)
    with raw_venue(ours) as venue:
        connection = OrderConnection(venue.url, CREDENTIALS, theirs)
        try:
            yield connection, venue
        finally:
            await connection.close()


async def posted(
    connection: OrderConnection, body: bytes = BODY, *, timeout_s: float = LONG_S
) -> Outcome:
    """The answer to an order, `not sent` or `unknown`."""
    try:
        return await connection.post(body, timeout_s)
    except NotSentError:
        return "not sent"
    except OrderUnknownError:
        return "unknown"


async def beside(
    serve: Coroutine[Any, Any, None], posting: Coroutine[Any, Any, Outcome]
) -> Outcome:
    """What becomes of an order while the venue does its part, which it does in full."""
    serving = asyncio.create_task(serve)
    try:
        async with asyncio.timeout(LONG_S):
            outcome = await posting
            await serving
            return outcome
    finally:
        serving.cancel()


async def exchanged(
    connection: OrderConnection, venue: RawVenue, answer: bytes = ANSWER
) -> tuple[Outcome, RawPeer]:
    """What becomes of an order on a new connection that is answered this, and the venue's side."""

    async def serve() -> None:
        peer = await venue.accept()
        await peer.read_request()
        peer.say(answer)

    return await beside(serve(), posted(connection)), venue.peers[-1]


def text(outcome: Outcome) -> str:
    """The body of an answer, or what else became of the order."""
    return outcome if isinstance(outcome, str) else outcome.body.decode()


async def kept_warm(connection: OrderConnection, venue: RawVenue) -> bool:
    """Both connections open, by the venue's leave."""

    async def serve() -> None:
        for _ in range(KEPT):
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
