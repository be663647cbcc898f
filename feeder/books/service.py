"""The feeder put together: venue in, JetStream out.

Any number of feeders follow the same series, each with books of its own; of every series one of
them publishes, the one that holds its lease. The settings decide everything; nothing else reads the
environment. Metrics and health are up first, so that a feeder that waits for a dependency can be
asked what it waits for.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import AsyncExitStack
from functools import partial

import structlog

from feeder.books.book_requests import BookRequests
from feeder.books.discovery import Discovery
from feeder.books.lease_keeper import LeaseKeeper
from feeder.books.lines import MarketLines
from feeder.books.metrics import FeederMetrics
from feeder.books.publisher import Publisher
from feeder.core.market.session_table import SessionTable
from feeder.settings import FeederSettings
from protocol.subjects import BOOKS
from runtime.addresses import origins
from runtime.cloudwatch import reporting_to_cloudwatch
from runtime.health import health_server
from runtime.nats import close, connect, declare_stream
from runtime.nats_client import NatsClient
from runtime.process import first_failure, freeze_heap
from runtime.retry import until_reachable

_log = structlog.get_logger()


async def serve(settings: FeederSettings) -> None:
    """Run until cancelled. Exits 2 on what only a person can mend."""
    metrics = FeederMetrics(settings.series)
    table = SessionTable(settings.series, settings.max_book_age_ms)
    nats_url = origins(settings.nats_url)
    nc: NatsClient | None = None
    parts: tuple[MarketLines, LeaseKeeper, Publisher, Discovery] | None = None

    def problem() -> str | None:
        if nc is None or not nc.is_connected:
            return f"not connected to NATS at {nats_url}"
        if parts is None:
            return f"no stream {BOOKS.name} on NATS at {nats_url}"
        return next(filter(None, (part.problem() for part in parts)), None)

    async with AsyncExitStack() as stack:
        metrics_port = await stack.enter_async_context(
            health_server(settings.metrics_host, settings.metrics_port, metrics.registry, problem)
        )
        await stack.enter_async_context(
            reporting_to_cloudwatch(settings.cloudwatch_stage, "feeder", metrics.cloudwatch)
        )
        feeder_id = _feeder_id()
        _log.info(
            "feeder_started",
            feeder=feeder_id,
            metrics_port=metrics_port,
            series=[series.name for series in settings.series],
        )
        stack.callback(_log.info, "feeder_stopped")
        nc = await connect(settings.nats_url, "feeder", settings.nats_login())
        stack.push_async_callback(close, nc)
        replicas = settings.stream_replicas
        declare = partial(declare_stream, nc, BOOKS, replicas)
        await until_reachable(f"JetStream at {nats_url}", declare)

        def offer_all(series: str) -> None:
            """A series is ours from now on: what is known of its markets is to be published."""
            for session in table:
                if session.info.series == series:
                    publisher.offer(session)

        def fit() -> bool:
            return lines.fit

        def behind() -> bool:
            return lines.behind

        names = [series.name for series in settings.series]
        leases = LeaseKeeper(
            nc, feeder_id, names, metrics, on_acquired=offer_all, fit=fit, replicas=replicas
        )
        bids_max = settings.published_bids
        publisher = Publisher(nc, table, metrics, leases.epoch, replicas, behind, bids_max)
        requests = BookRequests(settings.clob_url, table, metrics, publisher.offer)
        lines = MarketLines(
            settings.market_ws_url,
            table,
            requests,
            metrics,
            publisher.offer,
            others_first=lambda: leases.renewing,
        )
        discovery = Discovery(settings.gamma_url, table, metrics, lines.nudge)
        parts = (lines, leases, publisher, discovery)
        stack.push_async_callback(leases.release)
        freeze_heap()
        await first_failure(
            publisher.run(), leases.run(), requests.run(), lines.run(), discovery.run()
        )


def _feeder_id() -> str:
    """Another one with every start: a feeder that comes back is not the one that was lost."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
