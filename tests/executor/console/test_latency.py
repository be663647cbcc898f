"""How long each stage took, by the differences of what workers count."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from executor.console.latency import LatencyView
from executor.console.latency_history import (
    HOUR_MS,
    QUARTER_MS,
    LatencyHistory,
    quantile,
    stage_times,
)
from functions.worker_metrics import WorkerMetrics
from strategies.book_imbalance import BookImbalance
from tests.support.console_app import console_app

T0_MS = 1_790_000_000_000
ACCOUNT = "book_imbalance_crypto-paper"
AGE, CLAIM = ("book age", ""), ("claim", ACCOUNT)


def worker() -> WorkerMetrics:
    return WorkerMetrics({ACCOUNT: tuple(BookImbalance.Reason)})


def told(metrics: WorkerMetrics) -> Sequence[Metric]:
    """As it comes over HTTP."""
    return tuple(text_string_to_metric_families(generate_latest(metrics.registry).decode()))


def test_what_was_counted_between_two_readings_is_shown_and_nothing_before() -> None:
    history, metrics = LatencyHistory(), worker()
    metrics.book_age.observe(3.0)
    history.read(T0_MS, {"worker-1": told(metrics)})
    for _ in range(99):
        metrics.book_age.observe(0.0015)
    metrics.book_age.observe(0.3)
    metrics.accounts[ACCOUNT].stages["claim"].observe(0.004)
    history.read(T0_MS + 10_000, {"worker-1": told(metrics)})
    assert history.counts(AGE, QUARTER_MS, T0_MS + 10_000) == {0.002: 99, 0.5: 1}
    assert history.counts(CLAIM, QUARTER_MS, T0_MS + 10_000) == {0.005: 1}
    assert history.keys()[:4] == [AGE, ("decode", ""), ("decide", ACCOUNT), ("sign", ACCOUNT)]


def test_several_workers_are_one_and_a_restarted_one_begins_anew() -> None:
    history, one, other = LatencyHistory(), worker(), worker()
    for metrics in (one, other):
        metrics.book_age.observe(0.001)
    history.read(T0_MS, {"worker-1": told(one), "worker-2": told(other)})
    for metrics in (one, other):
        metrics.book_age.observe(0.001)
        metrics.book_age.observe(0.001)
    history.read(T0_MS + 10_000, {"worker-1": told(one), "worker-2": told(other)})
    again = worker()
    again.book_age.observe(0.001)
    history.read(T0_MS + 20_000, {"worker-1": told(again), "worker-2": told(other)})
    assert history.counts(AGE, QUARTER_MS, T0_MS + 20_000) == {0.001: 5}


def test_spans_end_and_an_hour_is_all_that_is_kept() -> None:
    history = LatencyHistory()
    for count, at_ms in enumerate(range(T0_MS, T0_MS + 2 * HOUR_MS, 60_000)):
        ages = Metric("worker_book_age_seconds", "", "histogram")
        ages.add_sample("worker_book_age_seconds_bucket", {"le": "0.001"}, count)
        history.read(at_ms, {"worker-1": (ages,)})
    assert history.counts(AGE, QUARTER_MS, at_ms) == {0.001: 15}
    assert history.counts(AGE, HOUR_MS, at_ms) == {0.001: 60}
    assert history.counts(AGE, 10 * HOUR_MS, at_ms) == {0.001: 60}


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({0.001: 100}, 0.5, 0.00075),
        ({0.001: 100}, 1.0, 0.001),
        ({0.001: 50, 0.01: 50}, 0.99, 0.00995),
        ({0.00005: 2}, 0.5, 0.000025),
        ({0.001: 1, inf: 9}, 0.5, inf),
    ],
)
def test_percentiles_are_read_off_the_buckets(
    counts: dict[float, int], share: float, seconds: float | None
) -> None:
    found = quantile(counts, share)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_nothing_is_no_number() -> None:
    times = stage_times({})
    assert (times.count, times.p50_ms, times.p99_ms) == (0, None, None)


def test_what_is_no_histogram_of_ours_is_left_out() -> None:
    text = (
        "# TYPE worker_claim_seconds histogram\n"
        'worker_claim_seconds_bucket{strategy="a",le="x"} 1\n'
        'worker_claim_seconds_bucket{strategy="a",le="-1"} 1\n'
        'worker_claim_seconds_bucket{strategy="a",le="1"} NaN\n'
        "# TYPE other_seconds histogram\n"
        'other_seconds_bucket{le="1"} 5\n'
    )
    history = LatencyHistory()
    for at_ms in (T0_MS, T0_MS + 10_000):
        history.read(at_ms, {"worker-1": tuple(text_string_to_metric_families(text))})
    assert history.keys() == []


async def test_the_page_shows_stages_and_pictures_and_says_when_there_are_none() -> None:
    clock_ms = [T0_MS]
    async with console_app(LatencyView, clock_ms=lambda: clock_ms[0]) as console:
        view = console.views[0]
        assert "have been read yet" in await console.page("/latency")
        assert view.data_at_ms() == 0
        metrics, shared = worker(), console.shared
        for _ in range(2):
            shared.metrics.of["worker-1"] = tuple(told(metrics))
            shared.metrics.read_at_ms["worker-1"] = clock_ms[0]
            view.read()
            metrics.book_age.observe(0.004)
            metrics.accounts[ACCOUNT].stages["claim"].observe(20.0)
            clock_ms[0] += 10_000
        page = await console.page("/latency")
        assert page.count("<svg") == 3
        assert "over 5 s" in page
        assert "4.00 ms" in page
        assert "nothing to show yet" not in page
        assert "book age, ms, over time (UTC): p50: last 4" in page
        assert view.data_at_ms() == T0_MS + 10_000
        clock_ms[0] = T0_MS + 12_000
        assert view.data_at_ms() == clock_ms[0]
