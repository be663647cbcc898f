"""What a worker tells about its clock, and when."""

from __future__ import annotations

import time

import msgspec
import pytest
from structlog.testing import capture_logs

from functions import worker_clock
from functions.adapters.book_pull import Delivery
from functions.worker_clock import WorkerClock
from functions.worker_metrics import WorkerMetrics
from tests.support.trading_builders import snapshot


def note(clock: WorkerClock, offset_ms: int) -> None:
    """A book that comes at once, by a clock that is so much ahead."""
    at_ns = time.time_ns()
    reply = f"$JS.ACK.BOOKS.w.1.1.1.{at_ns}.0"
    clock.note(snapshot(received_at_ns=at_ns), Delivery(b"", reply, at_ns + offset_ms * 1_000_000))


def test_a_wrong_clock_shows_in_health_metric_and_log_and_goes_away_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = WorkerMetrics()
    clock = WorkerClock(1_000, metrics)
    clock.look()
    assert clock.problem() is None
    with capture_logs() as logs:
        for _ in range(3):  # thirty seconds
            note(clock, -150)
            clock.look()
    clock.look()  # no book since: nothing says that it is any better
    problem = clock.problem()
    assert problem is not None
    assert "ms behind the feeder's" in problem
    [said] = logs
    assert (said["event"], said["log_level"], said["problem"][:14]) == (
        "clocks_differ",
        "error",
        "this clock is ",
    )
    way_s = metrics.registry.get_sample_value("worker_book_way_min_seconds")
    assert way_s is not None
    assert -0.2 < way_s < -0.1

    monkeypatch.setattr(worker_clock, "SAID_EVERY_S", 0)
    with capture_logs() as logs:
        note(clock, -150)
        clock.look()
    assert len(logs) == 1  # the minute is over

    for _ in range(10):
        note(clock, 5)
    with capture_logs() as logs:
        clock.look()
    assert clock.problem() is None
    assert logs == []


def test_a_trouble_of_one_feeder_is_logged_and_no_reason_to_restart() -> None:
    clock = WorkerClock(1_000, WorkerMetrics())
    note(clock, 0)
    at_ns = time.time_ns()  # NATS' clock and this one
    reply = f"$JS.ACK.BOOKS.w.1.1.1.{at_ns}.0"
    early = msgspec.structs.replace(snapshot(), published_at_ns=at_ns + 400_000_000)
    clock.note(early, Delivery(b"", reply, at_ns))
    with capture_logs() as logs:
        clock.look()
    assert "a feeder's clock is 400 ms ahead" in logs[0]["problem"]
    assert clock.problem() is None
