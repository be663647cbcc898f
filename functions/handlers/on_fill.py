"""Fills of the user channel, applied to the claims of their orders.

The venue tells each account of a wallet the trades of all of them. What is a sibling's is left to
it; foreign is what no account of the wallet knows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from functions.handlers.apply_evidence import apply_fills
from functions.handlers.siblings import whose
from functions.ports import Store
from functions.worker_metrics import WorkerMetrics
from protocol.fill import Fill
from runtime.line_throttle import LineThrottle

_log = structlog.get_logger()


async def on_fill(
    store: Store,
    metrics: WorkerMetrics,
    fills: Sequence[Fill],
    *,
    wallet: str = "",
    alarms: LineThrottle | None = None,
    warnings: LineThrottle | None = None,
) -> None:
    """Apply a batch of fills. Raises StoreError: then the batch is to come again.

    `wallet`: whose trades they are; without it every order that is not the account's is foreign.
    """
    unknown = await apply_fills(store, fills, time.time_ns() // 1_000_000, alarms)
    metrics.fills.inc(len(fills))
    unclaimed = await whose(store, wallet, unknown)
    metrics.fills_foreign.inc(unclaimed.foreign)
    metrics.fills_untold.inc(unclaimed.untold)
    if unclaimed.untold and (unlogged := warnings.admit() if warnings else 0) is not None:
        _log.warning(
            "fills_untold", orders=unclaimed.untold, error=unclaimed.why, unlogged_before=unlogged
        )
