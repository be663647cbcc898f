"""The connections of orders: kept open, and what goes over them: requests as the official client
writes them, and nobody's credentials back."""

from __future__ import annotations

import asyncio
import inspect
import time
from types import SimpleNamespace
from typing import Any

import pytest
from polymarket.clients._transport import AsyncTransport, TransportOptions
from polymarket.clients.async_secure import _make_l2_header_resolver
from polymarket.models.clob import ApiKeyCreds

from functions.adapters.live_exchange import WARM_TIMEOUT_S
from tests.support.raw_orders import (
    ANSWER,
    BODY,
    OPEN,
    REFUSED,
    Contexts,
    answers,
    kept_warm,
    orders,
    posted,
)
from tests.support.raw_venue import RawVenue, raw_venue
from tests.support.user_channel_frames import CREDENTIALS, SECRETS
from venue.auth import Credentials
from venue.errors import OrderUnknownError, VenueRefusedError, VenueUnreachableError
from venue.trading import order_connection
from venue.trading.order_connection import CONNECT_TIMEOUT_S, KEPT, OrderConnection

pytestmark = pytest.mark.usefixtures("slow_machine")


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certified: Contexts) -> Contexts:
    return certified if request.param == "tls" else None


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
        first = venue.peers[0]
        serving = asyncio.gather(first.skip_request(), kept_by_new(venue))
        assert await connection.keep_warm(timeout_s=0.5) is False
        await serving
        await first.read_to_end()  # we have hung up


def test_a_silent_connection_leaves_time_for_another() -> None:
    silent_s = inspect.signature(OrderConnection.keep_warm).parameters["timeout_s"].default
    assert KEPT * (CONNECT_TIMEOUT_S + silent_s) <= WARM_TIMEOUT_S


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
        reading = {asyncio.create_task(peer.read_to_end()) for peer in venue.peers}
        pinging = asyncio.create_task(connection.keep_warm())
        for _ in range(3):
            _, reading = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
            if len(reading) <= KEPT:
                break
        assert len(reading) == KEPT
        for task in (pinging, *reading):
            task.cancel()


async def test_what_the_venue_has_closed_is_not_among_those_that_are_kept() -> None:
    async with orders() as (connection, venue):
        posts = [asyncio.create_task(posted(connection)) for _ in range(2 * KEPT)]
        for _ in posts:
            await answers(await venue.accept())
        await asyncio.gather(*posts)
        for latest in connection._idle[-KEPT:]:
            latest.close("by the venue")
        both = asyncio.gather(*(answers(peer, OPEN) for peer in venue.peers[:KEPT]))
        assert await connection.keep_warm() is False
        await both
        assert venue.nobody_else_came()


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
