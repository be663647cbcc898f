"""The worker's durable consumers beside the books: fills and decisions, each with its handler.

All workers of an account share the work.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
from nats.aio.client import Client

from functions.adapters.durable_consumer import DurableConsumer
from functions.handlers.log_decisions import log_decisions
from functions.handlers.on_fill import on_fill
from functions.ports import Store
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision, decode_decision
from protocol.fill import Fill, decode_fill
from protocol.snapshot import ProtocolError
from protocol.subjects import DECISIONS, FILLS, decision_subject
from runtime.line_throttle import LineThrottle

FILLS_BATCH_MAX: Final = 32
DECISIONS_BATCH_MAX: Final = 5
"""Decisions are rare, and rows are paid one by one anyway; while a local emulator takes a large
batch, it takes no claim."""
_log = structlog.get_logger()


def fill_consumer(
    nc: Client,
    account_name: str,
    store: Store,
    metrics: WorkerMetrics,
    replicas: int = 1,
    wallet: str = "",
) -> DurableConsumer[Fill]:
    """Applies fills, of this wallet, to claims; acked only once applied."""
    malformed = LineThrottle()

    def decode(payload: bytes) -> Fill | None:
        try:
            return decode_fill(payload)
        except ProtocolError as error:
            metrics.fills_malformed.inc()
            if (unlogged := malformed.admit()) is not None:
                _log.warning("fill_malformed", error=str(error), unlogged_before=unlogged)
            return None

    def interrupted(why: str) -> None:
        metrics.fills_interrupted.inc()
        _log.warning("fills_interrupted", error=why)

    return DurableConsumer(
        nc,
        FILLS,
        durable=f"{account_name}-fills",
        subject=FILLS.subjects[0],
        batch_max=FILLS_BATCH_MAX,
        replicas=replicas,
        decode=decode,
        handle=partial(
            on_fill,
            store,
            metrics,
            wallet=wallet,
            alarms=LineThrottle(),
            warnings=LineThrottle(),
        ),
        interrupted=interrupted,
    )


def decision_consumer(
    nc: Client, account_name: str, store: Store, metrics: WorkerMetrics, replicas: int = 1
) -> DurableConsumer[Decision]:
    """Writes published decisions to the table; acked only once written."""
    malformed, dropped = LineThrottle(), LineThrottle()

    def decode(payload: bytes) -> Decision | None:
        try:
            return decode_decision(payload)
        except ProtocolError as error:
            metrics.decisions_not_logged.inc()
            if (unlogged := malformed.admit()) is not None:
                _log.warning("decision_malformed", error=str(error), unlogged_before=unlogged)
            return None

    def interrupted(why: str) -> None:
        _log.warning("decision_log_interrupted", error=why)

    return DurableConsumer(
        nc,
        DECISIONS,
        durable=f"{account_name}-log",
        subject=decision_subject(account_name),
        batch_max=DECISIONS_BATCH_MAX,
        replicas=replicas,
        decode=decode,
        handle=partial(log_decisions, store, metrics, dropped),
        interrupted=interrupted,
    )
