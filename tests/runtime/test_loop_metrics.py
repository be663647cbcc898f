"""Counted without a lock, exported as prometheus's own are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from runtime.loop_metrics import LoopCounter, LoopHistogram

BUCKETS = (-1.0, 0.0, 0.001, 0.5, 5.0)
AMOUNTS = st.sampled_from(BUCKETS) | st.floats(-10, 10)


@given(st.lists(AMOUNTS, max_size=8), st.lists(st.integers(0, 5), max_size=8))
def test_what_is_exported_is_what_prometheus_exports(
    amounts: list[float], counts: list[int]
) -> None:
    def exported(counter: type[Counter], histogram: type[Histogram]) -> list[bytes]:
        registry = CollectorRegistry()
        counters = counter("counted", "How many", ["of"], registry=registry)
        spans = histogram("spans_seconds", "How long", ["of"], buckets=BUCKETS, registry=registry)
        alone = histogram("alone", "Without a label", buckets=BUCKETS[1:], registry=registry)
        counters.labels("b").inc()
        for count in counts:
            counters.labels("a").inc(count)
        for amount in amounts:
            spans.labels("a").observe(amount)
            alone.observe(amount)
        lines = generate_latest(registry).splitlines()
        return [line for line in lines if b"_created" not in line]  # when it was made

    assert exported(LoopCounter, LoopHistogram) == exported(Counter, Histogram)
