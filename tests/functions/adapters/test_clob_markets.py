"""The CLOB's word on a market, asked at the simulated venue and at servers that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from functions.adapters.clob_markets import VenueClobMarkets
from functions.ports import RecordsError
from sandbox.simulator import Market, Venue, serve
from venue import rest


class Desk:
    def __init__(self, venue: Venue, markets: VenueClobMarkets, market: Market) -> None:
        self.venue = venue
        self.markets = markets
        self.market = market


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    venue = Venue()
    now_ms = venue.now_ms()
    market = venue.add_market(
        "btc-updown-15m-1800000000", start_ms=now_ms - 60_000, end_ms=now_ms + 840_000
    )
    async with serve(venue) as url:
        markets = VenueClobMarkets(url, url)
        try:
            yield Desk(venue, markets, market)
        finally:
            await markets.close()


async def test_a_market_is_told_as_the_clob_has_it(desk: Desk) -> None:
    told = await desk.markets.market(desk.market.condition_id)
    assert {each.name: each.token_id for each in told.outcomes} == {
        name: desk.market.token(name) for name in ("Up", "Down")
    }
    assert told.tick_size_e4 == desk.market.tick_size_e4
    assert told.min_order_size_e6 == desk.market.min_order_size_e6
    assert told.fee == desk.market.fee
    assert not told.neg_risk


async def test_a_market_that_is_not_there_is_no_answer(desk: Desk) -> None:
    with pytest.raises(RecordsError, match="market not found"):
        await desk.markets.market("0x" + "00" * 32)


async def test_nobody_there_is_no_answer_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "ANSWER_TIMEOUT_S", 1.0)
    markets = VenueClobMarkets("http://127.0.0.1:1", "http://127.0.0.1:1")
    try:
        with pytest.raises(RecordsError, match="clob-market 0x1: "):
            await markets.market("0x1")
    finally:
        await markets.close()
