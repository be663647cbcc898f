"""A scripted venue with one open market, and the official client logged in to it."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal

import pytest
from eth_account import Account
from polymarket import AsyncSecureClient
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket.environments import Environment
from polymarket.models.clob.order_response import AcceptedOrder
from polymarket.models.clob.orders import SignedOrder

from sandbox.simulator import Market, Venue, deposit_wallet_of, serve

KEY = "0x" + "11" * 32
OTHER_KEY = "0x" + "22" * 32
SIGNER = Account.from_key(KEY).address
ADDRESS = deposit_wallet_of(SIGNER)
OTHER_SIGNER = Account.from_key(OTHER_KEY).address
OTHER_ADDRESS = deposit_wallet_of(OTHER_SIGNER)
SHARES = 1_000_000


def environment(url: str) -> Environment:
    config = dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=url,
        gamma_url=url,
        relayer_url=url,
        data_url=url,
        rpc_url=f"{url}/rpc",
        relayer_poll_frequency_ms=10,
        clob_market_ws_url=f"{url}/ws/market".replace("http", "ws"),
        clob_user_ws_url=f"{url}/ws/user".replace("http", "ws"),
    )
    return create_environment(name="simulated", config=config)


@pytest.fixture
def venue() -> Venue:
    return Venue(balance_e6=100_000_000)


@pytest.fixture
async def url(venue: Venue) -> AsyncIterator[str]:
    async with serve(venue) as address:
        yield address


@pytest.fixture
def market(venue: Venue) -> Market:
    """Open now for 15 minutes. Up: 10 at 0.48 bid; asks 2 at 0.50, 3 at 0.51, 100 at 0.60."""
    now_ms = time.time_ns() // 1_000_000
    market = venue.add_market(
        "btc-updown-15m-1800000000", start_ms=now_ms - 60_000, end_ms=now_ms + 840_000
    )
    venue.set_book(
        market.token("Up"),
        bids=[(4800, 10 * SHARES)],
        asks=[(5000, 2 * SHARES), (5100, 3 * SHARES), (6000, 100 * SHARES)],
    )
    return market


@pytest.fixture
async def client(url: str, market: Market) -> AsyncIterator[AsyncSecureClient]:
    async with await AsyncSecureClient.create(
        private_key=KEY, wallet=ADDRESS, environment=environment(url)
    ) as secure:
        yield secure


async def until(venue: Venue, fact: Callable[[], bool]) -> None:
    """Wait for a fact about the venue; TimeoutError when it does not come about."""
    async with asyncio.timeout(30):
        await venue.notice.until(fact)


async def sign(
    client: AsyncSecureClient, token: str, usd: str, limit: str, kind: str = "FAK"
) -> SignedOrder:
    """A signed market BUY, not yet posted."""
    return await client.create_market_order(
        token_id=token, side="BUY", amount=Decimal(usd), max_price=Decimal(limit), order_type=kind
    )


async def buy(
    client: AsyncSecureClient, token: str, usd: str, limit: str, kind: str = "FAK"
) -> AcceptedOrder:
    """Sign and post a market BUY that must be accepted."""
    answer = await client.post_order(await sign(client, token, usd, limit, kind))
    assert isinstance(answer, AcceptedOrder), answer
    return answer
