"""The unmodified official client trades on the simulated venue."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest
from polymarket import AsyncSecureClient
from polymarket.errors import RequestRejectedError
from polymarket.models.clob import ApiKeyCreds
from polymarket.models.clob.order_response import AcceptedOrder

from sandbox.simulator import Market, Venue, position_ids_of
from tests.sandbox.simulator.conftest import (
    ADDRESS,
    KEY,
    OTHER_ADDRESS,
    OTHER_KEY,
    SHARES,
    buy,
    environment,
    sign,
)

BALANCE_E6 = 100_000_000


async def refusal(client: AsyncSecureClient, *order: str) -> str:
    """The text of the 400 that this order is answered with."""
    with pytest.raises(RequestRejectedError) as refused:
        await buy(client, *order)
    assert refused.value.status == 400
    return str(refused.value)


async def test_match_spends_the_amount_at_the_best_ask(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    answer = await buy(client, market.token("Up"), "1", "0.52")

    assert answer.status == "matched"
    assert (answer.making_amount, answer.taking_amount) == (Decimal(1), Decimal(2))
    (entry,) = venue.journal.entries
    assert (entry.order_id, entry.verdict) == (answer.order_id, "matched")
    assert (entry.slug, entry.outcome, entry.limit_e4) == (market.slug, "Up", 5200)
    assert [(fill.price_e4, fill.size_e6) for fill in entry.fills] == [(5000, 2 * SHARES)]
    assert entry.fee_e6 == 35_000  # 2 shares x 0.07 x 0.5 x 0.5
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6 - 1_000_000 - 35_000
    assert entry.balance_after_e6 == venue.account(ADDRESS).balance_e6


async def test_match_walks_the_asks_in_order_of_price(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    answer = await buy(client, market.token("Up"), "2", "0.55")

    (entry,) = venue.journal.entries
    # 2 at 0.50 is 1.00; what is left of 2.00 buys 1.960784 at 0.51.
    assert [(fill.price_e4, fill.size_e6) for fill in entry.fills] == [
        (5000, 2_000_000),
        (5100, 1_960_784),
    ]
    assert answer.making_amount == Decimal(2)
    assert answer.taking_amount == Decimal("3.960784")
    assert len(answer.trade_ids) == 2


async def test_a_partly_filled_fak_spends_only_what_is_there_up_to_the_limit(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    answer = await buy(client, market.token("Up"), "10", "0.51")

    assert answer.status == "matched"
    assert answer.making_amount == Decimal("2.53")  # 2 x 0.50 + 3 x 0.51
    assert answer.taking_amount == Decimal(5)
    (entry,) = venue.journal.entries
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6 - 2_530_000 - entry.fee_e6


async def test_shares_an_order_took_are_gone_until_the_level_changes(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    up = market.token("Up")
    await buy(client, up, "1", "0.50")
    assert "no orders found to match with FAK order" in await refusal(client, up, "1", "0.50")

    venue.change_level(up, "SELL", 5000, 2 * SHARES)  # somebody came back
    assert (await buy(client, up, "1", "0.50")).taking_amount == Decimal(2)


async def test_no_match(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    text = await refusal(client, market.token("Up"), "1", "0.49")

    assert text == (
        "no orders found to match with FAK order. "
        "FAK orders are partially filled or killed if no match is found."
    )
    (entry,) = venue.journal.entries
    assert (entry.verdict, entry.text, entry.fills) == ("refused", text, [])
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6


async def test_fok_that_cannot_be_filled_takes_nothing(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    text = await refusal(client, market.token("Up"), "10", "0.51", "FOK")

    assert text == "order couldn't be fully filled. FOK orders are fully filled or killed."
    assert venue.account(ADDRESS).balance_e6 == BALANCE_E6
    assert (await buy(client, market.token("Up"), "2.53", "0.51", "FOK")).taking_amount == 5


async def test_the_same_order_twice_is_a_duplicate(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    signed = await sign(client, market.token("Up"), "1", "0.52")
    first = await client.post_order(signed)
    assert isinstance(first, AcceptedOrder)

    with pytest.raises(RequestRejectedError) as refused:
        await client.post_order(signed)

    assert str(refused.value) == f"order {first.order_id} is invalid. Duplicated."
    assert [entry.verdict for entry in venue.journal.entries] == ["matched", "refused"]


async def test_a_killed_order_is_a_duplicate_too(client: AsyncSecureClient, market: Market) -> None:
    signed = await sign(client, market.token("Up"), "1", "0.10")
    for expected in ("no orders found", "Duplicated"):
        with pytest.raises(RequestRejectedError, match=expected):
            await client.post_order(signed)


async def test_below_the_minimum(client: AsyncSecureClient, market: Market) -> None:
    text = await refusal(client, market.token("Up"), "0.5", "0.52")
    assert text == "invalid amount for a marketable BUY order ($0.5), min size: $1"


async def test_a_price_off_the_tick_grid(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    market.tick_size_e4 = 10
    signed = await sign(client, market.token("Up"), "1.01", "0.505")  # exactly 2 shares
    market.tick_size_e4 = 100

    with pytest.raises(RequestRejectedError) as refused:
        await client.post_order(signed)

    (entry,) = venue.journal.entries
    assert str(refused.value) == (
        f"order {entry.order_id} is invalid. Price (0.505) breaks minimum tick size rule: 0.01"
    )


async def test_amounts_with_too_many_decimals(client: AsyncSecureClient, market: Market) -> None:
    market.tick_size_e4 = 10
    signed = await sign(client, market.token("Up"), "1", "0.503")  # 1.98807 shares
    market.tick_size_e4 = 100

    with pytest.raises(RequestRejectedError) as refused:
        await client.post_order(signed)

    assert str(refused.value) == (
        "invalid amounts, the market buy orders maker amount supports a max accuracy of "
        "2 decimals, taker amount a max of 4 decimals"
    )


@pytest.mark.parametrize("tick_size_e4", [100, 10])
async def test_every_price_of_the_grid_is_understood_as_it_was_meant(
    client: AsyncSecureClient, venue: Venue, market: Market, tick_size_e4: int
) -> None:
    market.tick_size_e4 = tick_size_e4
    for limit_e4 in (tick_size_e4, 1500, 3300, 4700, 6990 // tick_size_e4 * tick_size_e4, 9900):
        limit = str(Decimal(limit_e4).scaleb(-4))
        signed = await sign(client, market.token("Down"), "1.1", limit)
        with pytest.raises(RequestRejectedError, match="no orders found"):
            venue.set_book(market.token("Down"), [], [(9990, SHARES)])
            await client.post_order(signed)
        assert venue.journal.entries[-1].limit_e4 == limit_e4


async def test_an_order_of_another_wallet(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    async with await AsyncSecureClient.create(
        private_key=OTHER_KEY, wallet=OTHER_ADDRESS, environment=environment(url)
    ) as other:
        signed = await sign(other, market.token("Up"), "1", "0.52")

    with pytest.raises(RequestRejectedError) as refused:
        await client.post_order(signed)

    assert str(refused.value) == ("the order signer address has to be the address of the API KEY")
    assert venue.journal.matched() == []


async def test_an_order_changed_after_signing(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    signed = await sign(client, market.token("Up"), "1", "0.52")
    for forged in (
        dataclasses.replace(signed, maker_amount=2_000_000),
        dataclasses.replace(signed, signature="0x" + "00" * 65),
        dataclasses.replace(signed, signature="0xnonsense"),
    ):
        with pytest.raises(RequestRejectedError) as refused:
            await client.post_order(forged)
        assert (refused.value.status, str(refused.value)) == (400, "invalid signature")
    assert venue.journal.matched() == []


async def test_insufficient_balance(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.account(ADDRESS).balance_e6 = 1_010_000  # the amount, but not its fee

    assert await refusal(client, market.token("Up"), "1", "0.50") == (
        "not enough balance / allowance: the balance is not enough -> balance: 1010000, "
        "sum of matched orders: 0, order amount (inc. fees): 1035000"
    )


async def test_missing_allowance(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    venue.account(ADDRESS).allowances.clear()

    assert await refusal(client, market.token("Up"), "1", "0.50") == (
        "not enough balance / allowance: the allowance is not enough -> "
        "spender: 0xE111180000d2663C0091e4f400237545B87B996B, allowance: 0, "
        "sum of matched orders: 0, order amount (inc. fees): 1035000"
    )


@pytest.mark.parametrize("wrong", ["key", "secret", "passphrase"])
async def test_wrong_credentials(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market, wrong: str
) -> None:
    right = client.credentials
    forged = ApiKeyCreds(
        apiKey="stranger" if wrong == "key" else right.key,
        secret="c2VjcmV0" if wrong == "secret" else right.secret,
        passphrase="none" if wrong == "passphrase" else right.passphrase,
    )
    async with await AsyncSecureClient._create(
        private_key=KEY,
        wallet=ADDRESS,
        environment=environment(url),
        credentials=forged,
        validate_credentials=False,
    ) as intruder:
        signed = await sign(intruder, market.token("Up"), "1", "0.52")
        with pytest.raises(RequestRejectedError) as refused:
            await intruder.post_order(signed)

    assert (refused.value.status, str(refused.value)) == (401, "Unauthorized/Invalid api key")
    (entry,) = venue.journal.entries
    assert entry.verdict == "unauthorized"


async def test_a_market_that_has_ended(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    up = market.token("Up")
    signed = await sign(client, up, "1", "0.52")
    market.end_ms = venue.now_ms() - 1

    with pytest.raises(RequestRejectedError) as refused:
        await client.post_order(signed)

    assert (refused.value.status, str(refused.value)) == (
        400,
        f"the orderbook {up} does not exist",
    )


async def test_a_market_that_accepts_no_orders(client: AsyncSecureClient, market: Market) -> None:
    market.accepting = False
    assert await refusal(client, market.token("Up"), "1", "0.52") == (
        "the market is not yet ready to process new orders"
    )


async def test_resting_orders_are_refused_as_not_modelled(
    client: AsyncSecureClient, market: Market
) -> None:
    signed = await client.create_limit_order(
        token_id=market.token("Up"), side="BUY", price=Decimal("0.40"), size=Decimal(10)
    )
    with pytest.raises(RequestRejectedError, match="simulated venue: only FAK and FOK BUY"):
        await client.post_order(signed)


@pytest.mark.parametrize("neg_risk", [False, True])
async def test_position_ids_are_signed_for_the_newer_exchange(
    url: str, venue: Venue, client: AsyncSecureClient, neg_risk: bool
) -> None:
    slug = "btc-updown-15m-1800000900"
    now_ms = venue.now_ms()
    market = venue.add_market(
        slug,
        start_ms=now_ms,
        end_ms=now_ms + 900_000,
        token_ids=position_ids_of(slug),
        neg_risk=neg_risk,
    )
    venue.set_book(market.token("Down"), [], [(4000, 100 * SHARES)])

    assert (await buy(client, market.token("Down"), "1", "0.40")).taking_amount == Decimal("2.5")


async def test_a_negative_risk_market_has_its_own_exchange(
    venue: Venue, client: AsyncSecureClient
) -> None:
    now_ms = venue.now_ms()
    market = venue.add_market("some-event", start_ms=now_ms, end_ms=now_ms + 900_000, neg_risk=True)
    venue.set_book(market.token("Up"), [], [(4000, 100 * SHARES)])

    assert (await buy(client, market.token("Up"), "1", "0.40")).status == "matched"
