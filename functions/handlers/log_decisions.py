"""The decision log: published decisions are written to the table, in batches, after the fact.

Telemetry, not truth: what is lost here loses no order (invariant 7), and nothing that is wrong with
a row ends the worker, or holds up the other rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from functions.account_metrics import AccountMetrics
from functions.ports import Store, StoreError, StoreRefusedError
from protocol.decision import Decision
from runtime.line_throttle import LineThrottle

_log = structlog.get_logger()


async def log_decisions(
    store: Store,
    metrics: AccountMetrics,
    dropped: LineThrottle,
    decisions: Sequence[Decision],
) -> None:
    """Write a batch to the table. A row that it will never take is dropped, counted and logged.

    Raises StoreError: then the batch is to come again.
    """
    if await _refusal(store, decisions) is None:
        return
    for decision in decisions:
        if (error := await _refusal(store, [decision])) is not None:
            metrics.decisions_not_logged.inc()
            if (unlogged := dropped.admit()) is not None:
                _log.error(
                    "decision_dropped",
                    decision=decision.decision_id,
                    error=f"{type(error).__name__}: {error}",
                    unlogged_before=unlogged,
                )


async def _refusal(store: Store, decisions: Sequence[Decision]) -> Exception | None:
    """Why these can never be written, all of them; of several that does not say which it is."""
    try:
        await store.put_decisions(decisions)
    except StoreRefusedError as error:
        return error
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - a row that cannot be made is no reason not to trade
        return error
    return None
