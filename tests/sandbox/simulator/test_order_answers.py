"""What the venue says about an order, as it says it since 2026-07: in answers, events, records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from polymarket import AsyncSecureClient
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket.errors import RequestRejectedError, UnexpectedResponseError

from sandbox.simulator import Market, Venue
from tests.sandbox.simulator.conftest import ADDRESS, buy, sign, until

NO_MATCH = (
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found."
)


async def posted(client: AsyncSecureClient, market: Market, usd: str = "1") -> Any:
    """The body of the answer, as it is."""
    signed = await sign(client, market.token("Up"), usd, "0.52")
    path, payload = build_post_order_request(signed, owner_api_key=client.credentials.key)
    return await client._ctx.secure_clob.post_json(path, json=payload)


@pytest.fixture
async def events(
    client: AsyncSecureClient, url: str, venue: Venue
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    key = client.credentials
    auth = {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws/user") as ws:
        await ws.send_json({"type": "user", "auth": auth})
        await ws.send_str("PING")
        assert await ws.receive_str() == "PONG"
        yield ws


async def test_a_match_names_its_trades_and_no_hash_and_six_decimals(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    answer = await posted(client, market)
    assert answer["tradeIDs"] == list(venue.journal.trades)
    assert (answer["transactionsHashes"], answer["errorMsg"]) == ([], "")
    assert (answer["makingAmount"], answer["takingAmount"]) == ("1.000000", "2.000000")


async def test_an_answer_with_null_lists_is_one_that_the_official_client_refuses(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.null_lists = 1.0
    answer = await posted(client, market)
    assert answer["transactionsHashes"] is None
    assert "errorMsg" not in answer
    venue.set_book(market.token("Up"), [], [(5_000, 10_000_000)])
    with pytest.raises(UnexpectedResponseError):
        await buy(client, market.token("Up"), "1", "0.52")
    assert len(venue.journal.matched()) == 2


async def test_a_match_may_end_a_unit_short(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    venue.faults.unit_short = 1.0
    answer = await posted(client, market)
    assert (answer["makingAmount"], answer["takingAmount"]) == ("0.999999", "2.000000")
    (entry,) = venue.journal.entries
    assert entry.spend_e6 == entry.live_spend_e6 == 999_999
    assert venue.account(ADDRESS).balance_e6 == 100_000_000 - 999_999 - 35_000


async def test_a_killed_order_is_told_and_kept_without_a_size(
    client: AsyncSecureClient, venue: Venue, market: Market, events: Any
) -> None:
    with pytest.raises(RequestRejectedError, match="no orders found"):
        await buy(client, market.token("Up"), "1", "0.49")
    event = json.loads(await events.receive_str())
    assert (event["event_type"], event["type"]) == ("order", "CANCELLATION")
    assert (event["status"], event["size_matched"]) == (f"CANCELED_{NO_MATCH}", "")
    assert abs(int(event["timestamp"]) - venue.now_ms()) < 60_000
    (entry,) = venue.journal.entries
    assert entry.verdict == "refused"
    record = await client._ctx.secure_clob.get_json(f"/data/order/{entry.order_id}")
    assert (record["status"], record["size_matched"]) == (f"CANCELED_{NO_MATCH}", "")


async def test_times_are_in_milliseconds_on_the_channel_and_matches_in_seconds(
    client: AsyncSecureClient, venue: Venue, market: Market, events: Any
) -> None:
    await buy(client, market.token("Up"), "1", "0.52")
    order, trade = [json.loads(await events.receive_str()) for _ in range(2)]
    for event in (order, trade):
        assert abs(int(event["timestamp"]) - venue.now_ms()) < 60_000
    assert abs(int(trade["match_time"]) * 1000 - venue.now_ms()) < 60_000
    page = await client._ctx.secure_clob.get_json("/data/trades")
    assert page["data"][0]["match_time"] == trade["match_time"]


async def test_codes_alone_and_a_page_are_answered_before_the_engine(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    # As the official client reads what has no text.
    answers = (
        ("cancel_only", 503, "cancel_only", "unreadable response body"),
        ("blocked", 403, None, "an unexpected HTML response body"),
    )
    for name, status, code, said in answers:
        setattr(venue.faults, name, 1.0)
        with pytest.raises(RequestRejectedError, match=said) as refused:
            await buy(client, market.token("Up"), "1", "0.52")
        assert (refused.value.status, refused.value.code) == (status, code)
        setattr(venue.faults, name, 0.0)
    assert venue.journal.orders == {}
    assert [entry.faults for entry in venue.journal.entries] == [["cancel_only"], ["blocked"]]


# ---- the taker delay ----------------------------------------------------------------------------


async def test_a_market_may_hold_an_order_and_its_money_before_it_is_matched(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    market.itode = True
    venue.account(ADDRESS).balance_e6 = 2_000_000
    first = asyncio.create_task(posted(client, market))
    await until(venue, lambda: bool(venue.journal.orders))
    (entry,) = venue.journal.entries
    assert entry.verdict == "pending"
    record = await client._ctx.secure_clob.get_json(f"/data/order/{entry.order_id}")
    assert (record["status"], record["size_matched"]) == ("DELAYED", "0")
    with pytest.raises(RequestRejectedError, match="balance: 966401"):
        await buy(client, market.token("Up"), "1", "0.50")
    cancelled = await client.cancel_order(order_id=entry.order_id)
    assert "matching is delayed" in cancelled.not_canceled[entry.order_id]
    # It meets the book as it is then.
    venue.set_book(market.token("Up"), [], [(4_000, 10_000_000)])
    assert (await first)["takingAmount"] == "2.500000"
    assert venue.account(ADDRESS).reserved_e6 == 0


async def test_what_was_held_may_find_nothing(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    market.itode = True
    signed = asyncio.create_task(buy(client, market.token("Up"), "1", "0.52"))
    await until(venue, lambda: bool(venue.journal.orders))
    venue.set_book(market.token("Up"), [], [])
    with pytest.raises(RequestRejectedError, match="no orders found"):
        await signed
    assert venue.account(ADDRESS).balance_e6 == 100_000_000
    assert venue.account(ADDRESS).reserved_e6 == 0


async def test_a_delay_of_seconds_is_answered_at_once(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    market.delay_s = 0.05
    answer = await posted(client, market)
    assert (answer["status"], answer["makingAmount"]) == ("delayed", "")
    assert venue.account(ADDRESS).reserved_e6 > 0
    await until(venue, lambda: bool(venue.journal.matched()))
    assert venue.account(ADDRESS).reserved_e6 == 0


# ---- winnings that the venue pays out by itself -------------------------------------------------


async def test_the_venue_may_redeem_by_itself(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    await buy(client, market.token("Up"), "1", "0.52")
    await until(venue, lambda: not venue.journal.unsettled())
    venue.faults.auto_redeem = 1.0
    venue.resolve(market, "Up")
    await until(venue, lambda: bool(venue.journal.redemptions))
    (redemption,) = venue.journal.redemptions
    assert (redemption.address, redemption.payout_e6) == (ADDRESS.lower(), 2_000_000)
    assert venue.journal.shares_e6(ADDRESS.lower(), market.token("Up")) == 0
    assert venue.chance.injected["auto_redeem"] == 1
