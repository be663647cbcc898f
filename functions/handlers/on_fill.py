from __future__ import annotations

import time
from collections.abc import Sequence

from functions.handlers.apply_evidence import apply_fills
from functions.ports import Store
from functions.worker_metrics import WorkerMetrics
from protocol.fill import Fill
from runtime.line_throttle import LineThrottle


async def on_fill(
    store: Store,
    metrics: WorkerMetrics,
    fills: Sequence[Fill],
    *,
    alarms: LineThrottle | None = None,
) -> None:
    """Apply a batch of fills. Raises StoreError: then the batch is to come again."""
    foreign = await apply_fills(store, fills, time.time_ns() // 1_000_000, alarms)
    metrics.fills.inc(len(fills))
    metrics.fills_foreign.inc(foreign)
