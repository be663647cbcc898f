"""Warming a market: one request for the metadata of both its tokens, and none when signing."""

from __future__ import annotations

from decimal import Decimal

from eth_account import Account as EthAccount
from hexbytes import HexBytes
from pydantic import SecretStr

from functions.adapters.live_exchange import LiveExchange
from protocol.market import DOWN, UP, MarketInfo, Outcome
from sandbox.simulator import Venue, serve
from venue.trading.login import TraderLogin, secure_client


async def test_either_outcome_of_a_warm_market_is_signed_without_any_request() -> None:
    venue, key = Venue(), EthAccount.create()
    now_ms = venue.now_ms()
    market = venue.add_market("btc-updown-15m-1800000000", start_ms=0, end_ms=now_ms + 840_000)
    info = MarketInfo(
        condition_id=market.condition_id,
        slug=market.slug,
        series="btc-15m",
        outcomes=(
            Outcome(name=UP, token_id=market.token(UP)),
            Outcome(name=DOWN, token_id=market.token(DOWN)),
        ),
        start_ms=market.start_ms,
        end_ms=market.end_ms,
        tick_size_e4=market.tick_size_e4,
        min_order_size_e6=market.min_order_size_e6,
        fee=market.fee,
        neg_risk=False,
        accepting=True,
    )
    async with serve(venue) as url:
        login = TraderLogin(
            private_key=SecretStr(HexBytes(key.key).to_0x_hex()),
            wallet=key.address,
            clob_url=url,
            gamma_url=url,
        )
        exchange = LiveExchange(await secure_client(login))
        await exchange.warm(info)
        venue.markets.clear()  # from now on every request for metadata would fail
        venue.by_token.clear()
        for outcome in info.outcomes:
            signed = await exchange._client.create_market_order(
                asset_id=outcome.token_id,
                side="BUY",
                amount=Decimal("1.1"),
                max_price=Decimal("0.5"),
            )
            assert signed.token_id == outcome.token_id
        await exchange.close()
