"""The decision log on a real table: rows that it never takes hold up nothing."""

from __future__ import annotations

import pytest

from functions.adapters.dynamodb.store import DynamoStore
from functions.handlers.log_decisions import log_decisions
from functions.ports import StoreError, StoreRefusedError
from functions.worker_metrics import WorkerMetrics
from runtime.line_throttle import LineThrottle
from tests.functions.adapters.dynamodb.test_store import DECISIONS_PK, make_decision

# Made here, as no message decodes to them: too long a key, an item too large, no number of a table.
REFUSED = {
    "key": {"decision_id": "x" * 3_000},
    "size": {"text": "x" * 410_000},
    "number": {"imbalance": 1e308},
    "defect": {"decided_at_ms": 10**18},
}


def not_logged(metrics: WorkerMetrics) -> float:
    return metrics.registry.get_sample_value("worker_decisions_not_logged_total") or 0.0


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_row_that_the_table_refuses_is_dropped_and_counted_and_the_others_are_written(
    kind, store, log_table
) -> None:
    metrics = WorkerMetrics()
    bad = make_decision(2, **REFUSED[kind])
    await log_decisions(store, metrics, LineThrottle(), [make_decision(1), bad, make_decision(3)])
    rows = log_table.rows(DECISIONS_PK)
    assert [row["decision_id"]["S"] for row in rows] == ["d001", "d003"]
    assert not_logged(metrics) == 1


async def test_what_the_table_refuses_is_told_from_what_it_did_not_answer(store) -> None:
    with pytest.raises(StoreRefusedError):
        await store.put_decisions([make_decision(2, text="x" * 410_000)])


async def test_a_batch_that_is_not_written_for_another_reason_comes_again(proxied, proxy) -> None:
    metrics = WorkerMetrics()
    proxy.script.extend([lambda _: (500, {"__type": "InternalServerError"})] * 10)
    with pytest.raises(StoreError):
        await log_decisions(proxied, metrics, LineThrottle(), [make_decision(1)])
    assert not_logged(metrics) == 0
    assert isinstance(proxied, DynamoStore)
