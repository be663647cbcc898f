"""The live adapter: the official client, over real HTTP, against the simulated venue."""

from __future__ import annotations

import asyncio
import decimal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from aiohttp import web
from polymarket.errors import PolymarketError
from structlog.testing import capture_logs

from functions.adapters import live_exchange as adapter
from functions.adapters.live_exchange import LiveExchange
from functions.core.claim import trader_of
from functions.ports import UnpreparableOrderError
from sandbox.simulator import CutConnection, Venue, answer, position_ids_of, serve
from tests.support.canned_venue import account as canned_account
from tests.support.canned_venue import canned_venue
from tests.support.live_desk import (
    KEY,
    WALLET,
    Desk,
    MadeBy,
    answering,
    live_exchange,
    open_desk,
)
from venue.errors import VenueError
from venue.trading import official_client
from venue.trading.direct_orders import DirectOrders
from venue.trading.login import secure_client
from venue.trading.official_orders import OfficialOrders
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason, Unknown


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


@pytest.fixture
async def official_desk() -> AsyncIterator[Desk]:
    async with open_desk(order_client=OfficialOrders) as opened:
        yield opened


@pytest.fixture(params=[DirectOrders, OfficialOrders])
async def each_desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Of each order client, for what may differ: how orders are made and sent."""
    async with open_desk(order_client=request.param) as opened:
        yield opened


async def test_a_match_is_accepted_under_the_id_we_computed(each_desk: Desk) -> None:
    order = await each_desk.prepare()
    assert order.trader == trader_of(KEY.address, WALLET)
    bought = await each_desk.exchange.post(order)
    assert isinstance(bought, Accepted)
    assert bought.status == "matched"
    [entry] = each_desk.venue.journal.entries
    assert entry.order_id == order.order_id
    assert (
        (bought.spend_e6, bought.size_e6)
        == (entry.spend_e6, entry.size_e6)
        == (1_100_000, 2_200_000)
    )
    assert list(bought.trade_ids) == entry.trade_ids


@pytest.mark.parametrize("order_client", [DirectOrders, OfficialOrders])
async def test_position_ids_are_signed_for_their_own_contract(order_client: MadeBy) -> None:
    async with open_desk(position_ids_of("some-market"), order_client) as desk:
        order = await desk.prepare()
        assert isinstance(await desk.exchange.post(order), Accepted)
        assert desk.venue.journal.entries[0].order_id == order.order_id


async def test_a_partial_fill_is_accepted_as_such(desk: Desk) -> None:
    desk.venue.set_book(desk.market.token("Up"), [], [(5_000, 1_000_000)])
    bought = await desk.buy()
    assert isinstance(bought, Accepted)
    assert (bought.status, bought.spend_e6, bought.size_e6) == (
        "partly_matched",
        500_000,
        1_000_000,
    )


async def test_no_match_within_the_limit_is_a_proven_rejection(desk: Desk) -> None:
    answered = await desk.buy(max_price_e4=4_900)
    assert isinstance(answered, Rejected)
    assert answered.reason is RejectReason.NO_MATCH
    assert "no orders found to match with FAK order" in answered.text


async def test_the_same_order_again_is_unknown_never_a_rejection(desk: Desk) -> None:
    order = await desk.prepare()
    assert isinstance(await desk.exchange.post(order), Accepted)
    again = await desk.exchange.post(order)
    assert isinstance(again, Unknown)
    assert "Duplicated" in again.text


async def test_a_price_off_the_grid_is_refused_before_anything_is_claimed(each_desk: Desk) -> None:
    with pytest.raises(UnpreparableOrderError, match="tick size"):
        await each_desk.prepare(max_price_e4=5_250)


async def test_an_empty_wallet_is_a_proven_rejection(desk: Desk) -> None:
    desk.venue.account(WALLET).balance_e6 = 0
    answered = await desk.buy()
    assert isinstance(answered, Rejected)
    assert answered.reason is RejectReason.NOT_ENOUGH_BALANCE


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (425, {"error": "restarting"}, RejectReason.ENGINE_RESTARTING),
        (429, {"error": "Too Many Requests"}, RejectReason.RATE_LIMITED),
        (403, {"error": "Trading restricted in your region"}, RejectReason.GEOBLOCKED),
        (401, {"error": "Unauthorized/Invalid api key"}, RejectReason.UNAUTHORIZED),
        (
            503,
            {"error": "Trading is currently cancel-only. New orders are not accepted"},
            RejectReason.TRADING_DISABLED,
        ),
        (
            503,
            {"code": "post_only_mode", "retry_after_seconds": 100},
            RejectReason.TRADING_DISABLED,
        ),
    ],
)
async def test_a_refusal_before_the_engine_is_proof(
    desk: Desk, status: int, body: object, reason: RejectReason
) -> None:
    desk.venue.before_matching = answering(status, body)
    answered = await desk.buy()
    assert isinstance(answered, Rejected)
    assert answered.reason is reason


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_after_the_match_is_unknown(desk: Desk, status: int) -> None:
    desk.venue.after_matching = answering(status, {"error": "could not run the execution"})
    assert isinstance(await desk.buy(), Unknown)
    assert len(desk.venue.journal.matched()) == 1  # and it had been filled indeed


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.ReadError,
        httpx.WriteError,
        httpx.CloseError,
        httpx.RemoteProtocolError,
        httpx.LocalProtocolError,
        httpx.ProxyError,
        httpx.DecodingError,
    ],
)
async def test_a_failure_of_a_connection_that_was_made_is_unknown(
    official_desk: Desk, monkeypatch: pytest.MonkeyPatch, error: type[httpx.HTTPError]
) -> None:
    order = await official_desk.prepare()

    async def fail(*_: object, **__: object) -> None:
        raise error("broken")

    monkeypatch.setattr(official_desk.exchange._client._ctx.secure_clob._client, "request", fail)
    assert isinstance(await official_desk.exchange.post(order), Unknown)


async def test_orders_go_over_http_1_which_sends_each_byte_once(official_desk: Desk) -> None:
    pool = official_desk.exchange._client._ctx.secure_clob._client._transport._pool  # type: ignore[attr-defined]
    assert pool._http1 is True
    assert pool._http2 is False
    assert pool._retries == 0


async def test_a_200_with_our_id_and_a_complaint_is_no_rejection(desk: Desk) -> None:
    async def hook(order_id: str) -> web.Response:
        return answer(
            {
                "success": True,
                "errorMsg": "not enough balance / allowance for the rest",
                "orderID": order_id,
                "status": "matched",
                "makingAmount": "1.1",
                "takingAmount": "2.2",
            }
        )

    desk.venue.after_matching = hook
    assert isinstance(await desk.buy(), Unknown)


@pytest.mark.parametrize(
    ("making", "taking"),
    [("-1", "2"), ("1E+40", "2"), ("1.2", "2.4"), ("1.1", "0"), ("1.1", "1.9"), ("NaN", "1")],
)
async def test_amounts_that_cannot_be_of_this_order_are_unknown(
    desk: Desk, making: str, taking: str
) -> None:
    async def hook(order_id: str) -> web.Response:
        body = {"success": True, "errorMsg": "", "orderID": order_id, "status": "matched"}
        return answer({**body, "makingAmount": making, "takingAmount": taking})

    desk.venue.before_matching = hook
    assert isinstance(await desk.buy(), Unknown)


@pytest.mark.parametrize("lists", [{}, {"transactionsHashes": None, "tradeIDs": None}])
async def test_an_answer_without_a_remark_or_lists_is_read_all_the_same(
    desk: Desk, lists: dict[str, object]
) -> None:
    async def hook(order_id: str) -> web.Response:
        body = {"success": True, "orderID": order_id, "status": "matched", **lists}
        return answer({**body, "makingAmount": "1.1", "takingAmount": "2.2"})

    desk.venue.before_matching = hook
    bought = await desk.buy()
    assert isinstance(bought, Accepted)
    assert (bought.status, bought.size_e6) == ("matched", 2_200_000)


async def test_a_market_signed_for_another_contract_than_listed_is_refused(each_desk: Desk) -> None:
    each_desk.market.neg_risk = True  # what the client fetches; the listing says otherwise
    with pytest.raises(UnpreparableOrderError, match="neg_risk"):
        await each_desk.prepare()


async def test_the_venue_s_own_words_are_found_wherever_they_stand(desk: Desk) -> None:
    refused = {"error": {"code": "x", "message": "Maker address not allowed, please use the flow"}}
    desk.venue.before_matching = answering(400, refused)
    answered = await desk.buy()
    assert isinstance(answered, Rejected)
    assert answered.reason is RejectReason.MAKER_NOT_ALLOWED
    desk.venue.before_matching = answering(
        503, {"code": "post_only_mode", "retry_after_seconds": 9}
    )
    answered = await desk.buy()
    assert isinstance(answered, Rejected)
    assert answered.retry_after_ms == 9_000


async def test_a_page_with_status_403_proves_nothing_and_pauses(desk: Desk) -> None:
    async def page(_: str) -> web.Response:
        return web.Response(status=403, text="<html>blocked</html>", content_type="text/html")

    desk.venue.after_matching = page  # as a filter of answers would
    answered = await desk.buy()
    assert isinstance(answered, Unknown)
    assert answered.concerns is RejectReason.GEOBLOCKED
    assert len(desk.venue.journal.matched()) == 1


async def test_a_cut_connection_after_the_match_is_unknown(each_desk: Desk) -> None:
    async def cut(_: str) -> web.Response | None:
        raise CutConnection

    each_desk.venue.after_matching = cut
    assert isinstance(await each_desk.buy(), Unknown)
    assert len(each_desk.venue.journal.entries) == 1  # sent once, never again


async def test_silence_is_unknown_in_bounded_time(
    each_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "POST_TIMEOUT_S", 0.05)
    released = asyncio.Event()

    async def hang(_: str) -> web.Response | None:
        await released.wait()
        return None

    each_desk.venue.before_matching = hang
    answered = await each_desk.buy()
    released.set()
    assert isinstance(answered, Unknown)
    assert "no answer" in answered.text


async def test_an_answer_that_cannot_be_read_is_unknown(desk: Desk) -> None:
    async def nonsense(_: str) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    desk.venue.after_matching = nonsense
    assert isinstance(await desk.buy(), Unknown)


async def test_another_order_id_in_the_answer_is_an_alarm(desk: Desk) -> None:
    other = "0x" + "cd" * 32
    body = {
        "success": True,
        "errorMsg": "",
        "orderID": other,
        "status": "matched",
        "makingAmount": "1.1",
        "takingAmount": "2.2",
    }
    desk.venue.after_matching = answering(200, body)
    answered = await desk.buy()
    assert isinstance(answered, Unknown)
    assert answered.alarm
    assert other in answered.text


@pytest.mark.parametrize(
    ("status", "kind"), [("delayed", Accepted), ("live", Accepted), ("unmatched", Unknown)]
)
async def test_what_a_status_without_fill_means(
    desk: Desk, status: str, kind: type[Answer]
) -> None:
    async def hook(order_id: str) -> web.Response:
        body = {"success": True, "errorMsg": "", "orderID": order_id, "status": status}
        return answer({**body, "makingAmount": "", "takingAmount": ""})

    desk.venue.before_matching = hook
    answered = await desk.buy()
    assert isinstance(answered, kind)
    if isinstance(answered, Accepted):
        assert (answered.status, answered.size_e6) == (status, 0)


@pytest.mark.parametrize("order_client", [DirectOrders, OfficialOrders])
async def test_a_connection_that_was_never_made_proves_that_nothing_was_sent(
    order_client: MadeBy,
) -> None:
    venue, stack = Venue(), AsyncExitStack()
    now_ms = venue.now_ms()
    market = venue.add_market("btc-updown-15m-1800000000", start_ms=0, end_ms=now_ms + 840_000)
    url = await stack.enter_async_context(serve(venue))
    exchange = await live_exchange(url, order_client)
    order = await Desk(venue, url, exchange, market).prepare()
    await stack.aclose()  # the venue's port refuses connections from here on
    answered = await exchange.post(order)
    await exchange.close()
    assert isinstance(answered, Rejected)
    assert answered.reason is RejectReason.NOT_SENT


async def test_a_warm_market_is_signed_without_any_request(each_desk: Desk) -> None:
    await each_desk.exchange.warm(each_desk.info())
    each_desk.venue.markets.clear()  # from now on every metadata request would fail
    each_desk.venue.by_token.clear()
    for outcome in ("Up", "Down"):
        assert (await each_desk.prepare(outcome=outcome)).spend_e6 == 1_100_000


async def test_warming_an_unknown_market_fails_quietly(each_desk: Desk) -> None:
    each_desk.venue.by_token.clear()
    await each_desk.exchange.warm(each_desk.info())
    with pytest.raises(UnpreparableOrderError):
        await each_desk.prepare()


async def test_deeply_nested_json_does_not_end_what_keeps_the_connection_warm() -> None:
    async with canned_venue() as venue:
        client = await secure_client(canned_account(venue.url))
        exchange = LiveExchange(client, OfficialOrders(client))
        for path in ("/auth/ban-status/closed-only", "/balance-allowance/update"):
            venue.says_text(path, "[" * 100_000)
        await exchange.refresh_balance()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await exchange.upkeep()
        await exchange.close()


async def test_an_answer_that_repeats_an_order_shows_no_credentials(each_desk: Desk) -> None:
    given = each_desk.exchange._client.credentials
    secrets = (given.key, given.secret, given.passphrase)
    refused = {"error": f"Invalid order payload: {' '.join(secrets)}"}
    each_desk.venue.before_matching = answering(400, refused)
    answered = await each_desk.buy()
    assert "Invalid order payload: *** *** ***" in str(answered)


async def test_an_answer_that_repeats_a_question_shows_no_credentials() -> None:
    async with canned_venue() as venue:
        client = await secure_client(canned_account(venue.url))
        exchange = LiveExchange(client, OfficialOrders(client))
        said = {"error": "Bad header canned-key, canned%2Dphrase"}
        venue.says("/balance-allowance/update", said, 400)
        with capture_logs() as logs:
            await exchange.refresh_balance()
        await exchange.close()
    assert "Bad header ***, ***" in str(logs)


@pytest.mark.parametrize(
    "failure",
    [
        *(decimal.InvalidOperation(), TypeError("x"), KeyError("mts"), AttributeError("x")),
        *(OverflowError("x"), RecursionError("x"), PolymarketError("x"), ValueError("x")),
    ],
)
async def test_whatever_the_client_makes_of_an_answer_ends_nothing(
    desk: Desk, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise failure  # `"mts": "sNaN"` among a market's facts, say

    for name in ("market_facts", "refresh_balance", "signed_for_neg_risk"):
        monkeypatch.setattr(official_client, name, fails)
    await desk.exchange.warm(desk.info())
    await desk.exchange.refresh_balance()
    with pytest.raises(UnpreparableOrderError):
        await desk.prepare()
    with pytest.raises(VenueError, match="asked: "):
        await official_client.bounded_call("asked", fails())
