"""What all views are made of: accounts, metrics, formats, messages, the supervisor's file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web
from prometheus_client import generate_latest

from executor.console import accounts, formats, metrics
from executor.console.accounts import AccountsNow
from executor.console.audience import Audience
from executor.console.messages import KEPT_MAX, Messages
from executor.console.metrics import ANSWER_BYTES_MAX, MetricsNow
from executor.console.pages import Pages
from executor.console.service import SystemNow
from executor.console.settings import ConsoleSettings
from functions.account_metrics import SECONDS_BUCKETS
from functions.core.account import Account
from functions.worker_metrics import WorkerMetrics
from local.status import ProcessStatus, SystemStatus, write_status
from strategies.book_imbalance import BookImbalance
from tests.support.configuration_builders import a_row
from tests.support.console_app import ScriptedView, console_app, until
from tests.support.fake_ports import MemoryStore

NAME = "one-paper"


def settings() -> ConsoleSettings:
    return ConsoleSettings(strategies="one=book_imbalance_crypto", max_positions=7)


async def test_a_reading_that_fails_keeps_what_was_read() -> None:
    store, now = MemoryStore(name=NAME), [1_000]
    read = AccountsNow(settings().each(), {NAME: store}, lambda: now[0])
    assert read.of[NAME].error == accounts.NOT_OPEN
    assert read.of[NAME].limits.max_positions == 7
    await read.read(NAME)
    seen = read.of[NAME]
    assert (seen.error, seen.read_at_ms, seen.account) == ("", 1_000, store.item)
    assert seen.status is not None
    assert seen.status.trading
    now[0], store.failures["account"] = 2_000, 1
    await read.read(NAME)
    assert read.of[NAME].error == "account: injected"
    assert (read.of[NAME].account, read.of[NAME].read_at_ms) == (store.item, 1_000)
    await read.read(NAME)
    assert (read.of[NAME].error, read.read_at_ms()) == ("", 2_000)


async def test_a_defect_in_reading_is_said_and_ends_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    store = MemoryStore(name=NAME)
    read = AccountsNow(settings().each(), {NAME: store}, lambda: 5)

    async def broken() -> None:
        raise KeyError("x")

    store.before["account"] = broken
    await read.read(NAME)
    assert read.of[NAME].error == "a defect, KeyError: the log says more"
    assert "console_account_failed" in "".join(capfd.readouterr())
    await read.read(NAME)
    assert read.of[NAME].error == ""


async def test_an_account_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "READ_EVERY_S", 0.01)
    monkeypatch.setattr(accounts, "READ_TIMEOUT_S", 0.05)
    names = ("one-paper", "two-paper")
    stores = {name: MemoryStore(name=name) for name in names}

    async def hang() -> None:
        await asyncio.Event().wait()

    stores["one-paper"].before["account"] = hang
    told = ConsoleSettings(strategies="one=book_imbalance_crypto,two=book_imbalance_crypto")
    read, audience = AccountsNow(told.each(), stores, lambda: 5), Audience()
    task = asyncio.create_task(read.run(audience))
    with audience.looking("markets"):
        pass
    await until(lambda: "no answer within 0.05 s" in read.of["one-paper"].error)
    assert read.of["two-paper"].read_at_ms == 5
    await until(lambda: not read.of["one-paper"].error)  # it hung once
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_limits_are_those_in_force_unless_they_cannot_be_read() -> None:
    store = MemoryStore(name=NAME)
    read = AccountsNow(settings().each(), {NAME: store}, lambda: 5)
    row = a_row(max_positions=2)
    await store.set_configuration(row, 0)
    await read.read(NAME)
    assert read.of[NAME].configuration == row
    assert (read.of[NAME].limits.max_positions, read.of[NAME].limits.config_version) == (2, 1)
    store.config_rows[1] = msgspec.structs.replace(row, values='{"of_a_newer_version":"1"}')
    await read.read(NAME)
    assert "configuration 1 cannot be read by this version" in read.of[NAME].error
    assert read.of[NAME].limits.max_positions == 7


@asynccontextmanager
async def process(answer: web.Response) -> AsyncIterator[str]:
    async def told(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.add_routes([web.get("/metrics", told)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()


def status(**urls: str) -> SystemStatus:
    return SystemStatus(
        pid=1,
        started_at_ms=1,
        written_at_ms=1,
        execution="paper",
        environment={},
        venue="http://venue",
        processes=tuple(
            ProcessStatus(name=name, state="running", since_ms=1, metrics_url=url)
            for name, url in urls.items()
        ),
    )


async def test_what_processes_count_is_read_and_summed() -> None:
    text = 'a_total{line="0"} 2\na_total{line="1"} 3\nb 7\n'
    async with process(web.Response(text=text)) as url, aiohttp.ClientSession() as session:
        system = [status(feeder=url)]
        read = MetricsNow(lambda: system[0], lambda: 9)
        read.want("health", ["a_total", "b"])
        await read._read_all(session)
        assert read.value("feeder", "a_total") == 5
        assert read.value("feeder", "a_total", line="1") == 3
        assert read.value("feeder", "a_total", line="2") is None
        assert (read.value("worker", "b"), read.read_at_ms) == (None, {"feeder": 9})
        system[0] = status()
        await read._read_all(session)
        assert (read.of, read.read_at_ms) == ({}, {})


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(text="<html>no metrics</html>"),
        web.Response(body=b"\xff\xfe"),
        web.Response(body=b"a" * (ANSWER_BYTES_MAX + 1)),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    ],
    ids=lambda each: str(each.status),
)
async def test_an_answer_that_is_no_processs_changes_nothing(answer: web.Response) -> None:
    async with process(answer) as url, aiohttp.ClientSession() as session:
        read = MetricsNow(lambda: status(feeder=url), lambda: 9)
        await read._read_all(session)
        assert read.of == {}
        assert "cannot be read" in read.errors["feeder"]


async def test_a_process_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "READ_TIMEOUT_S", 0.05)

    async def hang(_: object, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    read = MetricsNow(lambda: status(feeder=f"http://127.0.0.1:{port}/metrics"), lambda: 9)
    task = asyncio.create_task(read.run(Audience()))
    await until(lambda: bool(read.errors))
    task.cancel()
    server.close()


async def test_of_a_page_only_what_a_view_wants_is_parsed() -> None:
    accounts = {"a-paper": tuple(BookImbalance.Reason)}
    page = generate_latest(WorkerMetrics(accounts).registry)
    async with process(web.Response(body=page)) as url, aiohttp.ClientSession() as session:
        read = MetricsNow(lambda: status(worker=url), lambda: 9)
        read.want("latency", ["worker_decode_seconds_bucket"])
        read.want("health", ["worker_orders_in_flight", "worker_books_total"])
        await read._read_all(session)
        assert read.errors == {}
        found = {each.name: each for each in read.of["worker"]}
        assert found.keys() == {"worker_decode_seconds", "worker_orders_in_flight", "worker_books"}
        assert len(found["worker_decode_seconds"].samples) == len(SECONDS_BUCKETS) + 1
        assert read.value("worker", "worker_books_total") == 0
        with pytest.raises(KeyError):
            read.value("worker", "worker_books_conflated_total")


async def test_metrics_are_read_often_only_while_a_view_shows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "READ_EVERY_S", 0.01)
    monkeypatch.setattr(metrics, "SAMPLE_EVERY_S", 0.3)
    read, audience, readings = MetricsNow(lambda: None, lambda: 9), Audience(), [0]
    read.want("health", ["a"])

    async def read_all(_: object) -> None:
        readings[0] += 1

    monkeypatch.setattr(read, "_read_all", read_all)
    task = asyncio.create_task(read.run(audience))
    with audience.looking("markets"):
        await asyncio.sleep(0.05)
    assert readings[0] == 1
    with audience.looking("health"):
        await until(lambda: readings[0] > 3)
    monkeypatch.setattr("executor.console.audience.LOOK_LASTS_S", 0.0)
    seen = readings[0]
    await until(lambda: readings[0] > seen + 2)
    task.cancel()


class CountedReads(MemoryStore):
    reads = 0

    async def account(self) -> Account:
        self.reads += 1
        return await super().account()


async def test_accounts_are_read_only_while_somebody_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "READ_EVERY_S", 0.01)
    monkeypatch.setattr("executor.console.audience.LOOK_LASTS_S", 0.05)
    store = CountedReads(name=NAME)
    async with console_app(
        ScriptedView, stores={NAME: store}, strategies="one=book_imbalance_crypto"
    ) as console:
        task = asyncio.create_task(console.shared.accounts.run(console.shared.audience))
        async with aclosing(console.events("/events/scripted")) as events:
            await anext(events)
            before = store.reads
            await until(lambda: store.reads > before + 5)
        await until(lambda: not console.shared.audience.looks_at())
        await asyncio.sleep(0.05)
        before = store.reads
        await asyncio.sleep(0.05)
        assert store.reads == before
        await store.halt("because")
        assert "because" in await console.page("/scripted")
        task.cancel()


async def test_a_store_that_hangs_delays_no_page_and_no_stranger_has_it_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "FIRST_READ_TIMEOUT_S", 0.05)
    monkeypatch.setattr("executor.console.audience.LOOK_LASTS_S", 0.0)
    store = CountedReads(name=NAME)

    async def hang() -> None:
        await asyncio.Event().wait()

    async with console_app(
        ScriptedView, stores={NAME: store}, strategies="one=book_imbalance_crypto"
    ) as console:
        async with aiohttp.ClientSession() as stranger:
            before = store.reads
            for path in ("/scripted", "/events/scripted", "/static/style.css", "/open/x"):
                async with stranger.get(f"{console.url}{path}"):
                    pass
            assert store.reads == before
        store.before["account"] = hang
        assert "Scripted" in await console.page("/scripted")


def test_the_supervisors_file_may_be_missing_broken_or_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.console.service.SYSTEM_READ_EVERY_S", 0)
    system = SystemNow(tmp_path)
    assert system() is None
    (tmp_path / "system.json").write_text("{")
    assert system() is None
    write_status(tmp_path, status())
    assert system() == status()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("price", 5_300, "0.53"),
        ("price", 5_325, "0.5325"),
        ("price", 10_000, "1.00"),
        ("price", None, formats.NOTHING),
        ("size", 1_213_250_000, "1,213.25"),
        ("usd", 12_500_000, "12.50"),
        ("usd", None, formats.NOTHING),
        ("signed_usd", 12_500_000, "+12.50"),
        ("signed_usd", -30_000, "-0.03"),
        ("signed_usd", -1, "0.00"),
        ("signed_usd", 0, "0.00"),
        ("percent", 0.125, "12.5%"),
        ("number", 1_234.5, "1,234.50"),
        ("clock", 1_795_982_741_970, "20:05:41"),
        ("clock", 0, formats.NOTHING),
        ("moment", 1_795_982_741_970, "2026-11-29 20:05:41"),
        ("millis", 0.42, "0.42 ms"),
        ("millis", 12.04, "12.0 ms"),
        ("millis", 1_250, "1.25 s"),
        ("age", 420, "0.4 s"),
        ("age", -5, "0.0 s"),
        ("age", 12_345, "12 s"),
        ("age", 200_000, "3 min 20 s"),
        ("age", 7_500_000, "2 h 5 min"),
        ("age", 273_600_000, "3 d 4 h"),
        ("uptime", 4_900, "4 s"),
        ("data_size", 512, "512 B"),
        ("data_size", 1.5e9, "1.5 GB"),
        ("data_size", 2e12, "2.0 TB"),
    ],
)
def test_formats(name: str, value: float | None, wanted: str) -> None:
    assert formats.FILTERS[name](value) == wanted


def test_messages_are_shown_once_and_bounded() -> None:
    messages = Messages()
    went = str(messages.see("/health?a=1", "Done.").location)
    path, _, name = went.rpartition("&message=")
    assert path == "/health?a=1"
    query = {"a": "1", "message": name}
    shown = messages.take(query)
    assert (shown is not None and shown.text, query) == ("Done.", {"a": "1"})
    assert messages.take({"message": name}) is None
    again = str(messages.see(went, "Done.").location)
    assert again.count("message=") == 1
    for _ in range(KEPT_MAX):
        messages.see("/", "x")
    assert messages.take({"message": again.rpartition("=")[2]}) is None


def test_keys_hold_none_of_the_text() -> None:
    assert Pages.key("<script>") == Pages.key("<script>")
    assert Pages.key("a") != Pages.key("b")
    assert Pages.key("<script>\ud800").isalnum()
