"""The decision log on a real table: written, read; rows that it never takes hold up nothing."""

from __future__ import annotations

import pytest

from functions.adapters.dynamodb import decisions
from functions.adapters.dynamodb.decisions import BATCH_TRIES_MAX
from functions.adapters.dynamodb.store import DynamoStore
from functions.handlers.log_decisions import log_decisions
from functions.ports import StoreError, StoreRefusedError
from functions.worker_metrics import WorkerMetrics
from runtime.line_throttle import LineThrottle
from tests.functions.adapters.dynamodb.test_store import raised_by
from tests.support.dynamodb_items import DECISIONS_PK
from tests.support.dynamodb_proxy import FORWARD
from tests.support.metrics_builders import counted, worker_metrics
from tests.support.store_builders import NOW_MS, TODAY, make_decision

# Made here, as no message decodes to them: too long a key, an item too large, no number of a table.
REFUSED = {
    "key": {"decision_id": "x" * 3_000},
    "size": {"text": "x" * 410_000},
    "number": {"imbalance": 1e308},
    "defect": {"decided_at_ms": 10**18},
}


def not_logged(metrics: WorkerMetrics) -> float:
    return counted(metrics, "decisions_not_logged_total") or 0.0


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_row_that_the_table_refuses_is_dropped_and_counted_and_the_others_are_written(
    kind, store, log_table
) -> None:
    metrics = worker_metrics()
    bad = make_decision(2, **REFUSED[kind])
    await log_decisions(
        store, metrics.accounts["s"], LineThrottle(), [make_decision(1), bad, make_decision(3)]
    )
    rows = log_table.rows(DECISIONS_PK)
    assert [row["decision_id"]["S"] for row in rows] == ["d001", "d003"]
    assert not_logged(metrics) == 1


async def test_what_the_table_refuses_is_told_from_what_it_did_not_answer(store) -> None:
    with pytest.raises(StoreRefusedError):
        await store.put_decisions([make_decision(2, text="x" * 410_000)])


async def test_a_batch_that_is_not_written_for_another_reason_comes_again(proxied, proxy) -> None:
    metrics = worker_metrics()
    proxy.script.extend([lambda _: (500, {"__type": "InternalServerError"})] * 10)
    with pytest.raises(StoreError):
        await log_decisions(proxied, metrics.accounts["s"], LineThrottle(), [make_decision(1)])
    assert not_logged(metrics) == 0
    assert isinstance(proxied, DynamoStore)


async def test_decisions_are_written_in_batches_with_an_expiry(
    proxied, proxy, table, log_table
) -> None:
    decisions = [make_decision(number) for number in range(60)]
    await proxied.put_decisions(decisions)
    assert proxy.operations() == ["BatchWriteItem"] * 3
    assert table.rows(DECISIONS_PK) == []  # nothing that expires stands where the claims are
    rows = log_table.rows(DECISIONS_PK)
    assert [row["decision_id"]["S"] for row in rows] == [d.decision_id for d in decisions]
    assert {row["expires_at"]["N"] for row in rows} == {str(NOW_MS // 1000 + 604_800)}
    await proxied.put_decisions(decisions)
    assert len(log_table.rows(DECISIONS_PK)) == 60


async def test_a_redelivered_decision_in_one_batch_is_written_once(store, log_table) -> None:
    await store.put_decisions([make_decision(1), make_decision(2), make_decision(1, repeats=4)])
    assert [row["repeats"]["N"] for row in log_table.rows(DECISIONS_PK)] == ["4", "0"]


async def test_decisions_are_read_newest_first(store) -> None:
    decisions = [make_decision(number) for number in range(5)]
    await store.put_decisions(decisions)
    assert await store.decisions(TODAY, 3) == decisions[:1:-1]
    assert await store.decisions(TODAY, 50) == decisions[::-1]
    assert await store.decisions("2026-09-20", 50) == []


async def test_no_decisions_cost_no_call(proxied, proxy) -> None:
    await proxied.put_decisions([])
    assert proxy.requests == []


def hand_back(parameters):
    """Throttled: nothing was written."""
    return 200, {"UnprocessedItems": parameters["RequestItems"]}


async def test_unprocessed_decisions_are_asked_again(
    proxied, proxy, log_table, monkeypatch
) -> None:
    monkeypatch.setattr(decisions, "BATCH_PAUSE_S", 0)
    proxy.script.extend([hand_back, hand_back, FORWARD])
    await proxied.put_decisions([make_decision(1), make_decision(2)])
    assert proxy.operations() == ["BatchWriteItem"] * 3
    assert len(log_table.rows(DECISIONS_PK)) == 2


async def test_decisions_are_not_asked_for_ever(proxied, proxy, monkeypatch) -> None:
    monkeypatch.setattr(decisions, "BATCH_PAUSE_S", 0)
    proxy.script.extend([hand_back] * 50)
    text = await raised_by(proxied.put_decisions([make_decision(1), make_decision(2)]))
    assert "left 2 of 2 rows unwritten" in text
    assert len(proxy.requests) == BATCH_TRIES_MAX
