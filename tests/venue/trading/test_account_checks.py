"""The small questions of `executor doctor`, to the simulated venue and to one of nonsense."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from polymarket import AsyncSecureClient

from sandbox.simulator import Venue, contracts, serve
from tests.support.canned_venue import KEY, CannedVenue, account, canned_venue
from venue import checks
from venue.credentials import prove_credentials
from venue.errors import VenueError
from venue.trading import account_checks
from venue.trading.account_checks import Funds
from venue.trading.login import api_credentials, secure_client


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
        assert abs(await checks.clock_offset_ms(url)) < 1_000
        assert await checks.answer_time_ms(f"{url}/time") >= 0
        client = await secure_client(account(url))
        try:
            await prove_credentials(url, api_credentials(client))
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


async def test_closed_only_mode(venue: CannedVenue, client: AsyncSecureClient) -> None:
    venue.says("/auth/ban-status/closed-only", {"closed_only": True})
    assert await account_checks.closed_only(client)
    venue.says("/auth/ban-status/closed-only", {})
    with pytest.raises(VenueError):
        await account_checks.closed_only(client)


@pytest.mark.parametrize("body", [{}, [], {"balance": "x", "allowances": {}}, {"balance": "1"}])
async def test_funds_that_cannot_be_read_are_not_zero(
    venue: CannedVenue, client: AsyncSecureClient, body: object
) -> None:
    venue.says("/balance-allowance", body)
    with pytest.raises(VenueError):
        await account_checks.funds(client)
