"""What a worker tells about its clock, and when."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from functools import partial

import aiohttp
import msgspec
import nats
import pytest
from structlog.testing import capture_logs

from functions import worker, worker_clock
from functions.adapters.book_pull import Delivery
from functions.settings import WorkerSettings
from functions.worker_clock import SERIES_SAID_MAX, WorkerClock
from protocol.snapshot import encode_snapshot
from protocol.subjects import BOOKS, book_subject
from runtime.instant import Instant
from runtime.nats import ensure_stream
from runtime.process import stop_tasks
from sandbox.dynamodb import CREDENTIALS_ENV
from tests.support.dynamodb_engines import dynamodb_server, state_table
from tests.support.metrics_builders import worker_metrics
from tests.support.servers import NatsServer
from tests.support.trading_builders import market, snapshot

__all__ = ["dynamodb_server", "state_table"]


def note(clock: WorkerClock, offset_ms: int) -> None:
    """A book that comes at once, by a clock that is so much ahead."""
    at_ns = time.time_ns()
    reply = f"$JS.ACK.BOOKS.w.1.1.1.{at_ns}.0"
    clock.note(
        snapshot(received_at_ns=at_ns), Delivery(b"", reply, Instant(at_ns + offset_ms * 1_000_000))
    )


def test_a_wrong_clock_shows_in_health_metric_and_log_and_goes_away_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = worker_metrics()
    clock = WorkerClock(1_000, metrics)
    clock.look()
    assert clock.problem() is None
    with capture_logs() as logs:
        for _ in range(3):  # thirty seconds
            note(clock, -150)
            clock.look()
    clock.look()  # no book since: nothing says that it is any better
    gauge = partial(metrics.registry.get_sample_value, "worker_clocks_differing")
    assert gauge() == 1
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
    assert gauge() == 0
    assert logs == []


def test_a_trouble_of_one_feeder_is_logged_and_no_reason_to_restart() -> None:
    clock = WorkerClock(1_000, worker_metrics())
    note(clock, 0)
    at_ns = time.time_ns()  # NATS' clock and this one
    reply = f"$JS.ACK.BOOKS.w.1.1.1.{at_ns}.0"
    other = msgspec.structs.replace(market(), series="eth-15m")
    early = msgspec.structs.replace(snapshot(of=other), published_at_ns=at_ns + 400_000_000)
    clock.note(early, Delivery(b"", reply, Instant(at_ns)))
    with capture_logs() as logs:
        clock.look()
    assert "a feeder's clock is 400 ms ahead" in logs[0]["problem"]
    assert clock.problem() is None


def late(clock: WorkerClock, series: str, late_ms: int) -> None:
    """Ten books of a series whose feeder's clock is so much behind."""
    for _ in range(10):
        at_ns = time.time_ns()  # NATS' clock and this one
        sent_ns = at_ns - late_ms * 1_000_000
        book = msgspec.structs.replace(
            snapshot(of=msgspec.structs.replace(market(), series=series), received_at_ns=sent_ns),
            published_at_ns=sent_ns,
        )
        clock.note(book, Delivery(b"", f"$JS.ACK.BOOKS.w.1.1.1.{at_ns}.0", Instant(at_ns)))


def test_each_series_that_is_refused_is_logged_beside_those_that_are_traded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = WorkerClock(1_000, worker_metrics())
    with capture_logs() as logs:
        for _ in range(3):  # thirty seconds
            late(clock, "btc-15m", 2)
            late(clock, "eth-15m", 5_000)
            late(clock, "sol-15m", 7_000)
            clock.look()
            assert clock.problem() is None
    assert [(line["series"], line["problem"][:30]) for line in logs] == [
        ("eth-15m", "a feeder's clock is 5000 ms be"),
        ("sol-15m", "a feeder's clock is 7000 ms be"),
    ]
    monkeypatch.setattr(worker_clock, "SAID_EVERY_S", 0)
    with capture_logs() as logs:
        late(clock, "eth-15m", 5_000)
        clock.look()
    assert len(logs) == 1  # the minute is over
    problem = clock.problem()
    assert problem is not None  # of what comes now, nothing can be traded
    assert problem.startswith("eth-15m: a feeder's clock is 5000 ms behind")


def test_this_clock_that_is_behind_is_a_problem_although_one_series_can_be_traded() -> None:
    clock = WorkerClock(1_000, worker_metrics())
    note(clock, -150)
    late(clock, "eth-15m", 20)
    clock.look()
    problem = clock.problem()
    assert problem is not None
    assert problem.startswith("this clock is ")


async def test_the_workers_health_says_that_its_clock_is_behind(
    monkeypatch: pytest.MonkeyPatch,
    nats_server: NatsServer,
    dynamodb_server: str,
    state_table: str,
) -> None:
    monkeypatch.setattr(worker_clock, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(worker, "freeze_heap", lambda: None)
    for name, value in CREDENTIALS_ENV.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = WorkerSettings(
        nats_url=nats_server.url,
        aws_endpoint_url_dynamodb=dynamodb_server,
        state_table=state_table,
        clob_url="http://127.0.0.1:1",
        metrics_port=port,
    )
    serving = asyncio.create_task(worker.serve(settings, "w"))
    client = await nats.connect(nats_server.url)
    await ensure_stream(client.jetstream(), BOOKS)
    info = market("0x" + "ab" * 32)
    subject = book_subject("btc-15m", info.condition_id)
    early = snapshot(of=info, received_at_ns=time.time_ns() + 60 * 10**9)
    early = msgspec.structs.replace(early, published_at_ns=early.received_at_ns)
    await client.jetstream().publish(subject, encode_snapshot(early))
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            told = ""
            while "clock" not in told:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
                        told = await response.text()
        assert response.status == 503
        assert "ahead of this one" in told  # NATS' clock is this one: the book's is wrong
    finally:
        await client.close()
        await stop_tasks(serving)


def test_ever_new_series_in_trouble_print_a_bounded_number_of_lines() -> None:
    clock = WorkerClock(1_000, worker_metrics())
    at_ns = time.time_ns()
    with capture_logs() as logs:
        for number in range(10 * SERIES_SAID_MAX):
            book = snapshot(
                of=msgspec.structs.replace(market(), series=f"s{number}"), received_at_ns=at_ns
            )
            clock.note(book, Delivery(b"", "", Instant(at_ns - 10**9)))
            clock.look()
    assert len([each for each in logs if each["event"] == "clocks_differ"]) == SERIES_SAID_MAX
