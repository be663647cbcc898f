"""The unmodified official client trades on the simulated venue."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from polymarket import AsyncSecureClient
from polymarket.models.clob.order_response import AcceptedOrder

from sandbox.venue import Market, Venue
from tests.sandbox.venue.conftest import ADDRESS, SHARES


async def buy(
    client: AsyncSecureClient, token: str, usd: str, limit: str, kind: str = "FAK"
) -> AcceptedOrder:
    signed = await client.create_market_order(
        token_id=token, side="BUY", amount=Decimal(usd), max_price=Decimal(limit), order_type=kind
    )
    answer = await client.post_order(signed)
    assert isinstance(answer, AcceptedOrder), answer
    return answer


async def test_match_spends_the_amount_at_the_best_ask(client, venue, market):
    answer = await buy(client, market.token("Up"), "1", "0.52")

    assert answer.status == "matched"
    assert (answer.making_amount, answer.taking_amount) == (Decimal(1), Decimal(2))
    (entry,) = venue.journal.entries
    assert (entry.order_id, entry.verdict) == (answer.order_id, "matched")
    assert [(fill.price_e4, fill.size_e6) for fill in entry.fills] == [(5000, 2 * SHARES)]
    # 2 shares x 0.07 x 0.5 x 0.5
    assert entry.fee_e6 == 35_000
    assert venue.account(ADDRESS).balance_e6 == 100_000_000 - 1_000_000 - 35_000
