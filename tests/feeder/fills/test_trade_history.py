from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from py_clob_client_v2.signing.hmac import build_hmac_signature

from feeder.fills import trade_history
from feeder.fills.metrics import UserMetrics
from feeder.fills.trade_history import FetchError, FetchRefusedError, TradeHistory
from tests.support.scripted_trades import WireTrades
from tests.support.user_channel_frames import CREDENTIALS, SECRETS, page, trade
from venue.wire.trades import Rejection, VenueTrade

AFTER_S = 1_700_000_000


@pytest.fixture
async def wire() -> AsyncIterator[WireTrades]:
    async with WireTrades().open() as opened:
        yield opened


async def fetch(url: str, metrics: UserMetrics | None = None) -> list[VenueTrade | Rejection]:
    async with TradeHistory(url, CREDENTIALS, metrics or UserMetrics()) as history:
        return [event async for events in history.pages(AFTER_S) for event in events]


async def test_every_page_is_asked_for_with_headers_that_the_venue_accepts(
    wire: WireTrades,
) -> None:
    wire.say(page(trade("a"), trade("b"), next_cursor="Mg=="))
    wire.say(page(next_cursor="Mw=="))
    wire.say(page(trade("c")))
    trades = await fetch(wire.url)
    found = [each.fill.trade_id for each in trades if isinstance(each, VenueTrade)]
    assert found == ["a", "b", "c"]
    asked = [wire.requests.get_nowait() for _ in range(3)]
    assert [request.query for request in asked] == [
        {"after": str(AFTER_S)},
        {"after": str(AFTER_S), "next_cursor": "Mg=="},
        {"after": str(AFTER_S), "next_cursor": "Mw=="},
    ]
    for request in asked:
        stamp = request.headers["POLY_TIMESTAMP"]
        assert abs(int(stamp) - time.time()) < 60
        assert request.headers["POLY_ADDRESS"] == CREDENTIALS.address
        assert request.headers["POLY_SIGNATURE"] == build_hmac_signature(
            CREDENTIALS.secret, stamp, "GET", "/data/trades"
        )


@pytest.mark.parametrize(
    ("status", "body", "fault", "said"),
    [
        (500, b"oops", "bad_answer", "answered 500"),
        (302, b"", "bad_answer", "answered 302"),
        (200, b"<html>", "bad_answer", "not a page of trades"),
        (401, b'{"error":"Unauthorized"}', "refused", "check API_KEY, API_SECRET"),
        (403, b"<html>", "bad_answer", "answered 403"),
        (403, b'{"message":"Forbidden"}', "bad_answer", "answered 403"),
        (401, b"", "bad_answer", "answered 401"),
    ],
)
async def test_other_answers_are_named_and_counted(
    wire: WireTrades, status: int, body: bytes, fault: str, said: str
) -> None:
    wire.say(body, status, Location="/data/trades")
    metrics = UserMetrics()
    with pytest.raises(FetchError, match=said) as failed:
        await fetch(wire.url, metrics)
    assert isinstance(failed.value, FetchRefusedError) == (fault == "refused")
    assert not any(secret in str(failed.value) for secret in SECRETS)
    assert wire.requests.qsize() == 1  # no redirect was followed
    value = metrics.registry.get_sample_value("feeder_user_fetch_failures_total", {"cause": fault})
    assert value == 1


async def test_a_cursor_that_stands_still_and_endless_pages_end(
    wire: WireTrades, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        wire.say(page(next_cursor="Mg=="))
    with pytest.raises(FetchError, match="does not move on"):
        await fetch(wire.url)
    monkeypatch.setattr(trade_history, "PAGES_MAX", 3)
    for number in range(3):
        wire.say(page(next_cursor=f"M{number}=="))
    with pytest.raises(FetchError, match="more than 3 pages"):
        await fetch(wire.url)


async def test_an_answer_without_end_is_cut(
    wire: WireTrades, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trade_history, "ANSWER_BYTES_MAX", 100)
    wire.say(page(trade()))
    with pytest.raises(FetchError, match="answered 200 with"):
        await fetch(wire.url)


async def test_a_venue_that_is_not_there_is_said_to_be_unreachable() -> None:
    metrics = UserMetrics()
    with pytest.raises(FetchError, match="ClientConnectorError"):
        await fetch("http://127.0.0.1:9", metrics)
    value = metrics.registry.get_sample_value(
        "feeder_user_fetch_failures_total", {"cause": "unreachable"}
    )
    assert value == 1
