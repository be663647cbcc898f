"""What a trader would write on the official SDK alone: its stream, its order, and a trivial signal.

    python -m benchmarks.official_sdk_script

is started by `benchmarks.pipeline`, as the baseline of the same run. It reads the market channel by
the SDK's own stream, looks at each change whether it is the signal, and then creates, signs and
posts a market order with the SDK. It keeps no book, checks no hash, hops over no stream, claims
nothing, keeps no account, and waits for one order before it looks at the next change. It is given
what makes it fast: uvloop, coincurve, and each market's metadata before it begins.
"""

from __future__ import annotations

import dataclasses
import json
import os
from contextlib import suppress
from decimal import Decimal
from typing import Final

import uvloop
from polymarket import AsyncSecureClient
from polymarket._internal.environment import create_environment, get_environment_config
from polymarket.errors import PolymarketError
from polymarket.models.clob.market_events import MarketPriceChangeEvent
from polymarket.models.clob.orders import SignedOrder
from polymarket.streams import MarketSpec

from venue.trading.official_client import environment

_AMOUNT_USD: Final = Decimal("1.1")
_MAX_PRICE: Final = Decimal("0.5")
_SIGNAL_PRICE: Final = Decimal("0.49")
_SIGNAL_SIZE: Final = Decimal(5_000)


async def _trade() -> None:
    url, venue_url = os.environ["CLOB_URL"], os.environ["VENUE_URL"]
    tokens = os.environ["TOKENS"].split(",")
    # Internal, and only because the venue is a simulated one: a trader's is PRODUCTION.
    config = dataclasses.replace(
        get_environment_config(environment(url, venue_url)),
        clob_market_ws_url=venue_url.replace("http://", "ws://") + "/ws/market",
    )
    client = await AsyncSecureClient.create(
        private_key=os.environ["PRIVATE_KEY"],
        wallet=os.environ["WALLET"],
        environment=create_environment(name="simulated", config=config),
    )
    async with client:
        for token in tokens:
            await _signed(client, token)
        async with await client.subscribe(MarketSpec(asset_ids=tokens)) as events:
            print(json.dumps({"event": "script_started"}), flush=True)
            async for event in events:
                if not isinstance(event, MarketPriceChangeEvent):
                    continue
                for change in event.payload.price_changes:
                    if (
                        change.size >= _SIGNAL_SIZE
                        and change.price == _SIGNAL_PRICE
                        and change.side == "BUY"
                    ):
                        await _buy(client, change.asset_id)


async def _buy(client: AsyncSecureClient, token: str) -> None:
    with suppress(PolymarketError):  # "no match", as every order is answered here
        await client.post_order(await _signed(client, token))


async def _signed(client: AsyncSecureClient, token: str) -> SignedOrder:
    return await client.create_market_order(
        asset_id=token, side="BUY", amount=_AMOUNT_USD, max_price=_MAX_PRICE
    )


if __name__ == "__main__":
    uvloop.run(_trade())
