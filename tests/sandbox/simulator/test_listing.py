"""The listing, market metadata, and how a market ends."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from polymarket import AsyncSecureClient

from sandbox.simulator import Market, Venue
from tests.sandbox.simulator.conftest import ADDRESS, SHARES, buy


@pytest.fixture
async def get(url: str) -> Any:
    async def fetch(path: str, **query: str) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url + path, params=query) as answer,
        ):
            return answer.status, await answer.json()

    return fetch


async def test_an_event_has_the_fields_of_the_real_listing(get: Any, market: Market) -> None:
    status, (event,) = await get("/events", slug=market.slug)

    (listed,) = event["markets"]
    assert status == 200
    assert (event["slug"], listed["slug"]) == (market.slug, market.slug)
    assert json.loads(listed["outcomes"]) == ["Up", "Down"]
    assert json.loads(listed["clobTokenIds"]) == [market.token("Up"), market.token("Down")]
    assert json.loads(listed["outcomePrices"]) == ["0.49", "0.51"]
    assert listed["conditionId"] == market.condition_id
    assert (listed["orderPriceMinTickSize"], listed["orderMinSize"]) == (0.01, 5)
    assert (listed["active"], listed["closed"], listed["acceptingOrders"]) == (True, False, True)
    assert (listed["negRisk"], listed["feesEnabled"]) == (False, True)
    assert listed["feeSchedule"] == {
        "rate": 0.07,
        "exponent": 1,
        "takerOnly": True,
        "rebateRate": 0.2,
    }
    assert listed["eventStartTime"].endswith("Z") and listed["endDate"] > listed["eventStartTime"]


async def test_an_unknown_slug_is_an_empty_list(get: Any, market: Market) -> None:
    assert await get("/events", slug="btc-updown-15m-1") == (200, [])
    assert await get("/events") == (200, [])


async def test_metadata(get: Any, market: Market) -> None:
    up = market.token("Up")
    assert await get(f"/markets-by-token/{up}") == (
        200,
        {
            "condition_id": market.condition_id,
            "primary_token_id": up,
            "secondary_token_id": market.token("Down"),
        },
    )
    _, facts = await get(f"/clob-markets/{market.condition_id}")
    assert facts == {
        "t": [{"t": up, "o": "Up"}, {"t": market.token("Down"), "o": "Down"}],
        "mts": 0.01,
        "mos": 5,
        "nr": False,
        "ao": True,
        "fd": {"r": 0.07, "e": 1, "to": True},
        "itode": False,
        "sd": 0.0,
    }
    market.itode = True
    _, facts = await get(f"/clob-markets/{market.condition_id}")
    assert facts["itode"] is True
    assert await get("/tick-size", token_id=up) == (200, {"minimum_tick_size": 0.01})
    assert await get("/neg-risk", token_id=up) == (200, {"neg_risk": False})
    status, seconds = await get("/time")
    assert status == 200 and isinstance(seconds, int)


async def test_unknown_ids(get: Any, market: Market) -> None:
    assert await get("/book", token_id="1") == (
        404,
        {"error": "No orderbook exists for the requested token id"},
    )
    for path in ("/markets-by-token/1", "/clob-markets/0x00", "/markets/0x00"):
        assert await get(path) == (404, {"error": "market not found"})
    assert (await get("/tick-size"))[0] == 404


async def test_private_calls_need_an_api_key(get: Any, market: Market) -> None:
    for path in (
        "/data/orders",
        "/data/trades",
        "/data/order/0x1",
        "/balance-allowance",
        "/balance-allowance/update",
        "/auth/api-keys",
        "/auth/ban-status/closed-only",
    ):
        assert await get(path) == (401, {"error": "Unauthorized/Invalid api key"})


async def test_a_market_ends_and_then_resolves(get: Any, venue: Venue, market: Market) -> None:
    market.end_ms = venue.now_ms() - 1
    _, (event,) = await get("/events", slug=market.slug)
    (listed,) = event["markets"]
    assert (listed["acceptingOrders"], listed["closed"]) == (False, False)
    assert (await get("/book", token_id=market.token("Up")))[0] == 404
    _, facts = await get(f"/markets/{market.condition_id}")
    assert [token["winner"] for token in facts["tokens"]] == [False, False]

    venue.resolve(market, "Down")
    _, (event,) = await get("/events", slug=market.slug)
    (listed,) = event["markets"]
    assert listed["closed"] is True
    assert json.loads(listed["outcomePrices"]) == ["0", "1"]
    _, facts = await get(f"/markets/{market.condition_id}")
    assert {token["outcome"]: token["winner"] for token in facts["tokens"]} == {
        "Up": False,
        "Down": True,
    }


async def test_the_sandbox_sees_markets_and_journal(
    get: Any, client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    answer = await buy(client, market.token("Up"), "1", "0.52")
    _, (shown,) = await get("/sandbox/markets")
    assert (shown["slug"], shown["winner"], shown["resolved"]) == (market.slug, None, False)
    assert shown["tokens"] == {"Up": market.token("Up"), "Down": market.token("Down")}

    venue.resolve(market, "Up")
    _, (shown,) = await get("/sandbox/markets")
    assert (shown["winner"], shown["resolved"]) == ("Up", True)
    assert shown["payouts"] == {"Up": "1", "Down": "0"}

    _, journal = await get("/sandbox/journal")
    (entry,) = journal["entries"]
    assert (entry["order_id"], entry["verdict"]) == (answer.order_id, "matched")
    assert (entry["spend_e6"], entry["size_e6"]) == (1_000_000, 2 * SHARES)
    assert journal["balances_e6"] == {ADDRESS.lower(): 98_965_000}
    assert [trade["trade_id"] for trade in journal["trades"]] == list(answer.trade_ids)


def test_a_slug_is_listed_once(venue: Venue, market: Market) -> None:
    with pytest.raises(ValueError, match="already listed"):
        venue.add_market(market.slug, start_ms=0, end_ms=1)
