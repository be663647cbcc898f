"""Fills from the user channel, applied to their claims: the fast way to know what was bought.

A fill may come before the answer to its POST, twice, out of order, or after the claim was given up;
`functions.core.lifecycle.apply_trades` bears all of it. A fill that is lost is found by
reconciliation (invariant 7).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from functions.handlers.apply_evidence import apply_fills
from functions.ports import Store
from functions.worker_metrics import WorkerMetrics
from protocol.fill import Fill, decode_fill
from protocol.snapshot import ProtocolError

_log = structlog.get_logger()


async def on_fill(store: Store, metrics: WorkerMetrics, payloads: Sequence[bytes]) -> None:
    """Apply a batch of fills. Raises StoreError: then the batch is to come again."""
    fills: list[Fill] = []
    for payload in payloads:
        try:
            fills.append(decode_fill(payload))
        except ProtocolError as error:
            metrics.fills_malformed.inc()
            _log.warning("fill_malformed", error=str(error))
    foreign = await apply_fills(store, fills, time.time_ns() // 1_000_000) if fills else 0
    metrics.fills.inc(len(fills))
    metrics.fills_foreign.inc(foreign)
