"""Whose API credentials these are: what the venue may answer, and what it proves."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.canned_venue import CannedVenue, canned_venue
from tests.support.user_channel_frames import CREDENTIALS, SECRETS
from venue.credentials import prove_credentials
from venue.errors import AccountRefusedError, VenueError

PATH = "/auth/api-keys"
UNAUTHORIZED = {"error": "Unauthorized/Invalid api key"}


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned_venue() as opened:
        opened.says("/time", int(time.time()))
        yield opened


async def test_the_signer_s_own_are_taken(venue: CannedVenue) -> None:
    venue.says(PATH, {"apiKeys": ["another", CREDENTIALS.key]})
    await prove_credentials(venue.url, CREDENTIALS)
    assert [path for path, _ in venue.requests] == [PATH]


@pytest.mark.parametrize("keys", [[], ["another"]])
async def test_a_key_that_is_not_among_the_signer_s_is_refused(
    venue: CannedVenue, keys: list[str]
) -> None:
    venue.says(PATH, {"apiKeys": keys})
    with pytest.raises(AccountRefusedError) as refused:
        await prove_credentials(venue.url, CREDENTIALS, "API_CREDENTIALS_SECRET")
    assert str(refused.value).startswith("API_CREDENTIALS_SECRET: not an API key of the signer 0x")
    assert not any(secret in str(refused.value) for secret in SECRETS)


@pytest.mark.parametrize("status", [401, 403])
async def test_what_the_venue_itself_refuses_is_refused(venue: CannedVenue, status: int) -> None:
    venue.says(PATH, {"error": f"Invalid api key {CREDENTIALS.key}"}, status)
    with pytest.raises(AccountRefusedError) as refused:
        await prove_credentials(venue.url, CREDENTIALS)
    assert str(refused.value).startswith("API_KEY: the venue does not take")
    assert not any(secret in str(refused.value) for secret in SECRETS)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (403, "<html>", "text/html"),
        (401, "Unauthorized", "text/plain"),
        (407, json.dumps(UNAUTHORIZED), "application/json"),
        (400, json.dumps(UNAUTHORIZED), "application/json"),
        (429, json.dumps({"error": "slow down"}), "application/json"),
        (403, json.dumps({"error": "Trading restricted in your region"}), "application/json"),
        (403, json.dumps({"error": "trading is disabled"}), "application/json"),
        (401, json.dumps({"error": "could not verify: context canceled"}), "application/json"),
        (503, "", "text/plain"),
        (302, "", "text/html"),
        (200, "<html>", "text/html"),
        (200, "", "application/json"),
        (200, '{"apiKeys": ["', "application/json"),
        (200, "{}", "application/json"),
        (200, '{"apiKeys": null}', "application/json"),
        (200, "[]", "application/json"),
    ],
)
async def test_what_proves_nothing_is_asked_again(
    venue: CannedVenue, status: int, text: str, kind: str
) -> None:
    venue.says_text(PATH, text, status, kind)
    with pytest.raises(VenueError) as unknown:
        await prove_credentials(venue.url, CREDENTIALS)
    assert str(unknown.value).startswith(f"{venue.url}{PATH}: ")


async def test_a_clock_that_is_off_is_blamed_and_not_the_credentials(venue: CannedVenue) -> None:
    venue.says(PATH, UNAUTHORIZED, 401)
    venue.says("/time", int(time.time()) - 90)
    with pytest.raises(VenueError, match=r"our clock is (89|90|91) s ahead of the venue's"):
        await prove_credentials(venue.url, CREDENTIALS)


async def test_nobody_there_proves_nothing() -> None:
    with pytest.raises(VenueError, match=r"http://127\.0\.0\.1:1/auth/api-keys: "):
        await prove_credentials("http://127.0.0.1:1", CREDENTIALS)
