"""What the venue, or what stands before it, may answer to a log-in, and what each proves."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest
from aiohttp import web
from eth_account import Account

from tests.support.canned_venue import KEY, CannedVenue, account, canned_venue
from venue.errors import AccountRefusedError, VenueError
from venue.trading.api_key import CREATE, DERIVE, api_key_of

GIVEN = {"apiKey": "derived-key", "secret": "c2VjcmV0", "passphrase": "derived-phrase"}
L1 = {"error": "Invalid L1 Request headers"}
PAGE = "<html><title>Just a moment...</title></html>"


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned_venue() as opened:
        opened.says("/time", int(time.time()))
        yield opened


def asked(venue: CannedVenue) -> list[str]:
    return [path for path, _ in venue.requests if path.startswith("/auth")]


async def key_at(venue: CannedVenue) -> str:
    return (await api_key_of(Account.from_key(KEY.key), venue.url)).key


async def no_verdict(venue: CannedVenue) -> str:
    with pytest.raises(VenueError) as unknown:
        await key_at(venue)
    text = str(unknown.value)
    assert "\n" not in text
    assert "PRIVATE_KEY" not in text
    return text


async def test_a_key_that_is_created_is_asked_for_once(venue: CannedVenue) -> None:
    assert await key_at(venue) == "canned-key"
    assert asked(venue) == [CREATE]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 418, 429, 451, 500, 502, 503])
@pytest.mark.parametrize("body", [PAGE, "", "blocked", json.dumps({"error": "no"})])
async def test_whatever_creating_meets_the_other_endpoint_is_asked(
    venue: CannedVenue, status: int, body: str
) -> None:
    kind = "application/json" if body.startswith("{") else "text/html"
    venue.says_text(CREATE, body, status, kind)
    venue.says(DERIVE, GIVEN)
    assert await key_at(venue) == "derived-key"
    assert asked(venue) == [CREATE, DERIVE]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (403, PAGE, "text/html"),
        (401, PAGE, "text/html"),
        (400, PAGE, "application/xhtml+xml"),
        (401, "Unauthorized", "text/plain"),
        (403, "error code: 1020", "text/plain"),
        (403, json.dumps({"message": "Forbidden"}), "application/json"),
        (403, json.dumps({"cloudflare_error": True, "status": 403}), "application/problem+json"),
        (403, json.dumps({"error": {"code": 1020}}), "application/json"),
        (403, '{"error": "trunca', "application/json"),
        (403, json.dumps({"error": "Trading restricted in your region"}), "application/json"),
        (403, json.dumps({"error": "trading is disabled"}), "application/json"),
        (401, json.dumps({"error": "Invalid L1 Request headers: timeout"}), "application/json"),
        (400, json.dumps({"error": "Could not create api key"}), "application/json"),
        (400, json.dumps({"error": "context canceled"}), "application/json"),
        (407, "proxy", "text/plain"),
        (407, json.dumps({"error": "unauthorized"}), "application/json"),
        (418, "", "text/plain"),
        (429, json.dumps({"error": "slow down"}), "application/json"),
        (451, json.dumps({"error": "unauthorized"}), "application/json"),
        (503, json.dumps({"code": "restarting"}), "application/json"),
        (302, "", "text/html"),
        (200, PAGE, "text/html"),
        (200, "", "application/json"),
        (200, json.dumps(GIVEN)[:-9], "application/json"),
        (200, json.dumps({**GIVEN, "secret": "not*base64"}), "application/json"),
        (200, json.dumps({**GIVEN, "apiKey": ""}), "application/json"),
        (200, json.dumps({**GIVEN, "apiKey": "two\nlines"}), "application/json"),
        (200, json.dumps({**GIVEN, "passphrase": None}), "application/json"),
        (200, json.dumps([GIVEN]), "application/json"),
    ],
)
async def test_what_proves_nothing_is_not_the_key_s_fault(
    venue: CannedVenue, status: int, text: str, kind: str
) -> None:
    for path in (CREATE, DERIVE):
        venue.says_text(path, text, status, kind)
    said = await no_verdict(venue)
    assert venue.url in said
    assert str(status) in said or status == 200
    assert asked(venue) == [CREATE, DERIVE]


async def test_a_challenge_in_json_is_cloudflare_s_too(venue: CannedVenue) -> None:
    async def challenge(_: web.Request) -> web.Response:
        return web.json_response(L1, status=403, headers={"cf-mitigated": "challenge"})

    venue.answers[CREATE] = venue.answers[DERIVE] = challenge
    await no_verdict(venue)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "Invalid L1 Request headers"),
        (401, "Unauthorized/Invalid api key"),
        (403, "address banned"),
        (400, "address banned"),
        (400, "invalid signature"),
    ],
)
@pytest.mark.parametrize("other", [True, False])
async def test_the_venue_s_own_refusal_beside_a_clock_that_agrees_is_final(
    venue: CannedVenue, status: int, text: str, other: bool
) -> None:
    venue.says(CREATE, {"error": text}, status)
    if other:
        venue.says(DERIVE, {"error": text}, status)
    with pytest.raises(AccountRefusedError) as refused:
        await key_at(venue)
    said = str(refused.value)
    assert said.startswith("PRIVATE_KEY: the venue refuses to log in")
    assert text in said


@pytest.mark.parametrize(("ahead_s", "word"), [(3_700, "behind"), (-312, "ahead of")])
@pytest.mark.parametrize("by", ["Date", "/time"])
async def test_a_clock_that_is_off_is_blamed_and_not_the_key(
    venue: CannedVenue, ahead_s: int, word: str, by: str
) -> None:
    theirs_s = int(time.time()) + ahead_s
    headers = {"Date": formatdate(theirs_s, usegmt=True)} if by == "Date" else {}

    async def refused(_: web.Request) -> web.Response:
        return web.json_response(L1, status=401, headers=headers)

    venue.answers[CREATE] = venue.answers[DERIVE] = refused
    if by == "/time":
        venue.says("/time", theirs_s)
    said = await no_verdict(venue)
    assert f"{word} the venue's" in said
    told_s = int(said.partition("our clock is ")[2].split()[0])
    assert abs(told_s - abs(ahead_s)) <= 3
    assert "NTP" in said


async def test_a_clock_that_nobody_knows_leaves_no_verdict(venue: CannedVenue) -> None:
    async def refused(_: web.Request) -> web.Response:
        return web.json_response(L1, status=401, headers={"Date": "yesterday"})

    venue.answers[CREATE] = venue.answers[DERIVE] = refused
    venue.says_text("/time", PAGE, 200, "text/html")
    assert "Invalid L1" in await no_verdict(venue)


async def test_nobody_there_is_no_verdict() -> None:
    url = "http://127.0.0.1:1"
    with pytest.raises(VenueError) as lost:
        await api_key_of(Account.from_key(KEY.key), url)
    assert url in str(lost.value)


async def test_the_signature_is_not_repeated(venue: CannedVenue) -> None:
    """Whoever has it gets the API credentials."""
    signatures = []

    async def echo(request: web.Request) -> web.Response:
        signatures.append(request.headers["POLY_SIGNATURE"])
        return web.json_response({"error": f"bad {signatures[-1]}"}, status=500)

    venue.answers[CREATE] = venue.answers[DERIVE] = echo
    said = await no_verdict(venue)
    assert "***" in said
    assert signatures[0][2:40] not in said


async def test_no_redirect_is_followed(venue: CannedVenue) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/other"})

    venue.answers[CREATE] = venue.answers[DERIVE] = elsewhere
    venue.says("/other", GIVEN)
    assert "307" in await no_verdict(venue)
    assert asked(venue) == [CREATE, DERIVE]
    assert "/other" not in [path for path, _ in venue.requests]


def test_the_account_of_the_canned_venue_is_this_key() -> None:
    assert account("http://h").wallet == KEY.address
