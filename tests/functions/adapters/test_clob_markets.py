"""The CLOB's word on a market, asked at the simulated venue and at servers that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from functions.adapters.clob_markets import VenueClobMarkets
from functions.core.hold import HoldReason
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import RecordsError
from protocol.series import parse_series
from sandbox.simulator import Market, Venue, serve
from sandbox.simulator.gamma import event_json
from tests.support.metrics_builders import worker_metrics
from venue import rest
from venue.wire.listing import parse_listing


class Desk:
    def __init__(self, venue: Venue, markets: VenueClobMarkets, market: Market) -> None:
        self.venue = venue
        self.markets = markets
        self.market = market


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    venue = Venue()
    start_s = parse_series("btc-15m").window_start_s(venue.now_ms() / 1000)
    market = venue.add_market(
        f"btc-updown-15m-{start_s}", start_ms=start_s * 1000, end_ms=(start_s + 900) * 1000
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


async def test_outcomes_that_the_clob_swaps_stop_the_market(desk: Desk) -> None:
    listing = msgspec.json.encode([event_json(desk.market, desk.venue.now_ms())])
    info = parse_listing(listing, parse_series("btc-15m"), desk.market.start_ms // 1000)
    assert info is not None
    verifier = MarketVerifier(desk.markets, worker_metrics())
    await verifier.verify(info)
    assert verifier.doubt(info) is None
    desk.market.outcomes = ("Down", "Up")
    await verifier.verify(info)
    doubt = verifier.doubt(info)
    assert doubt is not None
    assert doubt.reason is HoldReason.MARKET_DIFFERS


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
