"""What the feeders need of the venue and of the network, provoked for real."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from executor.doctor import checks
from executor.doctor.configuration import read
from executor.doctor.finding import Finding, Level
from protocol.series import parse_series
from sandbox.simulator import Venue
from tests.runtime.test_nats import server_that_says
from tests.support.scripted_market_channel import WireVenue


async def examined() -> dict[str, Finding]:
    return {finding.what: finding for finding in await checks.examine(read())}


def list_markets(venue: Venue, name: str = "btc-15m", windows: int = 2) -> None:
    """The current window at the venue, and those after it."""
    series = parse_series(name)
    start_s = series.window_start_s(time.time())
    for _ in range(windows):
        end_s = series.next_start_s(start_s)
        venue.add_market(series.slug(start_s), start_ms=start_s * 1000, end_ms=end_s * 1000)
        start_s = end_s


async def test_a_series_that_does_not_exist_fails_at_once_beside_one_that_does(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_markets(venue, "btc-5m", 3)
    list_markets(venue, "eth-4h", 1)
    monkeypatch.setenv("SERIES", "btc-5m,bct-15m,btc-15s,eth-4h,btc-1h")
    found = await examined()
    assert found["series btc-5m"].level is Level.OK
    for name in ("bct-15m", "btc-15s", "btc-1h"):
        finding = found[f"series {name}"]
        assert finding.level is Level.FAIL
        assert f"neither {name.replace('-', '-updown-')}-" in finding.text
        assert "SERIES" in finding.do
    assert found["series eth-4h"].level is Level.WARN
    assert "is not listed" in found["series eth-4h"].text
    assert found["market channel"].level is Level.OK


async def test_a_series_whose_windows_are_never_open_long_enough_is_a_warning(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_markets(venue, "btc-5m", 3)
    monkeypatch.setenv("SERIES", "btc-5m,btc-15m")
    for seconds, short in (("300", ["btc-5m"]), ("299", []), ("900", ["btc-5m", "btc-15m"])):
        monkeypatch.setenv("MIN_TIME_TO_CLOSE_S", seconds)
        found = await examined()
        told = {what: each for what, each in found.items() if what.startswith("time to trade")}
        assert list(told) == [f"time to trade {name}" for name in short]
        assert all(each.level is Level.WARN for each in told.values())
        assert all("MIN_TIME_TO_CLOSE_S" in each.text + each.do for each in told.values())


async def test_a_listing_that_cannot_be_followed_or_read_is_said(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bent(_: web.Request) -> web.Response:
        return web.Response(text='[{"markets": [{"slug": "other"}]}]')

    async def refused(_: web.Request) -> web.Response:
        return web.Response(text="slow down", status=429)

    for answered, level in ((bent, Level.FAIL), (refused, Level.WARN)):
        app = web.Application()
        app.router.add_get("/events", answered)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        monkeypatch.setenv("GAMMA_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
        assert (await examined())["series btc-15m"].level is level
        await runner.cleanup()


@pytest.mark.parametrize("name", ["SERIES", "MARKET_WS_URL", "USER_WS_URL"])
async def test_a_wrong_variable_of_the_feeders_is_named(
    venue: Venue, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "bitcoin, every quarter of an hour")
    found = await examined()
    (told,) = [each for what, each in found.items() if what.startswith("configuration of the feed")]
    assert told.level is Level.FAIL
    assert told.text.startswith(f"{name}: ")


async def test_a_market_channel_that_does_not_open_or_answer_fails_in_bounded_time(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venue.channel_checks.FIRST_WORD_TIMEOUT_S", 0.2)
    monkeypatch.setenv("MARKET_WS_URL", "ws://127.0.0.1:9/ws/market")
    finding = (await examined())["market channel"]
    assert finding.level is Level.FAIL
    assert finding.text.startswith("ws://127.0.0.1:9/ws/market: ")
    async with WireVenue().open() as silent:
        monkeypatch.setenv("MARKET_WS_URL", silent.url)
        assert (await examined())["market channel"].text == f"{silent.url}: connected, but silent"
        assert (await (await silent.caller()).next_operation())["type"] == "market"


async def test_a_user_channel_that_closes_at_the_credentials_fails_and_shows_none(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with WireVenue().open() as closing:
        monkeypatch.setenv("USER_WS_URL", closing.url)

        async def close() -> dict[str, Any]:
            caller = await closing.caller()
            told = await caller.next_operation()
            await caller.hang_up()
            return told

        closed = asyncio.create_task(close())
        found = await examined()
        told = await closed
    assert found["user channel"].level is Level.FAIL
    assert "closed by the venue before it said anything" in found["user channel"].text
    assert told["auth"]["secret"] not in str(found)


async def test_the_user_feeders_own_credentials_are_tried_where_there_is_no_key(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "user channel" not in await examined()
    async with WireVenue().open() as channel:
        monkeypatch.setenv("USER_WS_URL", channel.url)
        for name, value in (
            ("API_KEY", "a-key"),
            ("API_SECRET", "c2VjcmV0"),
            ("API_PASSPHRASE", "a-phrase"),
            ("API_ADDRESS", "0x" + "ab" * 20),
        ):
            monkeypatch.setenv(name, value)

        async def answer() -> dict[str, Any]:
            caller = await channel.caller()
            told = await caller.next_operation()
            await caller.send("PONG")
            return told

        answering = asyncio.create_task(answer())
        assert (await examined())["user channel"].level is Level.OK
        assert (await answering)["auth"]["apiKey"] == "a-key"


async def test_a_simulated_venue_is_no_reason_to_speak_to_the_real_one(
    venue: Venue, live: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MARKET_WS_URL")
    monkeypatch.delenv("USER_WS_URL")
    found = await examined()
    for what in ("market channel", "user channel"):
        assert found[what].level is Level.OK
        assert "not opened" in found[what].text


async def test_nats_without_the_encryption_that_is_wanted_is_told_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with server_that_says("2.15.1") as url:
        monkeypatch.setenv("NATS_URL", url.replace("nats://", "tls://worker:hunter2@"))
        found = (await examined())["NATS"]
    assert found.level is Level.FAIL
    assert "offers no TLS" in found.text
    assert "TLS" in found.do
    assert "hunter2" not in str(found)
