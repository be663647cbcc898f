"""After an order: ids, look-ups, the account, and what the user channel says."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import aiohttp
import pytest
from polymarket import AsyncSecureClient
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket.errors import RequestRejectedError
from polymarket.models.clob.user_events import UserOrderEvent, UserTradeEvent, parse_user_event
from py_clob_client_v2.config import get_contract_config
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2
from py_clob_client_v2.signer import Signer

from sandbox.simulator import Market, Venue, contracts, engine
from tests.sandbox.simulator.conftest import ADDRESS, KEY, SHARES, SIGNER, buy, environment, sign


def test_the_contracts_are_those_of_the_official_clients() -> None:
    ours = (contracts.STANDARD_EXCHANGE, contracts.NEG_RISK_EXCHANGE, contracts.EXCHANGE_V3)
    official, older = PRODUCTION_CONFIG, get_contract_config(contracts.CHAIN_ID)
    assert official.chain_id == contracts.CHAIN_ID
    assert ours == (official.standard_exchange, official.neg_risk_exchange, official.exchange_v3)
    assert ours == (older.exchange_v2, older.neg_risk_exchange_v2, older.exchange_v3)


async def test_the_order_id_is_the_hash_that_another_client_computes(
    client: AsyncSecureClient, market: Market
) -> None:
    signed = await sign(client, market.token("Up"), "1", "0.52")
    answer = await client.post_order(signed)

    oracle = ExchangeOrderBuilderV2(
        contracts.STANDARD_EXCHANGE, contracts.CHAIN_ID, Signer(KEY, contracts.CHAIN_ID)
    )
    order = OrderV2(
        salt=str(signed.salt),
        maker=signed.maker,
        signer=signed.signer,
        tokenId=signed.token_id,
        makerAmount=str(signed.maker_amount),
        takerAmount=str(signed.taker_amount),
        side=0,
        signatureType=signed.signature_type,
        timestamp=str(signed.timestamp),
        metadata=signed.metadata,
        builder=signed.builder,
        expiration="0",
    )
    typed_data = oracle.build_order_typed_data(order)
    assert answer.order_id == oracle.build_order_hash(typed_data)
    assert signed.signature == oracle.build_order_signature(typed_data)


async def test_order_and_trades_can_be_looked_up(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    answer = await buy(client, market.token("Up"), "2", "0.55")

    order = await client.get_order(order_id=answer.order_id)
    assert (order.id, order.status, order.outcome) == (answer.order_id, "MATCHED", "Up")
    assert (order.price, order.size_matched) == (Decimal("0.55"), answer.taking_amount)

    trades = [
        trade async for trade in client.list_account_trades(market=market.condition_id).iter_items()
    ]
    assert [trade.id for trade in trades] == list(answer.trade_ids)
    assert {trade.taker_order_id for trade in trades} == {answer.order_id}
    assert sum(trade.price * trade.size for trade in trades) == pytest.approx(
        Decimal(2), abs=Decimal("1e-6")
    )
    assert [t async for t in client.list_account_trades(market="0x" + "00" * 32).iter_items()] == []
    assert answer.transactions_hashes == ()
    settled = await client.wait_for_order_fill_settlement(answer)
    assert settled == (engine.transaction_of(answer.order_id),)
    with pytest.raises(RequestRejectedError, match="Invalid trade params payload"):
        await client.list_account_trades(after="yesterday").first_page()
    assert [o async for o in client.list_open_orders().iter_items()] == []


async def test_an_unknown_order_is_null(client: AsyncSecureClient) -> None:
    path = "/data/order/0x" + "ab" * 32
    assert await client._ctx.secure_clob.get_json(path) is None


async def test_account(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    before = await client.get_balance_allowance(asset_type="COLLATERAL")
    await buy(client, market.token("Up"), "1", "0.52")
    after = await client.get_balance_allowance(asset_type="COLLATERAL")
    held = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=market.token("Up"))

    assert (before.balance, after.balance) == (100_000_000, 98_965_000)
    assert set(after.allowances) == set(contracts.EXCHANGES)
    assert held.balance == 2 * SHARES
    assert await client.get_closed_only_mode() is False


async def test_a_second_login_of_a_wallet_gets_the_same_key(
    client: AsyncSecureClient, url: str, venue: Venue
) -> None:
    async with await AsyncSecureClient.create(
        private_key=KEY, wallet=ADDRESS, environment=environment(url)
    ) as again:
        assert again.credentials == client.credentials
    async with await AsyncSecureClient.create(
        private_key=KEY,
        wallet=ADDRESS,
        environment=environment(url),
        credentials=client.credentials,
    ) as third:
        assert third.credentials == client.credentials
    assert venue.keys.keys_of(SIGNER.lower()) == [client.credentials.key]


async def test_a_login_with_a_wrong_signature_is_refused(url: str) -> None:
    headers = {
        "POLY_ADDRESS": SIGNER,
        "POLY_NONCE": "0",
        "POLY_TIMESTAMP": "1",
        "POLY_SIGNATURE": "0x" + "11" * 65,
    }
    async with aiohttp.ClientSession() as session:
        for method, path in (("POST", "/auth/api-key"), ("GET", "/auth/derive-api-key")):
            async with session.request(method, url + path, headers=headers) as answer:
                assert answer.status == 401
                assert await answer.json() == {"error": "Invalid L1 Request headers"}


async def test_the_user_channel_tells_order_and_trades_until_they_are_confirmed(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    key = client.credentials
    auth = {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws/user") as ws:
        await ws.send_json({"type": "user", "auth": auth, "markets": [market.condition_id]})
        await ws.send_str("PING")
        assert await ws.receive_str() == "PONG"
        answer = await buy(client, market.token("Up"), "1", "0.52")
        events = [parse_user_event(json.loads(await ws.receive_str())) for _ in range(4)]

    order, *trades = events
    assert isinstance(order, UserOrderEvent)
    assert (order.payload.id, order.payload.size_matched) == (answer.order_id, Decimal(2))
    assert all(isinstance(trade, UserTradeEvent) for trade in trades)
    assert [trade.payload.status for trade in trades] == ["MATCHED", "MINED", "CONFIRMED"]
    assert {trade.payload.taker_order_id for trade in trades} == {answer.order_id}
    assert {trade.payload.id for trade in trades} == set(answer.trade_ids)


async def test_the_user_channel_keeps_markets_apart(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    key = client.credentials
    auth = {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws/user") as ws:
        await ws.send_json({"type": "user", "auth": auth, "markets": ["0x" + "00" * 32]})
        await ws.send_str("PING")
        assert await ws.receive_str() == "PONG"
        await buy(client, market.token("Up"), "1", "0.52")
        await ws.send_str("PING")
        assert await ws.receive_str() == "PONG"  # and no event before it


async def test_the_user_channel_closes_on_wrong_credentials(url: str, venue: Venue) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws/user") as ws:
        await ws.send_json({"type": "user", "auth": {"apiKey": "a", "secret": "b"}})
        async with asyncio.timeout(30):
            message = await ws.receive()
    assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
