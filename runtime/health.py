"""`/metrics` and `/healthz` of a process."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from runtime.addresses import origins
from runtime.line_throttle import LineThrottle
from runtime.output import STDERR, STDOUT
from runtime.settings import refuse_to_start

SHUTDOWN_TIMEOUT_S = 1
"""A reader of metrics that has stopped reading must not hold up a stop."""
_PORTS_FAULT: Final = frozenset({errno.EADDRINUSE, errno.EACCES, errno.EPERM})


class LinesLost(Collector):
    """`log_lines_lost_total`: what this process could not write, to stderr or to stdout."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One counter."""
        text = "Lines of log or metrics that could not be written"
        yield CounterMetricFamily("log_lines_lost", text, value=STDERR.lost + STDOUT.lost)


class ServerComplaints(logging.Filter, Collector):
    """What the server of metrics says of requests that failed, mostly of bytes that are no HTTP.

    Anybody who reaches the port can make it say so, with a traceback each: all are counted
    (`metrics_requests_failed_total`), one a minute is said.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.throttle = LineThrottle()

    def filter(self, record: logging.LogRecord) -> bool:
        """Count it; whether it is to be said."""
        self.count += 1
        return self.throttle.admit() is not None

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One counter."""
        text = "Requests for metrics or health that failed"
        yield CounterMetricFamily("metrics_requests_failed", text, value=self.count)


SERVER_COMPLAINTS: Final = ServerComplaints()
_SERVER_LOG: Final = logging.getLogger("metrics_server")
_SERVER_LOG.addFilter(SERVER_COMPLAINTS)
_OF_EVERY_PROCESS: Final = CollectorRegistry()
_OF_EVERY_PROCESS.register(LinesLost())
_OF_EVERY_PROCESS.register(SERVER_COMPLAINTS)


@asynccontextmanager
async def health_server(
    host: str,
    port: int,
    registry: CollectorRegistry,
    problem: Callable[[], str | None],
    remark: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[int]:
    """Serve while the context lasts; yields the bound port (`port` 0 picks a free one).

    `problem` returns None when healthy, otherwise one sentence, which is answered with 503.
    `remark`: what is to be said although it is healthy, if anything.
    Exits 2 when the address cannot be bound.
    """

    async def metrics(_: web.Request) -> web.Response:
        body = generate_latest(registry) + generate_latest(_OF_EVERY_PROCESS)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        if sentence := origins(problem() or ""):
            return web.Response(text=sentence, status=503)
        said = origins(remark() or "")
        return web.Response(text=f"ok, but {said}" if said else "ok")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
    runner = web.AppRunner(
        app, access_log=None, logger=_SERVER_LOG, shutdown_timeout=SHUTDOWN_TIMEOUT_S
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, ValueError) as error:  # UnicodeError is a ValueError: no name of a host
            number = error.errno if isinstance(error, OSError) else None
            why = " ".join(str((isinstance(error, OSError) and error.strerror) or error).split())
            if number in _PORTS_FAULT:
                what = "METRICS_PORT"
            else:
                what, why = "METRICS_HOST", f"{why}; an address of this machine is wanted"
            refuse_to_start(f"{what}: cannot listen on {host}:{port}: {why}")
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
