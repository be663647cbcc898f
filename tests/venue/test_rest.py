"""The one GET: bounded in time and size, errors of its own, no secrets in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.support.canned_venue import CannedVenue, canned_venue
from tests.support.user_channel_frames import CREDENTIALS, SECRETS
from venue import rest
from venue.errors import VenueError, VenueRefusedError, VenueUnreachableError
from venue.rest import VenueReads, get_bytes


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned_venue() as opened:
        yield opened


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with rest.open_session() as session:
        yield session


async def test_a_success_is_its_bytes(venue: CannedVenue, http: aiohttp.ClientSession) -> None:
    venue.says_text("/book", "[1]", 201)
    assert await get_bytes(http, venue.url, "/book", {"token_id": "1"}) == b"[1]"
    assert venue.requests == [("/book", {"token_id": "1"})]


@pytest.mark.parametrize("status", [302, 400, 404, 429, 503])
async def test_any_other_status_is_a_refusal_in_the_venue_s_own_words(
    venue: CannedVenue, http: aiohttp.ClientSession, status: int
) -> None:
    venue.says("/book", {"error": "order\nnot found"}, status)
    with pytest.raises(VenueRefusedError) as refused:
        await get_bytes(http, venue.url, "/book")
    assert (refused.value.status, refused.value.reason) == (status, "order\nnot found")
    assert str(refused.value) == f"HTTP {status}: order not found"
    assert len(venue.requests) == 1


async def test_credentials_follow_no_redirect_and_public_questions_do(
    venue: CannedVenue, http: aiohttp.ClientSession
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/other"})

    venue.answers["/book"] = elsewhere
    venue.says_text("/other", "[2]")
    with pytest.raises(VenueRefusedError):
        await get_bytes(http, venue.url, "/book", credentials=CREDENTIALS)
    assert [path for path, _ in venue.requests] == ["/book"]
    assert await get_bytes(http, venue.url, "/book") == b"[2]"


async def test_a_secret_that_is_none_is_no_defect(
    venue: CannedVenue, http: aiohttp.ClientSession
) -> None:
    bad = msgspec.structs.replace(CREDENTIALS, secret="!")
    with pytest.raises(VenueUnreachableError, match="not base64"):
        await get_bytes(http, venue.url, "/book", credentials=bad)


async def test_a_refusal_keeps_the_whole_text_of_what_was_said(
    venue: CannedVenue, http: aiohttp.ClientSession
) -> None:
    said = "order not found " + "x" * 400 + " /path"
    venue.says("/book", {"error": said}, 404)
    with pytest.raises(VenueRefusedError) as refused:
        await get_bytes(http, venue.url, "/book")
    assert refused.value.reason == said


async def test_a_body_without_end_is_cut(venue: CannedVenue, http: aiohttp.ClientSession) -> None:
    venue.says_text("/book", "x" * 101)
    with pytest.raises(VenueRefusedError, match="HTTP 200: more than 100 bytes"):
        await get_bytes(http, venue.url, "/book", bytes_max=100)


async def test_silence_is_bounded(venue: CannedVenue, http: aiohttp.ClientSession) -> None:
    gone = venue.falls_silent("/book")
    with pytest.raises(VenueUnreachableError, match=r"no answer within 0\.05 s"):
        await get_bytes(http, venue.url, "/book", timeout_s=0.05)
    await gone.wait()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://", "nonsense", "http://[::1"])
async def test_what_cannot_be_reached_is_one_line(http: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(VenueUnreachableError) as lost:
        await get_bytes(http, url, "/book")
    assert "\n" not in str(lost.value)


async def test_an_echo_of_our_credentials_is_not_repeated(venue: CannedVenue) -> None:
    reads = VenueReads(venue.url, venue.url, CREDENTIALS)
    venue.says_text("/data/trades", json.dumps({"error": " ".join(SECRETS)}), 401)
    with pytest.raises(VenueError) as refused:
        await reads.private("/data/trades", {})
    await reads.close()
    assert not any(secret in str(refused.value) for secret in SECRETS)


async def test_without_credentials_nothing_is_asked_in_an_account_s_name(
    venue: CannedVenue,
) -> None:
    reads = VenueReads(venue.url, venue.url)
    with pytest.raises(ValueError, match="no API credentials"):
        await reads.private("/data/trades", {})
    await reads.close()
    assert venue.requests == []
