"""The feeder put together: venue in, JetStream out.

The settings decide everything; nothing else reads the environment. Metrics and health are up
first, so that a feeder that waits for a dependency can be asked what it waits for.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial

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
from runtime.nats import close, connect, declare_stream, redact
from runtime.process import first_failure, freeze_heap
from runtime.retry import until_reachable

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
        metrics_port = await stack.enter_async_context(
            health_server(settings.metrics_host, settings.metrics_port, metrics.registry, problem)
        )
        _log.info(
            "feeder_started",
            metrics_port=metrics_port,
            series=[series.name for series in settings.series],
        )
        stack.callback(_log.info, "feeder_stopped")
        nc = await connect(settings.nats_url, "feeder")
        stack.push_async_callback(close, nc)
        await until_reachable(f"JetStream at {nats_url}", partial(declare_stream, nc, BOOKS))

        publisher = Publisher(nc, table, metrics)
        channel = MarketChannel(settings.market_ws_url, table, metrics, publisher.offer)
        discovery = Discovery(settings.gamma_url, table, metrics, channel.nudge)
        freeze_heap()
        await first_failure(publisher.run(), channel.run(), discovery.run())
