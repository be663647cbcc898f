"""Live execution on the official client: create and sign with a limit price, then post, once.

`place_market_order` is never used: on a balance or allowance rejection it may send an on-chain
approval and post again, and a taker order that is posted again buys from a book that is gone
(invariant 3). Nor is the client's `post_order`, which refuses answers that lack a field. What the
answers mean is in `venue.wire.order_answer`; an exception after the POST has begun is never proof
of anything, except that no connection was made.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Final

import httpx
import structlog
from polymarket import AsyncSecureClient
from polymarket.models.clob.orders import SignedOrder

from functions.core.claim import trader_of
from functions.core.trade import Trade
from functions.ports import PreparedOrder, UnpreparableOrderError
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import price_decimal, usd_decimal
from runtime.addresses import origins
from runtime.last_answer import LastAnswer
from runtime.line_throttle import LineThrottle
from venue.auth import blotted
from venue.errors import TEXT_LENGTH_MAX
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
QUOTED_MAX: Final = 64 << 10
"""Of an error, before it is searched for credentials: so much that none is left at the end of what
is shown, cut in two."""
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
        self._last_answer = LastAnswer("the venue has not answered where orders go")
        self._closed_only = False
        self._not_warmed = LineThrottle()

    def problem(self) -> str | None:
        """See `Exchange.problem`: the order connection is dead, or the account restricted."""
        closed_only = "the venue lets this account only close positions"
        return self._last_answer.problem() or (closed_only if self._closed_only else None)

    async def warm(self, market: MarketInfo) -> None:
        """Fetch the market's metadata, and sign (never send) an order so that all code is loaded.

        Failures are logged and tried again with the next refresh: the first order then pays.
        """
        loop = asyncio.get_running_loop()
        self._warmed.pop(market.condition_id, None)
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
            if (unlogged := self._not_warmed.admit()) is not None:
                _log.warning(
                    "warming_failed",
                    market=market.slug,
                    error=self._describe(error),
                    unlogged_before=unlogged,
                )
            return
        if market.condition_id in self._warmed:  # not forgotten meanwhile
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

    def forget(self, condition_id: str) -> None:
        """See `Exchange.forget`."""
        known = self._warmed.pop(condition_id, None)
        if known is not None:
            official_client.forget_metadata(self._client, known[1].outcomes[0].token_id)

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
            until_s = loop.time() + KEEP_WARM_S
            # The longest untried first, as `warm` puts each at the end; the rest next time.
            for condition_id, (warmed_at_s, market) in list(self._warmed.items()):
                if loop.time() > until_s:
                    break
                if condition_id in self._warmed and loop.time() - warmed_at_s > METADATA_REFRESH_S:
                    await self.warm(market)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def _ping(self) -> None:
        # The cheapest call on the connection that orders use; it also shows whether the account
        # has been restricted.
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                self._closed_only = await self._client.get_closed_only_mode()
                self._last_answer.came()
                if self._closed_only:
                    _log.critical("account_closed_only", hint="the venue refuses new positions")
        except official_client.FAILURES as error:
            trouble = self._describe(error)
            self._last_answer.failed(trouble)
            _log.warning("keep_warm_failed", error=trouble)

    def _describe(self, error: BaseException) -> str:
        given = self._client.credentials  # an error quotes what is no HTTP: our headers, say
        quoted = f"{type(error).__name__}: {error}"[:QUOTED_MAX]
        text = blotted(quoted, given.key, given.secret, given.passphrase)
        return origins(text)[:TEXT_LENGTH_MAX]  # it is stored and published, too
