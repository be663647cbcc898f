"""The small questions of `executor doctor`, to the simulated venue and to one of nonsense."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from polymarket import AsyncSecureClient

from functions.ports import RecordsError
from sandbox.simulator import Venue, contracts, serve
from tests.support.canned_venue import KEY, CannedVenue, account, canned_venue
from venue.trading import account_checks
from venue.trading.account_checks import Funds
from venue.trading.login import secure_client


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned_venue() as opened:
        yield opened


@pytest.fixture
async def client(venue: CannedVenue) -> AsyncIterator[AsyncSecureClient]:
    opened = await secure_client(account(venue.url))
    yield opened
    await opened.close()


async def test_the_simulated_venue_passes_every_check() -> None:
    simulated = Venue(balance_e6=5_000_000)
    wallet = simulated.account(KEY.address)
    wallet.allowances = {**wallet.allowances, contracts.EXCHANGE_V3: 0}
    async with serve(simulated) as url:
        assert abs(await account_checks.clock_offset_ms(url)) < 1_000
        assert await account_checks.answers_in_ms(f"{url}/time") >= 0
        client = await secure_client(account(url))
        try:
            assert await account_checks.credentials_valid(client)
            assert not await account_checks.closed_only(client)
            assert await account_checks.funds(client) == Funds(
                balance_e6=5_000_000,
                allowances_e6={
                    contracts.STANDARD_EXCHANGE: (1 << 256) - 1,
                    contracts.EXCHANGE_V3: 0,
                },
            )
        finally:
            await client.close()


@pytest.mark.parametrize("ahead_s", [-3600, -3, 3, 3600])
async def test_a_clock_that_is_wrong_is_told_to_the_second(
    venue: CannedVenue, ahead_s: int
) -> None:
    venue.says("/time", int(time.time()) + ahead_s)
    told_ms = await account_checks.clock_offset_ms(venue.url)
    # The smallest that explains it: up to a second (and this test's own time) nearer to zero.
    assert abs(told_ms - ahead_s * 1000) < 2_000
    assert (told_ms > 0) == (ahead_s > 0)
    assert abs(told_ms) <= abs(ahead_s * 1000)


async def test_a_clock_within_the_second_is_right(
    venue: CannedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_999_000_000)
    venue.says("/time", 1_800_000_000)
    assert await account_checks.clock_offset_ms(venue.url) == 0


@pytest.mark.parametrize("blocked", [True, False])
async def test_the_geoblock(venue: CannedVenue, blocked: bool) -> None:
    venue.says("/api/geoblock", {"blocked": blocked, "country": "IE", "region": "L"})
    assert await account_checks.geoblocked(f"{venue.url}/api/geoblock") is blocked


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 200),
        ("<html>", 200),
        ("[" * 100_000, 200),
        ("{}", 200),
        ("7.5", 200),
        ("true", 200),
        ("[]", 200),
        ('{"blocked": "no"}', 200),
        ("1", 500),
        ("1", 429),
        ("1", 403),
    ],
)
async def test_nonsense_is_no_answer(venue: CannedVenue, text: str, status: int) -> None:
    venue.says_text("/time", text, status)
    venue.says_text("/geo", text, status)
    with pytest.raises(RecordsError):
        await account_checks.clock_offset_ms(venue.url)
    with pytest.raises(RecordsError):
        await account_checks.geoblocked(f"{venue.url}/geo")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://", "nonsense", "http://[::1"])
async def test_what_cannot_be_reached_is_one_line(url: str) -> None:
    with pytest.raises(RecordsError) as refused:
        await account_checks.answers_in_ms(url)
    assert str(refused.value).startswith(url)
    assert "\n" not in str(refused.value)


async def test_silence_is_bounded(venue: CannedVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_checks, "ANSWER_TIMEOUT_S", 0.05)
    gone = venue.falls_silent("/time")
    with pytest.raises(RecordsError, match="no answer within"):
        await account_checks.answers_in_ms(f"{venue.url}/time")
    await gone.wait()


async def test_credentials_that_were_revoked(venue: CannedVenue, client: AsyncSecureClient) -> None:
    assert await account_checks.credentials_valid(client)
    venue.says("/auth/api-keys", {"apiKeys": ["another"]})
    assert not await account_checks.credentials_valid(client)
    venue.says("/auth/api-keys", {"error": "Unauthorized/Invalid api key"}, 401)
    assert not await account_checks.credentials_valid(client)
    venue.says("/auth/api-keys", {"error": "?"}, 500)
    with pytest.raises(RecordsError):
        await account_checks.credentials_valid(client)


async def test_closed_only_mode(venue: CannedVenue, client: AsyncSecureClient) -> None:
    venue.says("/auth/ban-status/closed-only", {"closed_only": True})
    assert await account_checks.closed_only(client)
    venue.says("/auth/ban-status/closed-only", {})
    with pytest.raises(RecordsError):
        await account_checks.closed_only(client)


@pytest.mark.parametrize("body", [{}, [], {"balance": "x", "allowances": {}}, {"balance": "1"}])
async def test_funds_that_cannot_be_read_are_not_zero(
    venue: CannedVenue, client: AsyncSecureClient, body: object
) -> None:
    venue.says("/balance-allowance", body)
    with pytest.raises(RecordsError):
        await account_checks.funds(client)
