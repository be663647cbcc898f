"""What is watched: accounts through their stores, processes by what they answer, books on NATS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from executor.alerts import watched_accounts, watched_system
from executor.alerts.alert import SeenAccount, SeenSchedule
from executor.alerts.watched_accounts import WatchedAccounts
from executor.alerts.watched_books import START_GRACE_MS, WatchedBooks
from executor.alerts.watched_system import WatchedSystem
from functions.core.claim import ClaimState
from functions.handlers.reconcile import ReconcileReport
from functions.schedule_metrics import ScheduleMetrics
from functions.settings import LimitSettings
from local.status import write_status
from protocol.book import Proof
from protocol.snapshot import encode_snapshot
from protocol.subjects import BOOKS, book_subject
from runtime.health import health_server
from runtime.nats import close, connect, ensure_stream
from runtime.nats_settings import NatsSettings
from tests.executor.alerts.seen_builders import process, system
from tests.support.account_builders import make_open
from tests.support.fake_ports import MemoryStore
from tests.support.http_sink import http_sink, until
from tests.support.servers import NatsServer
from tests.support.trading_builders import snapshot


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# -- accounts --------------------------------------------------------------------------------------


@asynccontextmanager
async def watched(
    monkeypatch: pytest.MonkeyPatch, store: MemoryStore
) -> AsyncIterator[WatchedAccounts]:
    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[dict[str, MemoryStore]]:
        yield {store.account_name: store}

    monkeypatch.setattr(watched_accounts, "unopened_stores", opened)
    monkeypatch.setattr(watched_accounts, "LOOK_EVERY_S", 0.01)
    accounts = WatchedAccounts(LimitSettings(strategies="one=book_imbalance_crypto"))
    task = asyncio.create_task(accounts.run())
    try:
        yield accounts
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def one_of(accounts: WatchedAccounts) -> SeenAccount:
    (one,) = accounts.seen(now_ms())
    return one


async def test_an_account_is_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(name="one-paper")
    ended = make_open(state=ClaimState.SETTLED, by_intent=True, settled_at_ms=now_ms())
    await store.put_ledger(ended)
    async with watched(monkeypatch, store) as accounts:
        assert one_of(accounts).account is None
        assert one_of(accounts).problem == "it has not been reached yet"
        await until(lambda: one_of(accounts).account is not None)
        assert [claim.intent_id for claim in one_of(accounts).ended] == [ended.intent_id]
        await store.halt("by hand")
        await until(lambda: getattr(one_of(accounts).account, "halt_reason", "") == "by hand")


async def test_a_store_that_fails_is_a_problem_with_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore(name="one-paper")
    async with watched(monkeypatch, store) as accounts:
        await until(lambda: one_of(accounts).account is not None)
        before_ms = now_ms()
        store.failures["account"] = 10**9
        await until(lambda: one_of(accounts).account is None)
        assert one_of(accounts).problem
        assert abs(one_of(accounts).unread_since_ms - before_ms) < 5_000
        store.failures.clear()
        await until(lambda: one_of(accounts).account is not None)


async def test_a_store_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(name="one-paper")
    async with watched(monkeypatch, store) as accounts:
        await until(lambda: one_of(accounts).account is not None)
        (later,) = accounts.seen(now_ms() + 60_000)
        assert (later.account, later.problem) == (None, "the store does not answer")


async def test_a_store_that_cannot_be_opened_is_told_and_opened_when_it_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watched_accounts, "LOOK_EVERY_S", 0.01)
    file = tmp_path / "later" / "state.sqlite"
    settings = LimitSettings(strategies="one=book_imbalance_crypto", state=f"sqlite:///{file}")
    accounts = WatchedAccounts(settings)
    task = asyncio.create_task(accounts.run())
    try:
        await until(lambda: "later" in one_of(accounts).problem)
        file.parent.mkdir()
        await until(lambda: "one-paper" in accounts.stores)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# -- processes -------------------------------------------------------------------------------------


async def test_processes_are_asked_for_their_health_and_the_schedule_for_its_findings(
    tmp_path: Path,
) -> None:
    metrics = ScheduleMetrics(["one"])
    report = ReconcileReport(mismatches=["token 7: 1 instead of 2"])
    async with http_sink() as sink, aiohttp.ClientSession() as session:
        serving = health_server("127.0.0.1", 0, metrics.registry, lambda: None)
        async with serving as port:
            schedule = process("schedule", metrics_url=f"http://127.0.0.1:{port}/metrics")
            worker = process("worker-1", metrics_url=f"{sink.url}/metrics")
            gone = process("feeder", metrics_url="http://127.0.0.1:1/metrics")
            itself = process("alerts", metrics_url="http://127.0.0.1:1/metrics")
            write_status(tmp_path, system(schedule, worker, gone, itself))
            sink.answer = (503, "no book has come: https://host/secret")
            watched = WatchedSystem(tmp_path)
            await watched.look(session)
            assert watched.schedule == {}  # it has not reconciled yet: nothing is known
            first_ms = watched.processes["worker-1"].since_ms
            metrics.accounts["one"].after_reconciling(report, None)
            metrics.accounts["one"].runs["reconcile", "done"].inc()
            await watched.look(session)
    assert watched.schedule == {"one": SeenSchedule(mismatches=1)}
    assert watched.processes["worker-1"].problem == "no book has come: https://host"
    assert watched.processes["worker-1"].since_ms == first_ms
    assert "does not answer" in watched.processes["feeder"].problem
    assert not watched.processes["schedule"].problem
    assert "alerts" not in watched.processes
    assert watched.disk_free_bytes


async def test_no_system_no_processes(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        watched = WatchedSystem(tmp_path)
        await watched.look(session)
        assert (watched.status, watched.processes, watched.schedule) == (None, {}, {})
        (tmp_path / "system.json").write_text("{")
        await watched.look(session)
        assert watched.status is None


# -- books -----------------------------------------------------------------------------------------


async def test_proven_books_are_seen_and_others_are_not(nats_server: NatsServer) -> None:
    nc = await connect(nats_server.url, "test")
    js = nc.jetstream()
    await ensure_stream(js, BOOKS)
    books = WatchedBooks(NatsSettings(nats_url=nats_server.url), ["btc-15m", "eth-15m"])
    await books.look(nc)
    assert books.problem == ""
    began_ms = dict(books.proven_at_ms)
    assert began_ms["btc-15m"] > now_ms() + START_GRACE_MS - 10_000
    await js.publish(book_subject("eth-15m", "0xdark"), b"no book")
    await js.publish(book_subject("btc-15m", "0xc2"), encode_snapshot(snapshot()))
    await books.look(nc)
    assert books.proven_at_ms["eth-15m"] == began_ms["eth-15m"]
    assert abs(books.proven_at_ms["btc-15m"] - now_ms()) < 5_000
    seen_ms = books.proven_at_ms["btc-15m"]
    await books.look(nc)  # the same book is no newer one
    assert books.proven_at_ms["btc-15m"] == seen_ms
    dark = msgspec.structs.replace(snapshot(), proof=Proof.NONE)
    await js.publish(book_subject("btc-15m", "0xc1"), encode_snapshot(dark))
    await books.look(nc)
    assert books.proven_at_ms["btc-15m"] == seen_ms
    await close(nc)
    await books.look(nc)
    assert books.problem.startswith("not connected to NATS")


RUN = 'schedule_runs_total{name="reconcile",result="done",strategy="one"} 1\n'


@pytest.mark.parametrize(
    "text",
    [
        f'{RUN}schedule_position_mismatches{{strategy="one"}} NaN\n',
        f'{RUN}schedule_position_mismatches{{strategy="one"}} +Inf\n',
        "<html>{",
        'a{b="c" 1\n',
        "# TYPE a nothing\na{ 1 1 1\n",
    ],
)
async def test_what_no_schedule_says_ends_nothing(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answered(_: object, __: str) -> tuple[int, str]:
        return 200, text

    monkeypatch.setattr(watched_system, "_asked", answered)
    async with aiohttp.ClientSession() as session:
        assert await watched_system._schedule(session, "http://127.0.0.1:1/metrics") == {}
