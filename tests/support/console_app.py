"""A running console for tests: aiohttp on a free port, stores in memory, a browser that was let in.

    async with console_app(MarketsView) as console:
        text = await console.page("/markets")

Not modelled: NATS (give a `NatsNow` with a client of a real server where a view needs one), the
supervisor (`console.status[0]` is what `system.json` would say), what the processes count
(`console.shared.metrics.of`). `AccountsNow` is read once at the start, and by `console.read()`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from executor.console.accounts import AccountsNow
from executor.console.audience import Audience
from executor.console.books import NewestBooks
from executor.console.links import Links, link_secret
from executor.console.messages import Messages
from executor.console.metrics import MetricsNow
from executor.console.nats_now import NatsNow
from executor.console.pages import Pages
from executor.console.security import Door
from executor.console.service import now_ms, serving
from executor.console.settings import ConsoleSettings
from executor.console.view import Shared, View
from functions.ports import Store
from local.status import SystemStatus
from tests.support.fake_ports import MemoryStore

TIMEOUT_S = 30.0


async def until(fact: Callable[[], bool]) -> None:
    """Wait for what shows only by looking, at most TIMEOUT_S."""
    async with asyncio.timeout(TIMEOUT_S):
        while not fact():  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0.005)


class ScriptedView:
    """A view of which a test says all."""

    def __init__(self, shared: Shared, name: str = "scripted") -> None:
        self.shared, self.name, self.title = shared, name, name.title()
        self.template = "base.html"
        self.now: dict[str, str] = {}
        """Its parts."""
        self.fails: Exception | None = None
        self.at_ms: int | None = None
        """When its data is from; None: now."""
        self.rendered = 0
        self.more: list[Any] = []

    def variables(self, query: Mapping[str, str]) -> dict[str, Any]:
        return {}

    def parts(self, query: Mapping[str, str]) -> dict[str, str]:
        self.rendered += 1
        if self.fails is not None:
            raise self.fails
        return dict(self.now)

    def data_at_ms(self) -> int:
        return self.shared.now_ms() if self.at_ms is None else self.at_ms

    def routes(self) -> list[Any]:
        return self.more

    async def run(self) -> None:
        await asyncio.Event().wait()


@dataclass
class ConsoleApp:
    """What the test holds of it."""

    url: str
    shared: Shared
    views: list[Any]
    key: bytes
    browser: aiohttp.ClientSession
    """With the session's cookie."""
    status: list[SystemStatus | None]
    """`status[0]`: what the supervisor tells."""

    async def read(self) -> None:
        """Read all accounts, as the console does every second."""
        for name in self.shared.accounts.of:
            await self.shared.accounts.read(name)

    async def page(self, path: str, status: int = 200) -> str:
        """A page's HTML."""
        async with self.browser.get(f"{self.url}{path}") as answer:
            text = await answer.text()
            assert answer.status == status, (answer.status, text)
            return text

    async def post(self, path: str, status: int = 200, **form: str) -> str:
        """As a form of a page of ours; the page that the browser is sent to afterwards."""
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        async with self.browser.post(f"{self.url}{path}", data=form, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == status, (answer.status, text)
            return text

    async def events(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        """Of a stream, e.g. of `/events/markets`, each within TIMEOUT_S."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=TIMEOUT_S)
        async with self.browser.get(f"{self.url}{path}", timeout=timeout) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                if line.startswith(b"data: "):
                    yield msgspec.json.decode(line.removeprefix(b"data: "))

    async def shown(self, path: str, element: str, wanted: str) -> str:
        """The first HTML of an element in a stream that has `wanted` in it."""
        async with asyncio.timeout(TIMEOUT_S):
            async with aclosing(self.events(path)) as events:
                async for event in events:
                    if wanted in event["parts"].get(element, ""):
                        return str(event["parts"][element])
        raise AssertionError(f"the stream has ended without {wanted!r} in {element}")


@asynccontextmanager
async def console_app(
    *make_views: Callable[[Shared], View],
    stores: Mapping[str, Store] | None = None,
    nats: NatsNow | None = None,
    run_views: bool = False,
    let_in: bool = True,
    clock_ms: Callable[[], int] = now_ms,
    **settings: Any,
) -> AsyncIterator[ConsoleApp]:
    """Serve these views; `settings` are `ConsoleSettings`' by name (`strategies`, ...). Without
    `stores` there is an empty, opened account for each of STRATEGIES."""
    told = ConsoleSettings(**{"console_port": 0, **settings})
    if stores is None:
        stores = {one.account: MemoryStore(name=one.account) for one in told.entries}
    status: list[SystemStatus | None] = [None]
    shared = Shared(
        settings=told,
        nats=nats or NatsNow("nats://127.0.0.1:4222"),
        stores=stores,
        accounts=AccountsNow(told.each(), stores, clock_ms),
        audience=Audience(),
        metrics=MetricsNow(lambda: status[0], clock_ms),
        books=NewestBooks(clock_ms),
        pages=Pages(),
        messages=Messages(),
        system=lambda: status[0],
        now_ms=clock_ms,
    )
    key = secrets.token_bytes(32)
    views = [make(shared) for make in make_views]
    door = Door(told, Links(key, clock_ms), shared.pages)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    jar = aiohttp.CookieJar(unsafe=True)  # of an address, not a name
    async with (
        serving(shared, views, door) as url,
        aiohttp.ClientSession(timeout=timeout, cookie_jar=jar) as browser,
    ):
        console = ConsoleApp(url, shared, views, key, browser, status)
        await console.read()
        if let_in:
            await console.page(f"/open/{link_secret(key, clock_ms())}")
        running = [asyncio.create_task(view.run()) for view in views] if run_views else []
        try:
            yield console
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
