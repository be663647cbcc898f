"""The rehearsal: what it does in an idle worker, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from functions import rehearsal as module
from functions import worker
from functions.handlers.verify_markets import MarketVerifier
from functions.rehearsal import WARM_NS
from functions.settings import WorkerSettings
from functions.worker_clock import WorkerClock
from protocol.snapshot import SnapshotDecoder, encode_snapshot
from protocol.subjects import BOOKS, book_subject
from runtime.nats import close, connect, declare_stream
from runtime.process import stop_tasks
from strategies.book_imbalance import BookImbalance
from tests.functions.test_worker import Desk, SlowWarmExchange
from tests.support.fake_ports import MemoryStore, ScriptedClob
from tests.support.hot_path import opened_account
from tests.support.metrics_builders import worker_metrics
from tests.support.servers import NatsServer
from tests.support.trading_builders import market, snapshot

QUIET = [("0.49", 1)], [("0.50", 1)]
"""A book without a signal; the default one has one."""


class LiveExchange(SlowWarmExchange):
    """Counts its specimens."""

    def __init__(self) -> None:
        super().__init__()
        self.warm_now.set()
        self.specimens = 0
        self.during: Callable[[], None] = lambda: None

    def rehearsal(self) -> Any:
        return self._make

    def _make(self) -> None:
        self.specimens += 1
        self.during()

    async def upkeep(self) -> None:
        await asyncio.Event().wait()


class LiveDesk(Desk):
    """A worker with a live account, on a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.live = LiveExchange()
        super().__init__(exchange=self.live)
        self.rehearsal = self.worker.rehearsal
        self.decoded = 0
        self.now_ns = 10**12
        decode = SnapshotDecoder.decode

        @functools.wraps(decode)
        def counted(decoder: SnapshotDecoder, payload: bytes) -> Any:
            self.decoded += 1
            return decode(decoder, payload)

        monkeypatch.setattr(SnapshotDecoder, "decode", counted)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now_ns)

    async def book(self, *, signal: bool = False) -> None:
        """One comes and is handled."""
        book = snapshot(of=market()) if signal else snapshot(*QUIET, of=market())
        self.books.give(book)
        await self.handle_all()

    def rehearsed(self) -> tuple[int, int]:
        """Books and specimens of one more rehearsal."""
        decoded, specimens = self.decoded, self.live.specimens
        self.rehearsal.once()
        return self.decoded - decoded, self.live.specimens - specimens


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> LiveDesk:
    return LiveDesk(monkeypatch)


async def test_before_the_first_book_nothing_is_done(desk: LiveDesk) -> None:
    assert desk.rehearsed() == (0, 0)


async def test_an_idle_worker_rehearses_its_newest_book_and_a_specimen(desk: LiveDesk) -> None:
    await desk.book()
    desk.now_ns += WARM_NS + 1
    assert desk.rehearsed() == (1, 1)
    assert desk.rehearsed() == (1, 1)


async def test_right_after_a_book_nothing_is_rehearsed(desk: LiveDesk) -> None:
    await desk.book(signal=True)
    assert "post" in desk.live.calls
    desk.now_ns += WARM_NS
    assert desk.rehearsed() == (0, 0)


async def test_it_leaves_no_trace_and_asks_no_strategy(
    desk: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.book(signal=True)
    told: list[str] = []
    for owner, name in ((desk.clock, "note"), (BookImbalance, "decide")):
        monkeypatch.setattr(owner, name, lambda *_: told.append("noted, or asked"))

    def traces() -> list[object]:
        [memory] = desk.worker._memories._memories.values()
        return [
            [each.samples for each in desk.metrics.registry.collect()],
            dict(desk.fence._newest),
            (memory.rows, memory.start),
            [*desk.live.calls, *desk.clob.asked, *desk.live.warmed],
            [*desk.live.observed],
            [*desk.told],
        ]

    before = traces()
    desk.now_ns += WARM_NS + 1
    with capture_logs() as lines:
        assert desk.rehearsed() == (1, 1)
        await desk.settle()
    assert traces() == before
    assert told == lines == []


async def test_a_market_that_is_cold_by_now_is_not_asked_about(desk: LiveDesk) -> None:
    await desk.book()
    desk.worker._forget("0xc1")
    asked, warmed = list(desk.clob.asked), list(desk.live.warmed)
    desk.now_ns += WARM_NS + 1
    desk.rehearsal.once()
    await desk.settle()
    assert (desk.clob.asked, desk.live.warmed, len(desk.worker._memories)) == (asked, warmed, 0)


# -- the loop ------------------------------------------------------------------------------------


async def running(desk: LiveDesk) -> asyncio.Task[None]:
    """Whose first rehearsal has been."""
    desk.now_ns += WARM_NS + 1
    made = asyncio.Event()
    desk.live.during = made.set
    task = asyncio.create_task(desk.rehearsal.run())
    async with asyncio.timeout(5):
        await made.wait()
    return task


async def test_it_goes_on_until_it_is_cancelled(desk: LiveDesk) -> None:
    await desk.book()
    task = await running(desk)
    await stop_tasks(task)
    assert task.cancelled()


async def test_a_loop_that_is_late_has_something_better_to_do(
    desk: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.book()
    desk.now_ns += WARM_NS + 1
    now_s, late_s = 0.0, iter([2 * module.LATE_MAX_S, 0.0, 2 * module.LATE_MAX_S])

    async def sleep(asked_s: float) -> None:
        nonlocal now_s
        if (by_s := next(late_s, None)) is None:
            raise asyncio.CancelledError
        now_s += asked_s + by_s

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await desk.rehearsal.run()
    assert desk.live.specimens == 1


@pytest.mark.parametrize(
    ("took_s", "pause_s"), [(0.03, 9 * 0.03), (600.0, module.PAUSE_MAX_S)], ids=["slow", "stood"]
)
async def test_on_a_slow_machine_rehearsals_leave_the_loop_to_others(
    took_s: float, pause_s: float, desk: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.book()
    desk.now_ns += WARM_NS + 1
    now_s = 0.0
    pauses_s: list[float] = []

    def take_long() -> None:
        nonlocal now_s
        now_s += took_s if desk.live.specimens == 1 else 0.0001

    async def sleep(asked_s: float) -> None:
        nonlocal now_s
        pauses_s.append(asked_s)
        now_s += asked_s
        if len(pauses_s) == 3:
            raise asyncio.CancelledError

    desk.live.during = take_long
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await desk.rehearsal.run()
    short_s = module.REHEARSE_EVERY_S
    assert pauses_s == [short_s, pytest.approx(pause_s), short_s]


async def test_a_defect_is_logged_once_and_ends_it_alone(
    desk: LiveDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("a defect")

    await desk.book()
    desk.now_ns += WARM_NS + 1
    monkeypatch.setattr(module, "REHEARSE_EVERY_S", 0)
    desk.live.during = fail
    with capture_logs() as lines:
        task = asyncio.create_task(desk.rehearsal.run())
        await desk.settle()
        assert not task.done()  # which would end the worker
        await stop_tasks(task)
    assert [(each["event"], each["log_level"]) for each in lines] == [("rehearsal_failed", "error")]
    assert desk.live.specimens == 1


async def test_where_no_exchange_has_anything_to_rehearse_no_timer_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times: list[None] = []
    monkeypatch.setattr(module, "REHEARSE_EVERY_S", 0)
    monkeypatch.setattr(module.Rehearsal, "once", lambda _: times.append(None))
    desk = Desk()  # as on paper
    task = asyncio.create_task(desk.worker.rehearsal.run())
    await desk.settle()
    assert (times, task.done()) == ([], False)
    await stop_tasks(task)


async def test_a_live_account_that_joins_later_starts_it(desk: LiveDesk) -> None:
    paper = Desk()
    task = asyncio.create_task(paper.worker.rehearsal.run())
    await paper.settle()
    paper.worker.add(desk.account)
    paper.exchange.warm_now.set()
    paper.books.give(snapshot(of=market()))
    await paper.handle_all()
    desk.now_ns += WARM_NS + 1
    made = asyncio.Event()
    desk.live.during = made.set
    async with asyncio.timeout(5):
        await made.wait()
    await stop_tasks(task)


async def test_a_worker_runs_it_until_it_is_told_to_stop(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, made, metrics = LiveExchange(), asyncio.Event(), worker_metrics(BookImbalance.Reason)
    live.during = made.set
    monkeypatch.setattr(worker, "freeze_heap", lambda: None)
    monkeypatch.setattr(MemoryStore, "upkeep", lambda _: asyncio.Event().wait())
    nc, info, before = await connect(nats_server.url, "w"), market(), asyncio.all_tasks()
    try:
        await declare_stream(nc, BOOKS, 1)
        subject = book_subject(info.series, info.condition_id)
        await nc.jetstream().publish(subject, encode_snapshot(snapshot(*QUIET, of=info)))
        running = asyncio.create_task(
            worker.run_worker(
                WorkerSettings(),
                "w",
                nc,
                [opened_account(MemoryStore(), live)],
                verifier=MarketVerifier(ScriptedClob(), metrics),
                clock=WorkerClock(5_000, metrics),
                metrics=metrics,
            )
        )
        async with asyncio.timeout(10):
            await made.wait()
        of_worker = [each.get_coro().__qualname__ for each in asyncio.all_tasks() - before]
        assert "Rehearsal.run" in of_worker
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        of_worker = [each.get_coro().__qualname__ for each in asyncio.all_tasks() - before]
        assert "Rehearsal.run" not in of_worker
    finally:
        await close(nc)
