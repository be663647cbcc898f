"""The feeder put together: venue in, JetStream out.

The settings decide everything; nothing else reads the environment. Metrics and health are up
first, so that a feeder that waits for a dependency can be asked what it waits for.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final

import structlog
from nats.aio.client import Client

from feeder.core.sessions import SessionTable
from feeder.gamma import Discovery
from feeder.market_channel import MarketChannel
from feeder.metrics import FeederMetrics
from feeder.publisher import Publisher
from feeder.settings import FeederSettings
from protocol.subjects import BOOKS
from runtime.health import health_server
from runtime.nats import StreamMismatchError, connect, ensure_stream, redact
from runtime.process import first_failure
from runtime.retry import until_reachable
from runtime.settings import refuse_to_start

REQUEST_TIMEOUT_S: Final = 2
CLOSE_TIMEOUT_S: Final = 2

_log = structlog.get_logger()


async def serve(settings: FeederSettings) -> None:
    """Run until cancelled. Exits 2 on what only a person can mend."""
    metrics = FeederMetrics(settings.series)
    # A later feeder has a higher epoch, so its snapshots outrank ours.
    table = SessionTable(settings.series, epoch=time.time_ns() // 1_000_000)
    nats_url = redact(settings.nats_url)
    nc: Client | None = None
    channel: MarketChannel | None = None

    def problem() -> str | None:
        if nc is None or not nc.is_connected:
            return f"not connected to NATS at {nats_url}"
        if channel is None:
            return f"no stream {BOOKS.name} on NATS at {nats_url}"
        return channel.problem()

    async with AsyncExitStack() as stack:
        try:
            metrics_port = await stack.enter_async_context(
                health_server(
                    settings.metrics_host, settings.metrics_port, metrics.registry, problem
                )
            )
        except OSError as error:
            where = f"{settings.metrics_host}:{settings.metrics_port}"
            refuse_to_start(f"METRICS_PORT: cannot listen on {where}: {error.strerror}")
        _log.info(
            "feeder_started",
            metrics_port=metrics_port,
            series=[series.name for series in settings.series],
        )
        stack.callback(_log.info, "feeder_stopped")
        nc = await connect(settings.nats_url, "feeder")
        stack.push_async_callback(_close, nc)
        await until_reachable(f"JetStream at {nats_url}", partial(_declare_stream, nc))

        publisher = Publisher(nc, table, metrics)
        channel = MarketChannel(settings.market_ws_url, table, metrics, publisher.offer)
        discovery = Discovery(settings.gamma_url, table, metrics, channel.nudge)
        await first_failure(publisher.run(), channel.run(), discovery.run())


async def _declare_stream(nc: Client) -> None:
    try:
        await ensure_stream(nc.jetstream(timeout=REQUEST_TIMEOUT_S), BOOKS)
    except StreamMismatchError as error:
        refuse_to_start(str(error))


async def _close(nc: Client) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await nc.close()
