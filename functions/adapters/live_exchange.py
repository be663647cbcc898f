"""Live execution: an order with a limit price is made and signed, then posted, once.

Who makes and sends it is an `OrderClient`. What the answers mean is in `venue.wire.order_answer`;
an exception after the POST has begun is never proof of anything, except that nothing was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from polymarket import AsyncSecureClient

from functions.core.claim import trader_of
from functions.core.trade import Trade
from functions.ports import PreparedOrder, UnpreparableOrderError
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from runtime.addresses import origins
from runtime.last_answer import LastAnswer
from runtime.line_throttle import LineThrottle
from venue.auth import blotted
from venue.errors import TEXT_LENGTH_MAX, NotSentError, VenueError
from venue.trading import official_client
from venue.trading.order_builder import BuiltOrder
from venue.trading.order_client import OrderClient
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
WARM_TIMEOUT_S: Final = 5.0
KEEP_WARM_S: Final = 10.0
"""The client drops idle connections after 30 s; a TLS handshake would cost the next order two
round trips."""
QUOTED_MAX: Final = 64 << 10
"""Of an error, before it is searched for credentials: so much that none is left at the end of what
is shown, cut in two."""
METADATA_REFRESH_S: Final = 300.0
"""The client forgets a market's metadata after 600 s."""

_log = structlog.get_logger()


class LiveExchange:
    """`functions.ports.Exchange` on the real venue, or on anything that speaks like it."""

    def __init__(self, client: AsyncSecureClient, orders: OrderClient) -> None:
        """`orders` are made for the account that `client` is logged in with."""
        self._client = client
        self._orders = orders
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
                await self._orders.warm(_tokens_of(market))
        except official_client.FAILURES as error:
            if (unlogged := self._not_warmed.admit()) is not None:
                _log.warning(
                    "warming_failed",
                    market=market.slug,
                    error=self._describe(error),
                    unlogged_before=unlogged,
                )
            return
        if market.condition_id in self._warmed:
            self._warmed[market.condition_id] = (loop.time(), market)
        else:  # forgotten meanwhile
            self._orders.forget(_tokens_of(market))

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        """Build and sign; no network once the market is warm."""
        try:
            built = await self._orders.prepare(
                trade.token_id,
                spend_e6=trade.spend_e6,
                max_price_e4=trade.max_price_e4,
                tick_e4=(trade.traded_as or snapshot.market).tick_size_e4,
            )
        except official_client.FAILURES as error:
            raise UnpreparableOrderError(self._describe(error)) from error
        if built.neg_risk != snapshot.market.neg_risk:
            # Signed for another contract than the listing says: nobody knows the order's id.
            text = f"listed with neg_risk={not built.neg_risk}, signed otherwise"
            raise UnpreparableOrderError(text)
        return PreparedOrder(
            order_id=built.order_id,
            trader=self._trader,
            salt=str(built.salt),
            order_timestamp_ms=built.timestamp_ms,
            spend_e6=built.maker_e6,
            size_e6=built.taker_e6,
            payload=built,
        )

    async def post(self, order: PreparedOrder) -> Answer:
        """Send once. After this has been called, only the venue's own word counts."""
        built: BuiltOrder = order.payload
        try:
            answer = await self._orders.post(built, POST_TIMEOUT_S)
        except TimeoutError:
            return Unknown(text=f"no answer within {POST_TIMEOUT_S:g} s")
        except NotSentError as error:
            return Rejected(reason=RejectReason.NOT_SENT, text=self._describe(error))
        except Exception as error:  # noqa: BLE001 - the order may be at the venue: not our call
            return Unknown(text=self._describe(error))
        return read_answer(answer, order.order_id, order.spend_e6, order.size_e6)

    def observe(self, snapshot: BookSnapshot) -> None:
        """The venue has its own books."""

    def forget(self, condition_id: str) -> None:
        """See `Exchange.forget`."""
        known = self._warmed.pop(condition_id, None)
        if known is not None:
            self._orders.forget(_tokens_of(known[1]))

    def rehearsal(self) -> Callable[[], object] | None:
        """See `Exchange.rehearsal`."""
        return self._orders.rehearsal()

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
        """Close all connections."""
        await self._orders.close()
        await self._client.close()

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                self._closed_only = await self._orders.keep_warm()
                self._last_answer.came()
                if self._closed_only:
                    _log.critical("account_closed_only", hint="the venue refuses new positions")
        except (VenueError, *official_client.FAILURES) as error:
            trouble = self._describe(error)
            self._last_answer.failed(trouble)
            _log.warning("keep_warm_failed", error=trouble)

    def _describe(self, error: BaseException) -> str:
        given = self._client.credentials  # an error quotes what is no HTTP: our headers, say
        quoted = f"{type(error).__name__}: {error}"[:QUOTED_MAX]
        text = blotted(quoted, given.key, given.secret, given.passphrase)
        return origins(text)[:TEXT_LENGTH_MAX]  # it is stored and published, too


def _tokens_of(market: MarketInfo) -> tuple[str, ...]:
    return tuple(outcome.token_id for outcome in market.outcomes)
