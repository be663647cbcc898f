"""A live exchange that is logged in to a simulated venue with one open market."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
from aiohttp import web
from eth_account import Account as EthAccount
from hexbytes import HexBytes
from polymarket.models.clob.orders import SignedOrder
from pydantic import SecretStr

from functions.adapters.live_exchange import LiveExchange
from functions.core.trade import Trade
from functions.ports import PreparedOrder
from protocol.book import Book, Proof
from protocol.market import MarketInfo, Outcome
from protocol.snapshot import BookSnapshot
from sandbox.simulator import Market, Venue, answer, deposit_wallet_of, serve
from venue.trading.direct_orders import DirectOrders
from venue.trading.login import TraderLogin, api_credentials, log_in
from venue.trading.official_orders import OfficialOrders
from venue.trading.order_connection import OrderConnection
from venue.wire.order_answer import Answer

KEY = EthAccount.create()
WALLET = deposit_wallet_of(KEY.address)
MadeBy = type[DirectOrders | OfficialOrders]
Hook = Callable[[str], Awaitable[web.Response | None]]


def account(url: str, *, order_usd: str = "1.1") -> TraderLogin:
    """The account of KEY."""
    return TraderLogin(
        private_key=SecretStr(HexBytes(KEY.key).to_0x_hex()),
        wallet=WALLET,
        clob_url=url,
        gamma_url=url,
        order_usd=Decimal(order_usd),
    )


async def live_exchange(url: str, order_client: MadeBy = DirectOrders) -> LiveExchange:
    """An exchange that is logged in."""
    client = await log_in(account(url))
    return LiveExchange(client, order_client(client))


class Desk:
    """A venue with one market, and a live exchange logged in to it."""

    def __init__(self, venue: Venue, url: str, exchange: LiveExchange, market: Market) -> None:
        self.venue = venue
        self.url = url
        self.exchange = exchange
        self.market = market

    def info(self) -> MarketInfo:
        """The market as it is listed."""
        market = self.market
        return MarketInfo(
            condition_id=market.condition_id,
            slug=market.slug,
            series="btc-15m",
            outcomes=(
                Outcome(name="Up", token_id=market.token("Up")),
                Outcome(name="Down", token_id=market.token("Down")),
            ),
            start_ms=market.start_ms,
            end_ms=market.end_ms,
            tick_size_e4=100,
            min_order_size_e6=5_000_000,
            fee=market.fee,
            neg_risk=False,
            accepting=True,
        )

    def decided(
        self, *, max_price_e4: int = 5_200, spend_e6: int = 1_100_000, outcome: str = "Up"
    ) -> tuple[Trade, BookSnapshot]:
        """What a BUY is prepared from."""
        up = self.market.token("Up")
        trade = Trade(
            outcome=outcome,
            token_id=self.market.token(outcome),
            numbers={"imbalance": 0.6},
            signal_price_e4=5_000,
            max_price_e4=max_price_e4,
            spend_e6=spend_e6,
        )
        book = Book(token_id=up, bids=(), asks=())
        down = Book(token_id=self.market.token("Down"), bids=(), asks=())
        now_ns = time.time_ns()
        snapshot = BookSnapshot(
            market=self.info(),
            books=(book, down),
            proof=Proof.CHECKSUM,
            venue_timestamp_ms=now_ns // 1_000_000,
            received_at_ns=now_ns,
            published_at_ns=now_ns,
            epoch=1,
            sequence=1,
        )
        return trade, snapshot

    async def prepare(
        self, *, max_price_e4: int = 5_200, spend_e6: int = 1_100_000, outcome: str = "Up"
    ) -> PreparedOrder:
        """A signed BUY."""
        trade, snapshot = self.decided(
            max_price_e4=max_price_e4, spend_e6=spend_e6, outcome=outcome
        )
        return await self.exchange.prepare(trade, snapshot)

    async def buy(self, *, max_price_e4: int = 5_200, spend_e6: int = 1_100_000) -> Answer:
        """The answer to a BUY of Up."""
        order = await self.prepare(max_price_e4=max_price_e4, spend_e6=spend_e6)
        return await self.exchange.post(order)


@asynccontextmanager
async def open_desk(
    token_ids: tuple[str, str] | None = None, order_client: MadeBy = DirectOrders
) -> AsyncIterator[Desk]:
    """A desk whose market asks 100 at 0.50 for Up."""
    venue = Venue()
    now_ms = venue.now_ms()
    market = venue.add_market(
        "btc-updown-15m-1800000000",
        start_ms=now_ms - 60_000,
        end_ms=now_ms + 840_000,
        token_ids=token_ids,
    )
    venue.set_book(market.token("Up"), [(4_900, 100_000_000)], [(5_000, 100_000_000)])
    async with serve(venue) as url:
        exchange = await live_exchange(url, order_client)
        try:
            yield Desk(venue, url, exchange, market)
        finally:
            await exchange.close()


def answering(status: int, body: object) -> Hook:
    """A hook that answers this instead of the venue."""

    async def hook(_: str) -> web.Response:
        return answer(body, status)

    return hook


def signed_order_of(order: PreparedOrder) -> SignedOrder:
    """What the official client would have made, of what is sent."""
    body = json.loads(order.payload.body)
    sent = body["order"]
    return SignedOrder(
        builder=sent["builder"],
        expiration=int(sent["expiration"]),
        maker=sent["maker"],
        maker_amount=int(sent["makerAmount"]),
        metadata=sent["metadata"],
        order_type=body["orderType"],
        salt=sent["salt"],
        side=sent["side"],
        signature=sent["signature"],
        signature_type=sent["signatureType"],
        signer=sent["signer"],
        taker_amount=int(sent["takerAmount"]),
        timestamp=int(sent["timestamp"]),
        token_id=sent["tokenId"],
    )


def send_orders_to(exchange: LiveExchange, url: str) -> None:
    """All that a logged-in exchange asks from here on with credentials, orders too."""
    client = exchange._client
    client._ctx.secure_clob._client.base_url = httpx.URL(url)
    if isinstance(exchange._orders, DirectOrders):
        exchange._orders._connection = OrderConnection(url, api_credentials(client))
