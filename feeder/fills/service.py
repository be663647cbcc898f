"""The user feeder put together: this account's trades in, fills on JetStream out.

Holds API credentials, which can read the account; no key that could sign an order. The settings
decide everything; nothing else reads the environment. Metrics and health are up first, so that a
feeder that waits for a dependency can be asked what it waits for.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import structlog
from nats.aio.client import Client

from feeder.core.missing_trades import MissingTrades
from feeder.fills.catch_up import CatchUp
from feeder.fills.intake import Intake
from feeder.fills.metrics import UserMetrics
from feeder.fills.publisher import FillPublisher
from feeder.fills.trade_history import TradeHistory
from feeder.fills.user_channel import UserChannel
from feeder.settings import UserFeederSettings
from protocol.fill import Fill
from protocol.subjects import FILLS
from runtime.addresses import origins
from runtime.cloudwatch import reporting_to_cloudwatch
from runtime.health import health_server
from runtime.nats import close, connect, declare_stream
from runtime.process import first_failure, freeze_heap
from runtime.retry import until_reachable
from runtime.settings import refuse_to_start
from venue.credentials import prove_credentials
from venue.errors import AccountRefusedError

LOOK_BACK_S: Final = 3600
"""What a start fetches: longer than a restart takes. Beyond that is reconciliation's."""

_log = structlog.get_logger()


async def _prove(settings: UserFeederSettings) -> None:
    """Exits 2 when the credentials are not the signer's: the trades of nobody would be followed."""
    try:
        await prove_credentials(settings.clob_url, settings.credentials())
    except AccountRefusedError as refused:
        refuse_to_start(str(refused))


async def serve(settings: UserFeederSettings) -> None:
    """Run until cancelled. Exits 2 on what only a person can mend."""
    metrics = UserMetrics()
    missing = MissingTrades(since_s=int(time.time()) - LOOK_BACK_S)
    nats_url = origins(settings.nats_url)
    nc: Client | None = None
    parts: tuple[UserChannel, CatchUp, FillPublisher] | None = None
    declared = False

    def problem() -> str | None:
        if nc is None or not nc.is_connected:
            return f"not connected to NATS at {nats_url}"
        if not declared:
            return f"no stream {FILLS.name} on NATS at {nats_url}"
        if parts is None:
            return f"waiting for the venue at {settings.clob_url}"
        return next(filter(None, (part.problem() for part in parts)), None)

    def acknowledged(fill: Fill) -> None:
        missing.acknowledged(fill, int(time.time()))

    async with AsyncExitStack() as stack:
        metrics_port = await stack.enter_async_context(
            health_server(settings.metrics_host, settings.metrics_port, metrics.registry, problem)
        )
        await stack.enter_async_context(
            reporting_to_cloudwatch(settings.cloudwatch_stage, "user-feeder", metrics.cloudwatch)
        )
        _log.info("user_feeder_started", metrics_port=metrics_port, address=settings.api_address)
        stack.callback(_log.info, "user_feeder_stopped")
        nc = await connect(settings.nats_url, "user-feeder", settings.nats_login())
        stack.push_async_callback(close, nc)
        replicas = settings.stream_replicas
        declare = partial(declare_stream, nc, FILLS, replicas)
        await until_reachable(f"JetStream at {nats_url}", declare)
        declared = True
        credentials = settings.credentials()
        await until_reachable(f"the venue at {settings.clob_url}", partial(_prove, settings))

        history = await stack.enter_async_context(
            TradeHistory(settings.clob_url, credentials, metrics)
        )
        intake = Intake(metrics)
        publisher = FillPublisher(nc, metrics, acknowledged, replicas=replicas)
        catch_up = CatchUp(history, publisher, missing, intake, metrics)
        channel = UserChannel(
            settings.user_ws_url,
            credentials,
            intake,
            metrics,
            catch_up.from_channel,
            catch_up.subscribed,
        )
        parts = (channel, catch_up, publisher)
        freeze_heap()
        await first_failure(publisher.run(), channel.run(), catch_up.run())
