"""The decision log: published decisions are written to the table, in batches, after the fact.

Telemetry, not truth: what is lost here loses no order (invariant 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from functions.ports import Store
from protocol.decision import Decision, decode_decision
from protocol.snapshot import ProtocolError

_log = structlog.get_logger()


async def log_decisions(store: Store, payloads: Sequence[bytes]) -> None:
    """Write a batch to the table. Raises StoreError: then the batch is to come again."""
    decisions: list[Decision] = []
    for payload in payloads:
        try:
            decisions.append(decode_decision(payload))
        except ProtocolError as error:
            _log.warning("decision_malformed", error=str(error))
    await store.put_decisions(decisions)
