"""Fills from the user channel, applied to their claims: the fast way to know what was bought.

A fill may come before the answer to its POST, twice, out of order, or after the claim was given up;
`functions.core.lifecycle.apply_trades` bears all of it. A fill that is lost is found by
reconciliation (invariant 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NoReturn

import structlog
from nats.aio.client import Client

from functions.adapters.durable_consumer import consume
from functions.handlers.apply_evidence import apply_fills
from functions.ports import Store
from functions.worker_metrics import WorkerMetrics
from protocol.fill import Fill, decode_fill
from protocol.snapshot import ProtocolError
from protocol.subjects import FILLS

BATCH_MAX: Final = 32
_log = structlog.get_logger()


async def on_fill(
    nc: Client, account_name: str, store: Store, metrics: WorkerMetrics, replicas: int = 1
) -> NoReturn:
    """Apply fills until cancelled; all workers of an account share the work."""

    def interrupted(why: str) -> None:
        metrics.fills_interrupted.inc()
        _log.warning("fills_interrupted", error=why)

    await consume(
        nc,
        FILLS,
        durable=f"{account_name}-fills",
        subject=FILLS.subjects[0],
        batch_max=BATCH_MAX,
        replicas=replicas,
        handle=partial(_apply, store, metrics),
        interrupted=interrupted,
    )


async def _apply(store: Store, metrics: WorkerMetrics, payloads: Sequence[bytes]) -> None:
    fills: list[Fill] = []
    for payload in payloads:
        try:
            fills.append(decode_fill(payload))
        except ProtocolError as error:
            metrics.fills_malformed.inc()
            _log.warning("fill_malformed", error=str(error))
    foreign = await apply_fills(store, fills) if fills else 0
    metrics.fills.inc(len(fills))
    metrics.fills_foreign.inc(foreign)
