"""Event streams, over HTTP."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from types import SimpleNamespace

import aiohttp
import pytest
from yarl import URL

from executor.console import service, stream
from executor.console.health import HealthView
from executor.console.links import link_secret
from executor.console.stream import FAILED, PROBLEM_ID, STREAMS_MAX
from tests.support.console_app import ConsoleApp, ScriptedView, console_app
from tests.support.stalls import lived_time

PATH = "/events/scripted"


async def test_only_what_has_changed_is_sent_and_silence_is_not_long() -> None:
    async with console_app(ScriptedView) as console, lived_time() as clock:
        view = console.views[0]
        view.now, view.at_ms = {"scripted-a": "1", "scripted-b": "2"}, 7
        async with aclosing(console.events(PATH)) as events:
            first = await anext(events)
            assert {"scripted-a", "scripted-b", "console-accounts"} <= first["parts"].keys()
            assert first["data_at_ms"] == 7
            began_s = clock.now_s()
            second = await anext(events)
            assert second["parts"] == {}
            assert clock.now_s() - began_s < 2
            view.now = {"scripted-a": "1", "scripted-b": "3"}
            while not (event := await anext(events))["parts"]:
                pass
            assert event["parts"] == {"scripted-b": "3"}
            assert event["at_ms"] > first["at_ms"]


async def test_a_browser_is_told_at_most_five_times_a_second() -> None:
    async with console_app(ScriptedView) as console:
        view = console.views[0]
        parts = view.parts

        def always_another(query: dict[str, str]) -> dict[str, str]:
            return {**parts(query), "scripted-a": str(view.rendered)}

        view.parts = always_another
        async with aclosing(console.events(PATH)) as events:
            await anext(events)
            began_s = time.monotonic()
            for _ in range(5):
                await anext(events)
            assert time.monotonic() - began_s > 0.75


async def test_a_page_is_rendered_once_for_all_its_browsers() -> None:
    async with console_app(ScriptedView) as console:
        view = console.views[0]
        async with aclosing(console.events(PATH)) as one, aclosing(console.events(PATH)) as two:
            await asyncio.gather(anext(one), anext(two))
            before = view.rendered
            view.now = {"scripted-a": "1"}
            told = []
            for events in (one, two):
                while not (event := await anext(events))["parts"]:
                    pass
                told.append(event["parts"])
            assert told == [{"scripted-a": "1"}] * 2
            assert view.rendered - before <= 4  # a few rounds of 0.2 s, not of each browser


async def test_nothing_is_rendered_for_nobody() -> None:
    async with console_app(ScriptedView) as console:
        async with aclosing(console.events(PATH)) as events:
            await anext(events)
        view = console.views[0]
        async with asyncio.timeout(30):
            while True:  # the browser's end is noticed with the next word to it
                before = view.rendered
                await asyncio.sleep(0.5)
                if view.rendered == before:
                    return


async def test_a_view_that_fails_says_so_and_the_others_go_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with console_app(ScriptedView, HealthView) as console:
        view = console.views[0]
        view.now, view.fails = {"scripted-a": "1"}, RuntimeError("a defect")
        async with aclosing(console.events(PATH)) as events:
            first = await anext(events)
            assert first["parts"][PROBLEM_ID] == FAILED
            assert "scripted-a" not in first["parts"]
            await console.shown("/events/health", "health-alarms", "Nothing")
            view.fails = None
            while "scripted-a" not in (event := await anext(events))["parts"]:
                pass
            assert event["parts"][PROBLEM_ID] == ""
    assert "".join(capfd.readouterr()).count("console_view_failed") == 1  # throttled


async def test_there_are_not_too_many_streams() -> None:
    async with console_app(ScriptedView) as console:
        url = f"{console.url}{PATH}"
        connector = aiohttp.TCPConnector(limit=0)
        jar = console.browser.cookie_jar
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as browser:
            for _ in range(STREAMS_MAX):
                assert (await browser.get(url)).status == 200
            told = await browser.get(url)
            assert told.status == 503
            assert "Too many windows" in await told.text()


async def test_a_browser_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WRITE_TIMEOUT_S", 0.2)
    async with console_app(ScriptedView) as console:
        view = console.views[0]
        parts = view.parts

        def large(query: dict[str, str]) -> dict[str, str]:
            return {**parts(query), "scripted-a": f"{view.rendered}" * 4_000_000}

        view.parts = large
        reader, writer = await silent_browser(console)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        async with asyncio.timeout(20):
            while True:  # until nobody's page is rendered any more
                before = view.rendered
                await asyncio.sleep(1.2)
                if view.rendered == before:
                    break
        writer.close()
        await console.page("/scripted")


async def silent_browser(
    console: ConsoleApp,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = console.url.removeprefix("http://").split(":")
    cookies = console.browser.cookie_jar.filter_cookies(URL(console.url))
    cookie = "; ".join(f"{name}={each.value}" for name, each in cookies.items())
    reader, writer = await asyncio.open_connection(host, int(port), limit=1_000)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
    return reader, writer


async def test_stopping_does_not_wait_for_browsers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SHUTDOWN_TIMEOUT_S", 60)  # aiohttp would wait for the handler
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with console_app(ScriptedView, let_in=False) as console:
            secret = link_secret(console.key, console.shared.now_ms())
            await browser.get(f"{console.url}/open/{secret}")
            told = await browser.get(f"{console.url}{PATH}")
            assert (await told.content.readline()).startswith(b"data: ")
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 30


async def test_a_page_that_takes_long_is_rendered_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    view = ScriptedView(None)  # type: ignore[arg-type]
    view.at_ms = 1
    clock_s = [0.0]

    def clock() -> float:
        clock_s[0] += 0.02
        return clock_s[0]

    async def sleep(wait_s: float) -> None:
        slept.append(wait_s)
        raise asyncio.CancelledError

    page = stream.ShownPage(view, {}, dict, lambda: 1)
    monkeypatch.setattr(
        "executor.console.stream.time", SimpleNamespace(monotonic=lambda: 1.0, thread_time=clock)
    )
    monkeypatch.setattr(
        "executor.console.stream.asyncio", SimpleNamespace(sleep=sleep, Event=asyncio.Event)
    )
    with pytest.raises(asyncio.CancelledError):
        await page.run()
    assert slept[0] == pytest.approx(0.38, abs=0.05)  # 20 ms of it are 5% of 0.4 s
