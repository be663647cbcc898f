"""What a test can make POST /order do instead of answering."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import aiohttp
import pytest
from aiohttp import web
from polymarket import AsyncSecureClient
from polymarket.errors import RateLimitError, RequestRejectedError, TransportError
from polymarket.models.clob.order_response import AcceptedOrder, RejectedOrder

from sandbox.simulator import CutConnection, Market, Venue, answer, error
from tests.sandbox.simulator.conftest import buy, sign


def answering(response: Callable[[], web.Response]) -> Callable[[str], Awaitable[web.Response]]:
    async def hook(_: str) -> web.Response:
        return response()

    return hook


@pytest.mark.parametrize("status", [425, 500, 503])
async def test_a_status_instead_of_matching(
    client: AsyncSecureClient, venue: Venue, market: Market, status: int
) -> None:
    venue.before_matching = answering(lambda: error("not now", status))

    with pytest.raises(RequestRejectedError) as refused:
        await buy(client, market.token("Up"), "1", "0.52")

    assert (refused.value.status, str(refused.value)) == (status, "not now")
    (entry,) = venue.journal.entries
    assert (entry.verdict, entry.fills) == ("intercepted", [])
    assert entry.order_id


async def test_rate_limited(client: AsyncSecureClient, venue: Venue, market: Market) -> None:
    venue.before_matching = answering(lambda: error("Too Many Requests", 429))
    with pytest.raises(RateLimitError):
        await buy(client, market.token("Up"), "1", "0.52")


async def test_delayed_and_unmatched(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    body = {
        "success": True,
        "errorMsg": "",
        "orderID": "0x1",
        "takingAmount": "",
        "makingAmount": "",
    }
    venue.before_matching = answering(lambda: answer({**body, "status": "delayed"}))
    delayed = await buy(client, market.token("Up"), "1", "0.52")
    assert (delayed.status, delayed.taking_amount) == ("delayed", Decimal(0))

    venue.before_matching = answering(lambda: answer({**body, "status": "unmatched"}))
    unmatched = await client.post_order(await sign(client, market.token("Up"), "1", "0.52"))
    assert isinstance(unmatched, RejectedOrder)


async def test_the_connection_is_cut_after_the_match(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    async def cut(_: str) -> None:
        raise CutConnection

    venue.after_matching = cut
    with pytest.raises(TransportError):
        await buy(client, market.token("Up"), "1", "0.52")

    assert len(venue.journal.matched()) == 1, "the order traded although nobody was told"


async def test_an_answer_that_does_not_come(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    venue.after_matching = hang
    posting = asyncio.create_task(buy(client, market.token("Up"), "1", "0.52"))
    await venue.notice.until(lambda: venue.journal.matched() != [])
    posting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await posting


async def test_an_answer_with_another_order_id(
    client: AsyncSecureClient, venue: Venue, market: Market
) -> None:
    async def lie(order_id: str) -> web.Response:
        return answer(
            {
                "success": True,
                "errorMsg": "",
                "orderID": "0x" + "ab" * 32,
                "status": "matched",
                "takingAmount": "2",
                "makingAmount": "1",
            }
        )

    venue.after_matching = lie
    posted = await client.post_order(await sign(client, market.token("Up"), "1", "0.52"))

    assert isinstance(posted, AcceptedOrder)
    assert posted.order_id != venue.journal.entries[0].order_id


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"order":{}}', b"\xff"])
async def test_garbage_is_journalled_and_refused(
    client: AsyncSecureClient, url: str, venue: Venue, body: bytes
) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/order", data=body) as got:
        assert got.status == 401, "nobody who is not logged in learns more"
        assert await got.json() == {"error": "Unauthorized/Invalid api key"}
    assert [entry.verdict for entry in venue.journal.entries] == ["unauthorized"]

    with pytest.raises(RequestRejectedError, match="Invalid order payload"):
        await client._ctx.secure_clob.post_json("/order", json={"order": {"salt": "x"}})
    assert venue.journal.entries[-1].verdict == "refused"
