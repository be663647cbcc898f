"""Orders made and sent by the official client: slower, and what `direct_orders` is held against."""

from __future__ import annotations

import asyncio

from polymarket import AsyncSecureClient
from polymarket.models.clob.orders import SignedOrder

from protocol.units import price_decimal, usd_decimal
from venue.trading import official_client
from venue.trading.order_builder import BuiltOrder
from venue.trading.order_client import PREPARE_TIMEOUT_S
from venue.wire.order_answer import HttpAnswer


class OfficialOrders:
    """`OrderClient` by the official client alone.

    `place_market_order` is never used: on a balance or allowance rejection it may send an on-chain
    approval and post again, and a taker order that is posted again buys from a book that is gone
    (invariant 3). Nor is the client's `post_order`, which refuses answers that lack a field.
    """

    def __init__(self, client: AsyncSecureClient) -> None:
        self._client = client

    async def warm(self, token_ids: tuple[str, ...]) -> None:
        """See `OrderClient.warm`."""
        # One request for all tokens: the client keeps metadata by market.
        await official_client.market_facts(self._client, token_ids[0])
        # On every tick grid.
        await self._signed(token_ids[0], spend_e6=1_000_000, max_price_e4=5_000)

    async def prepare(
        self, token_id: str, *, spend_e6: int, max_price_e4: int, tick_e4: int
    ) -> BuiltOrder:
        """See `OrderClient.prepare`. The client has the tick from its own metadata."""
        async with asyncio.timeout(PREPARE_TIMEOUT_S):
            signed = await self._signed(token_id, spend_e6=spend_e6, max_price_e4=max_price_e4)
            neg_risk = await official_client.signed_for_neg_risk(self._client, token_id)
        return BuiltOrder(
            order_id=official_client.id_of(signed, neg_risk=neg_risk),
            salt=signed.salt,
            timestamp_ms=signed.timestamp,
            maker_e6=signed.maker_amount,
            taker_e6=signed.taker_amount,
            neg_risk=neg_risk,
            body=official_client.body_of(self._client, signed),
        )

    async def post(self, order: BuiltOrder, timeout_s: float) -> HttpAnswer:
        """See `OrderClient.post`."""
        async with asyncio.timeout(timeout_s):
            return await official_client.post_order(self._client, order.body)

    def rehearsal(self) -> None:
        """None: whether the client asks the venue is its own affair."""

    def forget(self, token_ids: tuple[str, ...]) -> None:
        """See `OrderClient.forget`."""
        official_client.forget_metadata(self._client, token_ids[0])

    async def keep_warm(self) -> bool:
        """See `OrderClient.keep_warm`. On the connection that orders use."""
        return await self._client.get_closed_only_mode()

    async def close(self) -> None:
        """See `OrderClient.close`."""

    async def _signed(self, token_id: str, *, spend_e6: int, max_price_e4: int) -> SignedOrder:
        return await self._client.create_market_order(
            asset_id=token_id,
            side="BUY",
            amount=usd_decimal(spend_e6),
            max_price=price_decimal(max_price_e4),
        )
