"""How a market ends: winner, split, Gamma's lag; and its winnings on the chain."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from polymarket import AsyncSecureClient
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket.auth import RelayerApiKey
from polymarket.errors import RequestRejectedError, TransactionFailedError, UserInputError
from polymarket.transactions import GaslessTransactionHandle

from recordings.loader import bundled, load
from sandbox.simulator import Market, Venue, contracts, position_ids_of
from sandbox.simulator.recorded_markets import RecordedMarkets, series_at
from tests.sandbox.simulator.conftest import (
    ADDRESS,
    KEY,
    SHARES,
    SIGNER,
    buy,
    environment,
    until,
)

BALANCE_E6 = 100_000_000


@pytest.fixture
async def http(url: str) -> Any:
    async with aiohttp.ClientSession(url) as session:
        yield session


async def get(http: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with http.get(path, params=query) as answer:
        assert answer.status == 200
        return await answer.json()


async def winners(http: aiohttp.ClientSession, market: Market) -> tuple[bool, dict[str, bool]]:
    """(closed, outcome -> winner) by the CLOB."""
    facts = await get(http, f"/markets/{market.condition_id}")
    return facts["closed"], {token["outcome"]: token["winner"] for token in facts["tokens"]}


async def listed(http: aiohttp.ClientSession, market: Market) -> tuple[bool, list[str]]:
    """(closed, outcomePrices) by Gamma, as event and market agree."""
    (event,) = await get(http, "/events", slug=market.slug)
    (shown,) = event["markets"]
    assert event["closed"] == shown["closed"]
    return shown["closed"], json.loads(shown["outcomePrices"])


# ---- the evidence -------------------------------------------------------------------------------


async def test_a_winner(http: aiohttp.ClientSession, venue: Venue, market: Market) -> None:
    assert await winners(http, market) == (False, {"Up": False, "Down": False})
    venue.resolve(market, "Down")
    assert await winners(http, market) == (True, {"Up": False, "Down": True})
    assert await listed(http, market) == (True, ["0", "1"])


async def test_a_split_has_no_winner_and_pays_half(
    http: aiohttp.ClientSession, venue: Venue, market: Market
) -> None:
    venue.resolve(market, None)
    assert await winners(http, market) == (True, {"Up": False, "Down": False})
    facts = await get(http, f"/markets/{market.condition_id}")
    assert [token["price"] for token in facts["tokens"]] == [0.5, 0.5]
    assert facts["is_50_50_outcome"] is True
    assert await listed(http, market) == (True, ["0.5", "0.5"])


def test_an_outcome_that_does_not_exist(venue: Venue, market: Market) -> None:
    with pytest.raises(ValueError, match="has no outcome 'Yes'"):
        venue.resolve(market, "Yes")


async def test_gamma_is_late(http: aiohttp.ClientSession, venue: Venue, market: Market) -> None:
    venue.faults.gamma_lag_ms = 900_000
    venue.resolve(market, "Up")
    assert await winners(http, market) == (True, {"Up": True, "Down": False})
    assert await listed(http, market) == (False, ["0.49", "0.51"])

    later_ms = venue.now_ms() + 900_000
    venue.now_ms = lambda: later_ms  # type: ignore[method-assign]
    assert await listed(http, market) == (True, ["1", "0"])


async def test_an_ended_market_is_found_as_an_event_only(
    http: aiohttp.ClientSession, venue: Venue, market: Market
) -> None:
    (shown,) = await get(http, "/markets", slug=market.slug)
    assert shown["conditionId"] == market.condition_id
    market.end_ms = venue.now_ms() - 1
    assert await get(http, "/markets", slug=market.slug) == []
    (event,) = await get(http, "/events", slug=market.slug)
    assert event["markets"][0]["conditionId"] == market.condition_id
    assert await get(http, "/markets", slug="unknown") == await get(http, "/markets") == []


async def test_replayed_markets_may_split() -> None:
    venue = Venue()
    venue.faults.split = 1.0
    (series,) = series_at(1, 1)
    recorded = RecordedMarkets(venue, [load(bundled()[0])], [series])
    market, recording = recorded._list(0, series, 1_800_000_000)
    assert market.payouts == recording.payouts
    venue.now_ms = lambda: market.start_ms  # type: ignore[method-assign]

    async def no_time(at_ms: float) -> None:
        venue.now_ms = lambda: int(at_ms)  # type: ignore[method-assign]

    recorded._sleep_until = no_time  # type: ignore[method-assign]
    await recorded._play((market, recording))
    assert market.payouts == (Decimal("0.5"), Decimal("0.5"))
    assert not market.resolved_at(market.end_ms - 1)
    assert market.resolved_at(market.end_ms)
    assert market.winner_at(market.end_ms) is None
    assert venue.chance.injected == {"split": 1}


# ---- the chain ----------------------------------------------------------------------------------


def test_redemption_goes_to_the_official_contracts() -> None:
    official = PRODUCTION_CONFIG
    assert official.collateral_token == contracts.COLLATERAL
    assert official.collateral_adapter == contracts.COLLATERAL_ADAPTER
    assert official.neg_risk_collateral_adapter == contracts.NEG_RISK_COLLATERAL_ADAPTER


@pytest.fixture(params=["deposit", "plain"])
async def client(
    request: pytest.FixtureRequest, url: str, venue: Venue, market: Market
) -> AsyncIterator[AsyncSecureClient]:
    """Of a deposit wallet, which goes through the relayer, and of a plain one, which does not."""
    plain = request.param == "plain"
    if plain:
        venue.grandfathered.add(SIGNER.lower())
    async with await AsyncSecureClient.create(
        private_key=KEY,
        wallet=SIGNER if plain else ADDRESS,
        environment=environment(url),
        api_key=RelayerApiKey(key=venue.issue_relayer_key(SIGNER), address=SIGNER),
    ) as secure:
        yield secure


async def confirmed(venue: Venue) -> None:
    await until(venue, lambda: all(t.status == "CONFIRMED" for t in venue.journal.trades.values()))


@pytest.mark.parametrize(
    ("winner", "payout_e6"), [("Up", 2_000_000), ("Down", 0), (None, 1_000_000)]
)
async def test_the_official_client_redeems(
    client: AsyncSecureClient, venue: Venue, market: Market, winner: str | None, payout_e6: int
) -> None:
    up = market.token("Up")
    await buy(client, up, "1", "0.52")
    await confirmed(venue)
    venue.resolve(market, winner)

    handle = await client.redeem_positions(condition_id=market.condition_id)
    outcome = await handle.wait()

    assert outcome.transaction_hash == venue.journal.redemptions[0].transaction_hash
    assert venue.account(client.wallet).balance_e6 == BALANCE_E6 - 1_035_000 + payout_e6
    held = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=up)
    assert held.balance == 0
    (redemption,) = venue.journal.redemptions
    assert redemption.condition_id == market.condition_id
    assert (redemption.size_e6, redemption.payout_e6) == (2 * SHARES, payout_e6)

    again = await client.redeem_positions(condition_id=market.condition_id)
    await again.wait()
    assert venue.account(client.wallet).balance_e6 == BALANCE_E6 - 1_035_000 + payout_e6
    assert venue.account(client.wallet).nonce == 2


async def test_shares_that_are_not_settled_are_not_redeemed(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.settle_ms = 60_000
    await buy(client, market.token("Up"), "1", "0.52")
    venue.resolve(market, "Up")
    await (await client.redeem_positions(condition_id=market.condition_id)).wait()
    assert venue.journal.redemptions[0].size_e6 == 0
    assert venue.journal.shares_e6(client.wallet.lower(), market.token("Up")) == 2 * SHARES


async def test_nothing_to_redeem_before_the_resolution(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    with pytest.raises(UserInputError, match="No market found"):
        await client.redeem_positions(condition_id=market.condition_id)
    venue.resolve(market, "Up")
    venue.faults.gamma_lag_ms = 60_000
    with pytest.raises(UserInputError, match="No market found"):
        await client.redeem_positions(condition_id=market.condition_id)
    assert venue.receipts == {}


async def test_a_reverted_redemption_pays_nothing(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    await buy(client, market.token("Up"), "1", "0.52")
    await confirmed(venue)
    venue.resolve(market, "Up")
    venue.faults.revert = 1.0
    handle = await client.redeem_positions(condition_id=market.condition_id)
    with pytest.raises(TransactionFailedError, match="reverted"):
        await handle.wait()
    assert venue.journal.redemptions == []
    assert venue.journal.shares_e6(client.wallet.lower(), market.token("Up")) == 2 * SHARES


async def test_a_receipt_that_takes_its_time(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.resolve(market, "Up")
    venue.faults.receipt_ms = 60_000
    handle = await client.redeem_positions(condition_id=market.condition_id)
    if isinstance(handle, GaslessTransactionHandle):
        path = f"/v1/account/transactions/{handle.transaction_id}"
        assert (await client._ctx.relayer.get_json(path))["state"] == "STATE_NEW"
    else:
        assert await client._ctx.rpc.eth_get_transaction_receipt(handle.transaction_hash) is None


async def test_newer_position_ids_cannot_be_redeemed_here(
    client: AsyncSecureClient, venue: Venue
) -> None:
    slug, now_ms = "btc-updown-15m-1800000900", venue.now_ms()
    market = venue.add_market(
        slug, start_ms=now_ms, end_ms=now_ms + 900_000, token_ids=position_ids_of(slug)
    )
    venue.resolve(market, "Up")
    # The client misses `positionIds`; it would ask the chain for balances next.
    with pytest.raises(Exception, match=r"position IDs|not modelled"):
        await client.redeem_positions(condition_id=market.condition_id)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"nonce": 1}, "nonce too high"),
        ({"chainId": 1}, "invalid chain id"),
    ],
)
@pytest.mark.parametrize("client", ["plain"], indirect=True)
async def test_a_transaction_that_is_not_for_this_chain_or_moment(
    client: AsyncSecureClient, venue: Venue, changed: dict[str, int], text: str
) -> None:
    transaction = {
        "to": contracts.COLLATERAL_ADAPTER,
        "value": 0,
        "data": "0x",
        "gas": 21_000,
        "gasPrice": 1,
        "nonce": 0,
        "chainId": contracts.CHAIN_ID,
        **changed,
    }
    raw = Account.from_key(KEY).sign_transaction(transaction).raw_transaction
    with pytest.raises(RequestRejectedError, match=text):
        await client._ctx.rpc.eth_send_raw_transaction("0x" + raw.hex())
    assert venue.account(SIGNER).nonce == 0


@pytest.mark.parametrize("client", ["plain"], indirect=True)
async def test_a_call_that_no_contract_understands_is_reverted(
    client: AsyncSecureClient, venue: Venue
) -> None:
    transaction = {
        "to": contracts.COLLATERAL_ADAPTER,
        "value": 0,
        "data": "0x12345678",
        "gas": 21_000,
        "gasPrice": 1,
        "nonce": 0,
        "chainId": contracts.CHAIN_ID,
    }
    raw = Account.from_key(KEY).sign_transaction(transaction).raw_transaction
    hash_ = await client._ctx.rpc.eth_send_raw_transaction("0x" + raw.hex())
    await until(venue, lambda: hash_ in venue.receipts)
    assert venue.receipts[hash_]["status"] == "0x0"
    with pytest.raises(RequestRejectedError, match="not modelled"):
        await client._ctx.rpc.eth_call(to=contracts.COLLATERAL, data="0x")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"method": 1}', b'{"method": "eth_chainId"}'])
async def test_what_is_no_call(http: aiohttp.ClientSession, body: bytes) -> None:
    async with http.post("/rpc", data=body) as answer:
        assert (await answer.json())["error"]["code"] == -32600
