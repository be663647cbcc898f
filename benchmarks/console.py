"""What the console costs: 50 markets at 1,000 books a second through a real nats-server, and one
browser's stream open. `python -m benchmarks.console`

Its processor time is read from the kernel, for its list of markets and for one that is opened, and
without any browser. The store is one in memory (`benchmarks.stub_worker`); all else is as deployed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import uvloop

from benchmarks.growth_streams import _cpu_s
from benchmarks.strategies_streams import _publish, _server
from benchmarks.strategy_books import Books
from benchmarks.stub_worker import GrantingStore
from executor.console.accounts import AccountsNow
from executor.console.books import NewestBooks
from executor.console.links import Links, link_secret
from executor.console.messages import Messages
from executor.console.metrics import MetricsNow
from executor.console.nats_now import NatsNow
from executor.console.pages import Pages
from executor.console.security import Door
from executor.console.service import _lasting, now_ms, serving
from executor.console.settings import ConsoleSettings
from executor.console.view import Shared
from executor.console.views import VIEWS
from functions.core.configuration import AccountConfiguration, configuration_row
from functions.settings import DEFAULT_STRATEGY
from runtime.log import configure_logging
from runtime.nats import connect_once
from runtime.process import first_failure
from runtime.settings import load_settings
from strategies.builtin import BUILTIN

SECONDS: Final = 20.0
SHARE_MAX: Final = 0.05
"""Of a core."""


async def serve() -> None:
    """The console, until it is killed; says its link as JSON."""
    settings = load_settings(ConsoleSettings)
    store = GrantingStore()
    strategy = BUILTIN[DEFAULT_STRATEGY]
    row = configuration_row(
        AccountConfiguration(),
        strategy.Parameters(),
        version=1,
        strategy=strategy.name,
        who="benchmark",
        why="to be followed",
        made_at_ms=now_ms(),
    )
    await store.set_configuration(row, 0)
    stores = {settings.account: store}
    nats = NatsNow(settings.nats_url, await connect_once(settings.nats_url, "console"))
    shared = Shared(
        settings=settings,
        nats=nats,
        stores=stores,
        accounts=AccountsNow(settings.each(), stores, now_ms),
        metrics=MetricsNow(lambda: None, now_ms),
        books=NewestBooks(now_ms),
        pages=Pages(),
        messages=Messages(),
        system=lambda: None,
        now_ms=now_ms,
    )
    views = [make(shared) for make in VIEWS]
    key = secrets.token_bytes(32)
    async with serving(shared, views, Door(settings, Links(key, now_ms), shared.pages)) as url:
        link = f"{url}/open/{link_secret(key, now_ms())}"
        print(json.dumps({"event": "console_started", "link": link}), flush=True)
        await first_failure(shared.accounts.run(), *(_lasting(view) for view in views))


async def measure() -> int:
    """1 where one of the figures is above `SHARE_MAX`."""
    books, worst = Books(), 0.0
    async with _server() as (nc, url, _, client):
        environ = {"NATS_URL": url, "CONSOLE_PORT": "0"}
        await client.start(sys.executable, "-m", "benchmarks.console", "--serve", env=environ)
        link = str((await client.wait_for("console_started"))["link"])
        base = link.partition("/open/")[0]
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            async with browser.get(link) as answer:
                answer.raise_for_status()
            opened = f"/events/markets?market={books.condition_ids[7]}"
            for name, path in (("all", "/events/markets"), ("one opened", opened), ("none", "")):
                async with _reading(browser, f"{base}{path}" if path else "") as read:
                    await _publish(nc, books, 2)
                    begun_s, begun_at_s, begun_bytes = _cpu_s(client.pid), time.monotonic(), read[0]
                    published = await _publish(nc, books, SECONDS)
                    took_s = time.monotonic() - begun_at_s
                    share = (_cpu_s(client.pid) - begun_s) / took_s
                    worst = max(worst, share)
                    print(
                        f"{name}: {share:.1%} of a core at {published / took_s:,.0f} books/s,"
                        f" {(read[0] - begun_bytes) / took_s / 1e3:,.0f} kB/s to the browser"
                    )
    return int(worst > SHARE_MAX)


@contextlib.asynccontextmanager
async def _reading(browser: aiohttp.ClientSession, url: str) -> AsyncIterator[list[int]]:
    """A stream that is read meanwhile, and how many bytes of it have come."""
    read = [0]

    async def follow() -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with browser.get(url, timeout=timeout) as answer:
            answer.raise_for_status()
            async for chunk in answer.content.iter_any():
                read[0] += len(chunk)

    task = asyncio.create_task(follow()) if url else None
    try:
        yield read
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


if __name__ == "__main__":
    configure_logging()
    if "--serve" in sys.argv:
        uvloop.run(serve())
    else:
        sys.exit(uvloop.run(measure()))
