"""What goes wrong with `GET /book`."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from sandbox.simulator import Market, Venue
from tests.sandbox.simulator.conftest import SHARES, until
from tests.sandbox.simulator.test_control import call
from tests.support.frame_reader import NaiveBook


async def book(url: str, token: str) -> Any:
    status, body = await call(url, f"/book?token_id={token}")
    assert status == 200
    return body


async def test_an_unknown_token_has_no_book(url: str, market: Market) -> None:
    text = "No orderbook exists for the requested token id"
    assert await call(url, "/book?token_id=1") == (404, {"error": text})
    assert await call(url, "/book") == (404, {"error": text})


async def test_an_error(url: str, venue: Venue, market: Market) -> None:
    venue.faults.book_error = 1.0
    assert (await call(url, f"/book?token_id={market.token('Up')}"))[0] == 500
    assert [each[:3] for each in venue.injections.log] == [("book_error", -1, market.condition_id)]


async def test_no_answer(
    url: str, venue: Venue, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.faults.book_hang = 1.0
    asked = asyncio.create_task(book(url, market.token("Up")))
    await until(venue, lambda: len(venue.injections.log) == 1)
    venue.faults.book_hang = 0.0
    assert (await book(url, market.token("Up")))["asset_id"] == market.token("Up")
    assert not asked.done()
    venue.faults.book_hang = 1.0  # the client itself asks once more
    venue.closing.set()
    with pytest.raises(aiohttp.ClientError):
        await asked
    venue.closing.clear()
    monkeypatch.setattr("sandbox.simulator.clob.BOOK_HANG_S_MAX", 0.01)
    with pytest.raises(aiohttp.ClientError):
        await book(url, market.token("Up"))


async def test_a_size_is_wrong_and_the_hash_is_that_of_the_truth(
    url: str, venue: Venue, market: Market
) -> None:
    up = market.token("Up")
    right = await book(url, up)
    venue.faults.book_corrupted = 1.0
    wrong = await book(url, up)
    assert wrong["bids"][0]["size"] != right["bids"][0]["size"]
    wrong["bids"][0]["size"] = right["bids"][0]["size"]
    assert wrong == right


async def test_the_book_lags(
    url: str, venue: Venue, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    up, start_ms = market.token("Up"), venue.now_ms()
    right = await book(url, up)
    venue.faults.book_lag_ms = 1_000
    for step, size in enumerate((1, 2, 3), start=1):
        now_ms = start_ms + step * 400
        monkeypatch.setattr(venue, "now_ms", lambda now_ms=now_ms: now_ms)
        venue.change_level(up, "BUY", 4700, size * SHARES)
    shown = {}
    for at_ms in (1_200, 1_399, 1_400, 1_800, 2_199, 2_200, 9_000):
        monkeypatch.setattr(venue, "now_ms", lambda at_ms=at_ms: start_ms + at_ms)
        got = await book(url, up)
        sizes = {level["price"]: level["size"] for level in got["bids"]}
        shown[at_ms] = sizes.get("0.47")
        naive = NaiveBook(market.condition_id, up)
        naive.apply_book(got)
        naive.settled()  # its hash is the one that it had then
        if shown[at_ms] is None:
            assert got == right
    assert shown == {
        1_200: None,
        1_399: None,
        1_400: "1",
        1_800: "2",
        2_199: "2",
        2_200: "3",
        9_000: "3",
    }
    assert venue.chance.injected == {"book_lag_ms": 5}
