"""Live execution on the official client: create and sign with a limit price, then post, once.

`place_market_order` is never used: on a balance or allowance rejection it may send an on-chain
approval and post again, and a taker order that is posted again buys from a book that is gone
(invariant 3). Nor is the client's `post_order`, which refuses answers that lack a field. What the
answers mean is in `venue.wire.order_answer`; an exception after the POST has begun is never proof
of anything, except that no connection was made.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Final

import httpx
import structlog
from polymarket import AsyncSecureClient
from polymarket.models.clob.orders import SignedOrder

from functions.core.claim import trader_of
from functions.core.strategy import Trade
from functions.ports import PreparedOrder, UnpreparableOrderError
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import price_decimal, usd_decimal
from runtime.addresses import origins
from venue.auth import blotted
from venue.trading import official_client
from venue.wire.order_answer import (
    Answer,
    Rejected,
    RejectReason,
    Unknown,
    read_answer,
)

POST_TIMEOUT_S: Final = 5.0
"""The venue answers in tens of milliseconds, plus its 250 ms hold; an answer after 5 s is a matter
for reconciliation, and a worker must be able to stop within 10 s."""
PREPARE_TIMEOUT_S: Final = 1.0
WARM_TIMEOUT_S: Final = 5.0
KEEP_WARM_S: Final = 10.0
"""The client drops idle connections after 30 s; a TLS handshake would cost the next order two
round trips."""
METADATA_REFRESH_S: Final = 300.0
"""The client forgets a market's metadata after 600 s."""

# Over HTTP/1.1 (see `official_client.prepare_for_orders`) these come before the first byte.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_log = structlog.get_logger()


class LiveExchange:
    """`functions.ports.Exchange` on the real venue, or on anything that speaks like it."""

    def __init__(self, client: AsyncSecureClient) -> None:
        self._client = client
        self._trader = trader_of(client.signer, client.wallet)
        self._warmed: dict[str, tuple[float, MarketInfo]] = {}

    async def warm(self, market: MarketInfo) -> None:
        """Fetch the market's metadata, and sign (never send) an order so that all code is loaded.

        Failures are logged and tried again with the next refresh: the first order then pays.
        """
        loop = asyncio.get_running_loop()
        self._warmed[market.condition_id] = (float("-inf"), market)  # `upkeep` tries again
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                # One request for both tokens: the client keeps metadata by market.
                await official_client.refresh_metadata(self._client, market.outcomes[0].token_id)
                await self._client.create_market_order(
                    asset_id=market.outcomes[0].token_id,
                    side="BUY",
                    amount=Decimal(1),
                    max_price=Decimal("0.5"),  # on every tick grid
                )
        except official_client.FAILURES as error:
            _log.warning("warming_failed", market=market.slug, error=self._describe(error))
            return
        self._warmed[market.condition_id] = (loop.time(), market)

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        """Build and sign; no network once the market is warm."""
        try:
            async with asyncio.timeout(PREPARE_TIMEOUT_S):
                signed = await self._client.create_market_order(
                    asset_id=trade.token_id,
                    side="BUY",
                    amount=usd_decimal(trade.spend_e6),
                    max_price=price_decimal(trade.max_price_e4),
                )
                neg_risk = await official_client.signed_for_neg_risk(self._client, trade.token_id)
        except official_client.FAILURES as error:
            raise UnpreparableOrderError(self._describe(error)) from error
        if neg_risk != snapshot.market.neg_risk:
            # Signed for another contract than the listing says: nobody knows the order's id.
            raise UnpreparableOrderError(f"listed with neg_risk={not neg_risk}, signed otherwise")
        return PreparedOrder(
            order_id=official_client.id_of(signed, neg_risk=neg_risk),
            trader=self._trader,
            salt=str(signed.salt),
            order_timestamp_ms=signed.timestamp,
            spend_e6=signed.maker_amount,
            size_e6=signed.taker_amount,
            payload=signed,
        )

    async def post(self, order: PreparedOrder) -> Answer:
        """Send once. After this has been called, only the venue's own word counts."""
        signed: SignedOrder = order.payload
        try:
            async with asyncio.timeout(POST_TIMEOUT_S):
                answer = await official_client.post_order(self._client, signed)
        except TimeoutError:
            return Unknown(text=f"no answer within {POST_TIMEOUT_S:g} s")
        except Exception as error:  # noqa: BLE001 - the order may be at the venue: not our call
            if isinstance(error, _NEVER_SENT):
                return Rejected(reason=RejectReason.NOT_SENT, text=self._describe(error))
            return Unknown(text=self._describe(error))
        return read_answer(answer, order.order_id, order.spend_e6, order.size_e6)

    def observe(self, snapshot: BookSnapshot) -> None:
        """The venue has its own books."""

    async def refresh_balance(self) -> None:
        """See `Exchange.refresh_balance`."""
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                await official_client.refresh_balance(self._client)
        except official_client.FAILURES as error:
            _log.warning("balance_not_refreshed", error=self._describe(error))

    async def upkeep(self) -> None:
        """Keep the order connection open and metadata fresh, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._ping()
            await asyncio.sleep(KEEP_WARM_S)
            now_ms = time.time_ns() // 1_000_000
            for warmed_at_s, market in list(self._warmed.values()):
                if market.end_ms <= now_ms:
                    del self._warmed[market.condition_id]
                elif loop.time() - warmed_at_s > METADATA_REFRESH_S:
                    await self.warm(market)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def _ping(self) -> None:
        # The cheapest call on the connection that orders use; it also shows whether the account
        # has been restricted.
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                if await self._client.get_closed_only_mode():
                    _log.critical("account_closed_only", hint="the venue refuses new positions")
        except official_client.FAILURES as error:
            _log.warning("keep_warm_failed", error=self._describe(error))

    def _describe(self, error: BaseException) -> str:
        given = self._client.credentials  # an error quotes what is no HTTP: our headers, say
        text = blotted(
            f"{type(error).__name__}: {error}", given.key, given.secret, given.passphrase
        )
        return origins(text)  # it is published, too
