"""The worker's durable consumers beside the books: fills and decisions, each with its handler.

All workers of an account share the work.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NoReturn

import structlog
from nats.aio.client import Client

from functions.adapters.durable_consumer import consume
from functions.handlers.log_decisions import log_decisions
from functions.handlers.on_fill import on_fill
from functions.ports import Store
from functions.worker_metrics import WorkerMetrics
from protocol.subjects import DECISIONS, FILLS, decision_subject

FILLS_BATCH_MAX: Final = 32
DECISIONS_BATCH_MAX: Final = 5
"""Decisions are rare, and rows are paid one by one anyway; while a local emulator takes a large
batch, it takes no claim."""
_log = structlog.get_logger()


async def consume_fills(
    nc: Client, account_name: str, store: Store, metrics: WorkerMetrics, replicas: int = 1
) -> NoReturn:
    """Apply fills to claims until cancelled; acked only once applied."""

    def interrupted(why: str) -> None:
        metrics.fills_interrupted.inc()
        _log.warning("fills_interrupted", error=why)

    await consume(
        nc,
        FILLS,
        durable=f"{account_name}-fills",
        subject=FILLS.subjects[0],
        batch_max=FILLS_BATCH_MAX,
        replicas=replicas,
        handle=partial(on_fill, store, metrics),
        interrupted=interrupted,
    )


async def consume_decisions(
    nc: Client, account_name: str, store: Store, replicas: int = 1
) -> NoReturn:
    """Write published decisions to the table until cancelled; acked only once written."""

    def interrupted(why: str) -> None:
        _log.warning("decision_log_interrupted", error=why)

    await consume(
        nc,
        DECISIONS,
        durable=f"{account_name}-log",
        subject=decision_subject(account_name),
        batch_max=DECISIONS_BATCH_MAX,
        replicas=replicas,
        handle=partial(log_decisions, store),
        interrupted=interrupted,
    )
