"""The console as a process: everything it is made of, from its settings."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from executor.console.accounts import AccountsNow
from executor.console.audience import Audience
from executor.console.books import NewestBooks
from executor.console.links import Links, link_secret
from executor.console.messages import Messages
from executor.console.metrics import MetricsNow
from executor.console.nats_now import NatsNow
from executor.console.pages import Pages
from executor.console.security import Door
from executor.console.server import console_app
from executor.console.settings import ConsoleSettings, is_loopback
from executor.console.view import Shared, View
from executor.console.views import VIEWS
from functions.bootstrap import reachable_stores
from functions.ports import Store
from local.status import SystemStatus, read_status
from runtime.addresses import origins
from runtime.line_throttle import LineThrottle
from runtime.nats import close, connect
from runtime.process import first_failure, freeze_heap
from runtime.settings import refuse_to_start

VIEW_AGAIN_S: Final = 2.0
"""After its `run` has ended or failed."""
SYSTEM_READ_EVERY_S: Final = 0.5
SHUTDOWN_TIMEOUT_S: Final = 1.0
CONNECTIONS_MAX: Final = 128
"""With one more, the oldest is closed: whoever comes gets in, and files are left for the rest."""
IDLE_S: Final = 30.0
"""For a connection that asks for nothing, or never comes to the end of its request's headers."""
_SERVER_LOG: Final = logging.getLogger("console_server")
_log = structlog.get_logger()


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what a stranger sends: that is no error, has no bound, and may be somebody's secret."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)


_SERVER_LOG.addFilter(_is_ours)


def now_ms() -> int:
    """Epoch ms."""
    return time.time_ns() // 1_000_000


class SystemNow:
    """`system.json`, read at most twice a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._status: SystemStatus | None = None
        self._read_at_s = float("-inf")

    def __call__(self) -> SystemStatus | None:
        """What stands there; None: nothing that can be read."""
        now_s = time.monotonic()
        if now_s - self._read_at_s >= SYSTEM_READ_EVERY_S:
            self._status, self._read_at_s = read_status(self._folder), now_s
        return self._status


async def serve(
    settings: ConsoleSettings, key: bytes, say_link: Callable[[str], None] | None
) -> None:
    """Serve until cancelled; `say_link` is told a link once it is. Exits 2 on what only a person
    can mend."""
    stores: dict[str, Store] = {}
    system = SystemNow(settings.executor_data)
    nats = NatsNow(origins(settings.nats_url))
    shared = Shared(
        settings=settings,
        nats=nats,
        stores=stores,
        accounts=AccountsNow(settings.each(), stores, now_ms),
        audience=Audience(),
        metrics=MetricsNow(system, now_ms),
        books=NewestBooks(now_ms),
        pages=Pages(),
        messages=Messages(),
        system=system,
        now_ms=now_ms,
    )
    views = [make(shared) for make in VIEWS]
    door = Door(settings, Links(key, now_ms), shared.pages)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(shared, views, door))
        _log.info("console_started", url=url)
        if not is_loopback(settings.console_host):
            _log.warning("console_not_encrypted", url=url)
        if say_link is not None:
            say_link(f"{url}/open/{link_secret(key, now_ms())}")
        freeze_heap()
        await first_failure(
            shared.accounts.run(shared.audience),
            shared.metrics.run(shared.audience),
            _connected(settings, nats, stack),
            _opened(settings, stores, stack),
            *(_lasting(view) for view in views),
        )


@asynccontextmanager
async def serving(shared: Shared, views: list[View], door: Door) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the URL. Exits 2 when the address cannot be had."""
    settings = shared.settings
    runner = web.AppRunner(
        console_app(shared, views, door),
        access_log=None,
        logger=_SERVER_LOG,
        keepalive_timeout=IDLE_S,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
    )
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - set up
    listening: asyncio.Server | None = None
    try:
        host, port = settings.console_host, settings.console_port
        try:
            made = partial(_connection, runner.server)
            listening = await asyncio.get_running_loop().create_server(made, host, port)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                refuse_to_start(
                    f"CONSOLE_PORT: {port} is taken; if it is by a console that runs already, "
                    "`executor console --link` opens it"
                )
            why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            refuse_to_start(f"CONSOLE_HOST: cannot listen on {host}:{port}: {why}")
        door.port = listening.sockets[0].getsockname()[1]
        yield settings.console_url(door.port)
    finally:
        if listening is not None:
            listening.close()
        await runner.cleanup()


def _connection(server: web.Server) -> asyncio.BaseProtocol:
    """Of one that has just come."""
    for oldest in server.connections[: max(0, len(server.connections) - CONNECTIONS_MAX + 1)]:
        if oldest.transport is not None:
            oldest.transport.abort()
    return server()


async def _connected(settings: ConsoleSettings, nats: NatsNow, stack: AsyncExitStack) -> None:
    await nats.connect(partial(connect, settings.nats_url, "console", settings.nats_login()))
    assert nats.client is not None  # noqa: S101 - connected
    stack.push_async_callback(close, nats.client)
    await asyncio.Event().wait()


async def _opened(
    settings: ConsoleSettings, stores: dict[str, Store], stack: AsyncExitStack
) -> None:
    found = await reachable_stores(settings, stack)
    stores.update(found)
    # Only that the store's connection stays open is what upkeep is for here.
    await first_failure(*(_upkeep(each) for each in found.values()))


async def _upkeep(store: Store) -> None:
    await store.upkeep()
    await asyncio.Event().wait()  # a store that needs none


async def _lasting(view: View) -> None:
    """Its `run`, again and again: one view's failure is not the others'."""
    throttle = LineThrottle()
    while True:
        try:
            await view.run()
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            if (unlogged := throttle.admit()) is not None:
                _log.error(
                    "console_view_failed", view=view.name, exc_info=error, unlogged_before=unlogged
                )
        await asyncio.sleep(VIEW_AGAIN_S)
