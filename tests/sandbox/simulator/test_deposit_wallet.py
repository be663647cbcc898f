"""The live account as the venue wants it: a deposit wallet, with the official client."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from polymarket import AsyncSecureClient
from polymarket._internal.actions.orders.typed_data import build_order_typed_data
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import (
    derive_beacon_deposit_wallet_address,
    derive_uups_deposit_wallet_address,
    wrap_deposit_wallet_session_signer_signature,
)
from polymarket.auth import RelayerApiKey
from polymarket.errors import RequestRejectedError, UserInputError

from sandbox.simulator import Market, Venue, contracts, deposit_wallet_of
from tests.sandbox.simulator.conftest import (
    ADDRESS,
    KEY,
    OTHER_KEY,
    SHARES,
    SIGNER,
    buy,
    environment,
    sign,
)

MAKER = "maker address not allowed, please use the deposit wallet flow"
DERIVATION = PRODUCTION_CONFIG.wallet_derivation


def relayer_key(venue: Venue) -> RelayerApiKey:
    return RelayerApiKey(key=venue.issue_relayer_key(SIGNER), address=SIGNER)


@pytest.mark.parametrize("number", range(5))
def test_a_deposit_wallet_stands_where_the_official_client_says(number: int) -> None:
    owner = Account.create(str(number)).address
    assert deposit_wallet_of(owner) == derive_beacon_deposit_wallet_address(owner, DERIVATION)
    assert DERIVATION.deposit_wallet_factory == contracts.DEPOSIT_WALLET_FACTORY
    assert DERIVATION.deposit_wallet_beacon == contracts.DEPOSIT_WALLET_BEACON


async def test_the_client_finds_its_wallet_by_itself(
    client: AsyncSecureClient, url: str, market: Market
) -> None:
    async with await AsyncSecureClient.create(
        private_key=KEY, environment=environment(url)
    ) as again:
        assert again.wallet == client.wallet == ADDRESS
        assert (await buy(again, market.token("Up"), "1", "0.52")).taking_amount == 2


async def test_the_order_s_id_is_that_of_the_plain_order(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    signed = await sign(client, market.token("Up"), "1", "0.52")
    assert (signed.maker, signed.signer, signed.signature_type) == (ADDRESS, ADDRESS, 3)
    await client.post_order(signed)
    (entry,) = venue.journal.matched()
    (trade,) = venue.journal.trades.values()
    assert trade.maker_address == ADDRESS.lower()
    assert trade.order_id == entry.order_id
    held = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=signed.token_id)
    assert held.balance == 2 * SHARES
    assert venue.account(SIGNER).balance_e6 == 100_000_000  # the owner's own money is not touched


async def test_a_plain_wallet_is_refused_unless_it_is_grandfathered(
    url: str, venue: Venue, market: Market
) -> None:
    async with await AsyncSecureClient.create(
        private_key=KEY, wallet=SIGNER, environment=environment(url)
    ) as plain:
        with pytest.raises(RequestRejectedError) as refused:
            await buy(plain, market.token("Up"), "1", "0.52")
        assert (refused.value.status, str(refused.value)) == (400, MAKER)
        assert venue.journal.orders == {}
        venue.grandfathered.add(SIGNER.lower())
        assert (await buy(plain, market.token("Up"), "1", "0.52")).status == "matched"


async def test_only_the_owner_s_signature_under_this_very_order_counts(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    signed = await sign(client, market.token("Up"), "1", "0.52")
    other = await sign(client, market.token("Up"), "2", "0.52")
    own, trailer = signed.signature[:132], signed.signature[132:]
    async with await AsyncSecureClient.create(
        private_key=OTHER_KEY, environment=environment(url)
    ) as stranger:
        theirs = (await sign(stranger, market.token("Up"), "1", "0.52")).signature[:132]
    forged: list[dict[str, Any]] = [
        {"signature": own},
        {"signature": own + other.signature[132:]},
        {"signature": other.signature},
        {"signature": theirs + trailer},
        {"signature": "0x" + trailer},
        {"signature": wrap_deposit_wallet_session_signer_signature(SIGNER, signed.signature)},
        {"maker_amount": 2_000_000},
        {"salt": signed.salt + 1},
    ]
    for bent in forged:
        with pytest.raises(RequestRejectedError) as refused:
            await client.post_order(dataclasses.replace(signed, **bent))
        assert str(refused.value) == "invalid signature", bent
    # The plain order, signed by the owner without the wrapper, is no signature of the wallet's.
    data = build_order_typed_data(_unsigned(signed, market))
    bare = Account.from_key(KEY).sign_typed_data(full_message=data).signature.hex()
    with pytest.raises(RequestRejectedError, match="invalid signature"):
        await client.post_order(dataclasses.replace(signed, signature=f"0x{bare}{trailer}"))
    assert venue.journal.matched() == []


def _unsigned(signed: Any, market: Market) -> Any:
    @dataclasses.dataclass
    class Plain:
        chain_id = contracts.CHAIN_ID
        exchange_address = contracts.STANDARD_EXCHANGE
        protocol_version = "2"
        signature_type = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(signed, name)

    return Plain()


async def test_another_s_wallet_is_another_s(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    signed = await sign(client, market.token("Up"), "1", "0.52")
    older = derive_uups_deposit_wallet_address(SIGNER, DERIVATION)
    for bent, text in (
        ({"signer": older, "maker": older}, "the order signer address has to be"),
        ({"maker": SIGNER}, "invalid signature"),
        ({"signature_type": 2}, MAKER),
    ):
        with pytest.raises(RequestRejectedError, match=text):
            await client.post_order(dataclasses.replace(signed, **bent))


async def test_a_wallet_that_is_not_there_yet_is_made_with_a_relayer_key_only(
    url: str, venue: Venue, market: Market
) -> None:
    venue.undeployed.add(ADDRESS.lower())
    with pytest.raises(UserInputError, match="Relayer API Key"):
        await AsyncSecureClient.create(private_key=KEY, environment=environment(url))
    assert not venue.is_deployed(ADDRESS)
    async with await AsyncSecureClient.create(
        private_key=KEY, environment=environment(url), api_key=relayer_key(venue)
    ) as client:
        assert venue.is_deployed(ADDRESS)
        assert (await buy(client, market.token("Up"), "1", "0.52")).status == "matched"
        venue.undeployed.add(ADDRESS.lower())  # a contract that is not there can confirm nothing
        with pytest.raises(RequestRejectedError, match="invalid signature"):
            await buy(client, market.token("Up"), "1", "0.52")


async def test_what_the_relayer_does_not_take(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    with pytest.raises(UserInputError, match="Relayer API Key"):
        venue.resolve(market, "Up")
        await client.redeem_positions(condition_id=market.condition_id)
    key = venue.issue_relayer_key(SIGNER)
    headers = {"RELAYER_API_KEY": key, "RELAYER_API_KEY_ADDRESS": SIGNER}
    batch: dict[str, Any] = {
        "type": "WALLET",
        "from": SIGNER,
        "to": contracts.DEPOSIT_WALLET_FACTORY,
        "nonce": "0",
        "signature": "0x" + "11" * 65,
        "depositWalletParams": {
            "depositWallet": ADDRESS,
            "deadline": str(int(time.time()) + 600),
            "calls": [],
        },
    }
    own = batch["depositWalletParams"]
    cases: list[tuple[dict[str, str], dict[str, Any], int, str]] = [
        (
            {"RELAYER_API_KEY": "none", "RELAYER_API_KEY_ADDRESS": SIGNER},
            batch,
            401,
            "invalid auth",
        ),
        (headers, batch, 400, "invalid signature"),
        (headers, batch | {"nonce": "1"}, 400, "batch nonce 1 does not match on-chain nonce 0"),
        (headers, batch | {"nonce": "x"}, 400, "invalid submission"),
        (headers, batch | {"type": "SAFE"}, 400, "SAFE is not modelled"),
        (headers, batch | {"to": SIGNER}, 400, "only deposit wallets"),
        (
            headers,
            batch | {"depositWalletParams": own | {"deadline": "1"}},
            400,
            "deadline has passed",
        ),
        (
            headers,
            batch | {"depositWalletParams": own | {"depositWallet": SIGNER}},
            400,
            "not the signer's",
        ),
    ]
    async with aiohttp.ClientSession(url) as http:
        for sent, body, status, text in cases:
            async with http.post("/submit", json=body, headers=sent) as answer:
                assert (answer.status, text in await answer.text()) == (status, True), body
        async with http.get("/v1/account/transactions/none") as answer:
            assert answer.status == 404
        for kind, deployed in (("WALLET", True), ("SAFE", False)):
            query = {"address": ADDRESS, "type": kind}
            async with http.get("/deployed", params=query) as answer:
                assert await answer.json() == {"deployed": deployed}
    assert venue.account(ADDRESS).nonce == 0
