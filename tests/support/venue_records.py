"""A simulated venue with an account, and a canned one, for the tests of the venue's records."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from functions.adapters.live_exchange import LiveExchange
from functions.adapters.redeemer import records_of as login_records
from functions.adapters.venue_records import LiveRecords
from functions.core.claim import Claim
from functions.core.trade import Trade
from functions.ports import RecordsError
from protocol.book import Book, Proof
from protocol.market import MarketInfo, Outcome
from protocol.snapshot import BookSnapshot
from sandbox.simulator import Market, Venue, serve
from tests.support import canned_venue as canned
from tests.support.canned_venue import CannedVenue, account, claim
from venue.trading.direct_orders import DirectOrders
from venue.trading.login import log_in
from venue.wire.order_answer import Accepted


class Desk:
    """The simulated venue with one market, and records of one account there."""

    def __init__(self, venue: Venue, url: str, market: Market, live: LiveRecords) -> None:
        self.venue = venue
        self.url = url
        self.market = market
        self.records = live
        self.up, self.down = market.token("Up"), market.token("Down")

    def claim(self, order_id: str = canned.ORDER_ID) -> Claim:
        """A claim on Up."""
        return claim(
            order_id=order_id,
            condition_id=self.market.condition_id,
            slug=self.market.slug,
            token_id=self.up,
        )

    async def bought(self) -> Claim:
        """Buy Up for 1.1 USD; the claim of it."""
        client = await log_in(account(self.url))
        exchange = LiveExchange(client, DirectOrders(client))
        market = self.market
        info = MarketInfo(
            condition_id=market.condition_id,
            slug=market.slug,
            series="btc-15m",
            outcomes=(
                Outcome(name="Up", token_id=self.up),
                Outcome(name="Down", token_id=self.down),
            ),
            start_ms=market.start_ms,
            end_ms=market.end_ms,
            tick_size_e4=100,
            min_order_size_e6=5_000_000,
            fee=market.fee,
            neg_risk=False,
            accepting=True,
        )
        now_ns = time.time_ns()
        snapshot = BookSnapshot(
            market=info,
            books=tuple(Book(token_id=t, bids=(), asks=()) for t in (self.up, self.down)),  # type: ignore[arg-type]
            proof=Proof.CHECKSUM,
            venue_timestamp_ms=now_ns // 1_000_000,
            received_at_ns=now_ns,
            published_at_ns=now_ns,
            epoch=1,
            sequence=1,
        )
        trade = Trade(
            outcome="Up",
            token_id=self.up,
            numbers={"imbalance": 0.6},
            signal_price_e4=5_000,
            max_price_e4=5_200,
            spend_e6=1_100_000,
        )
        try:
            order = await exchange.prepare(trade, snapshot)
            assert isinstance(await exchange.post(order), Accepted)
        finally:
            await exchange.close()
        return self.claim(order.order_id)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    venue = Venue()
    now_ms = venue.now_ms()
    market = venue.add_market(
        "btc-updown-15m-1800000000", start_ms=now_ms - 60_000, end_ms=now_ms + 840_000
    )
    venue.set_book(market.token("Up"), [(4_900, 100_000_000)], [(5_000, 100_000_000)])
    venue.grandfathered.add(canned.KEY.address.lower())  # the worker can redeem for it
    async with serve(venue) as url:
        live = await login_records(account(url), redeem=True)
        try:
            yield Desk(venue, url, market, live)
        finally:
            await live.close()


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned.canned_venue() as opened:
        yield opened


@asynccontextmanager
async def records_of(venue: CannedVenue) -> AsyncIterator[LiveRecords]:
    live = await login_records(account(venue.url), redeem=True)
    try:
        yield live
    finally:
        await live.close()


@pytest.fixture
async def live(venue: CannedVenue) -> AsyncIterator[LiveRecords]:
    async with records_of(venue) as opened:
        venue.requests.clear()
        yield opened


def order_path() -> str:
    return f"/data/order/{canned.ORDER_ID}"


def market_path() -> str:
    return f"/markets/{canned.CONDITION_ID}"


def one_line(error: pytest.ExceptionInfo[RecordsError]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert len(text) < 500
    return text
