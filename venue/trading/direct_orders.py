"""Orders made here, from facts that the official client has fetched when their market was warmed.

1. Tick size and kind of market are the venue's own, and never older than the client has them.
2. As the client does, an order that they do not allow makes them be asked for again, once: the tick
   may have become finer. If it has become one of fewer decimals of a share, which the tick that the
   price was chosen on tells, the amounts are cut to those: the venue refuses more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

import msgspec
from polymarket import AsyncSecureClient

from protocol.units import PRICE_SCALE
from venue.trading import official_client
from venue.trading.login import api_credentials
from venue.trading.order_amounts import TICKS_E4, OrderAmountError, buy_amounts
from venue.trading.order_builder import BuiltOrder, OrderForm
from venue.trading.order_client import PREPARE_TIMEOUT_S
from venue.trading.order_connection import OrderConnection
from venue.wire.order_answer import HttpAnswer

FACTS_AGE_MAX_S: Final = 600.0
"""The official client's bound."""
_SPECIMEN: Final = (1_000_000, 2_000_000)


class _KnownToken(msgspec.Struct, frozen=True, kw_only=True):
    form: OrderForm
    tick_e4: int
    until_s: float


class DirectOrders:
    """`OrderClient` without the official client in an order's way."""

    def __init__(self, client: AsyncSecureClient) -> None:
        """Of a client that `official_client.prepare_for_orders` has seen; inside the loop."""
        self._client = client
        self._connection = OrderConnection(
            official_client.clob_url_of(client), api_credentials(client)
        )
        self._builder = official_client.builder_of(client)
        self._tokens: dict[str, _KnownToken] = {}

    async def warm(self, token_ids: tuple[str, ...]) -> None:
        """See `OrderClient.warm`."""
        known = await self._look_up(token_ids[0], *token_ids[1:])
        self._builder.build(known.form, _SPECIMEN)

    async def prepare(
        self, token_id: str, *, spend_e6: int, max_price_e4: int, tick_e4: int
    ) -> BuiltOrder:
        """See `OrderClient.prepare`."""
        known = self._tokens.get(token_id)
        if known is None or monotonic() >= known.until_s:
            known = await self._look_up_in_time(token_id)
        try:
            amounts = buy_amounts(spend_e6, max_price_e4, known.tick_e4)
        except OrderAmountError:
            known = await self._look_up_in_time(token_id)
            amounts = buy_amounts(spend_e6, max_price_e4, known.tick_e4)
        if _part_e6(tick_e4) > _part_e6(known.tick_e4):
            amounts = buy_amounts(spend_e6, max_price_e4, tick_e4)
        return self._builder.build(known.form, amounts)

    async def post(self, order: BuiltOrder, timeout_s: float) -> HttpAnswer:
        """See `OrderClient.post`."""
        return await self._connection.post(order.body, timeout_s)

    def rehearsal(self) -> Callable[[], object]:
        """See `OrderClient.rehearsal`."""
        # No chain has the id 0: whoever had the signature could buy nothing with it.
        domain = official_client.domain_of("0", neg_risk=False)
        nowhere = msgspec.structs.replace(domain, chain_id=0)
        form = self._builder.form_of("0", nowhere, neg_risk=False)

        def make_specimen() -> None:
            built = self._builder.build(form, buy_amounts(1_000_000, 5_000, 100))
            self._connection.rehearse(built.body)

        return make_specimen

    def forget(self, token_ids: tuple[str, ...]) -> None:
        """See `OrderClient.forget`."""
        for each in token_ids:
            self._tokens.pop(each, None)
        official_client.forget_metadata(self._client, token_ids[0])

    async def keep_warm(self) -> bool:
        """See `OrderClient.keep_warm`."""
        return await self._connection.keep_warm()

    async def close(self) -> None:
        """See `OrderClient.close`."""
        await self._connection.close()

    async def _look_up_in_time(self, token_id: str) -> _KnownToken:
        async with asyncio.timeout(PREPARE_TIMEOUT_S):
            return await self._look_up(token_id)

    async def _look_up(self, token_id: str, *others: str) -> _KnownToken:
        until_s = monotonic() + FACTS_AGE_MAX_S
        facts = await official_client.market_facts(self._client, token_id)
        for each in (token_id, *others):
            if each in facts.token_ids:  # the first always is
                domain = official_client.domain_of(each, neg_risk=facts.neg_risk)
                self._tokens[each] = _KnownToken(
                    form=self._builder.form_of(each, domain, neg_risk=facts.neg_risk),
                    tick_e4=facts.tick_e4,
                    until_s=until_s,
                )
        return self._tokens[token_id]


def _part_e6(tick_e4: int) -> int:
    """The smallest part of a share that is bought there. What is no tick of the venue is coarser
    than all of them, and then refused."""
    return TICKS_E4.get(tick_e4, PRICE_SCALE)
