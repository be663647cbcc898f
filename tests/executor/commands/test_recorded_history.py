"""`executor record --books`: the configurations that decisions were made under, and all of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import nats
import pytest
from structlog.testing import capture_logs

from executor.commands import recorded_history
from executor.commands.configuration import ConfigurationSettings
from executor.commands.recorded_history import RecordedConfigurations, RecordedHistory
from feeder.recording.format import Configured, Decided, Missed, Published, Record, payload
from feeder.recording.reader import RecordingReader
from feeder.recording.recorded_channel import RecordingProgress
from functions.adapters.dynamodb.store import DynamoStore
from functions.core.configuration import ConfigurationRow
from functions.ports import Store, StoreError
from protocol.decision import encode_decision
from protocol.snapshot import encode_snapshot
from protocol.subjects import DECISIONS
from runtime.nats import ensure_stream
from runtime.process import stop_tasks
from sandbox.simulator import Venue, serve
from sandbox.simulator.fan_out import Notice
from tests.executor.commands.test_record import heard, process
from tests.executor.conftest import Command
from tests.support.account_builders import ACCOUNT
from tests.support.configuration_builders import a_row, seed
from tests.support.fake_ports import MemoryStore
from tests.support.message_builders import decision, snapshot
from tests.support.recordings import list_market
from tests.support.servers import NatsServer


class Bench:
    """What is put into a recording of the configurations of one account in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = MemoryStore()
        self.asked = self.store.calls
        self.notice = Notice()
        self.records: list[Record] = []
        self.progress = RecordingProgress()
        self.trouble: StoreError | None = None
        self.opened = 0
        self.recorded = RecordedConfigurations(ConfigurationSettings(), self.put, self.progress)
        monkeypatch.setattr(recorded_history, "unopened_stores", self.stores)
        monkeypatch.setattr(recorded_history, "READ_EVERY_S", 60)  # but for what is wanted
        monkeypatch.setattr(recorded_history, "AGAIN_S", 0.001)

    @asynccontextmanager
    async def stores(self, settings: ConfigurationSettings) -> AsyncIterator[dict[str, Store]]:
        self.opened += 1
        if self.trouble is not None:
            raise self.trouble
        yield {entry.account: self.store for entry in settings.entries}

    def put(self, record: Record) -> None:
        self.records.append(record)
        self.notice.changed()

    async def set(self, version: int) -> ConfigurationRow:
        row = a_row(version, why=f"change {version}")
        assert await self.store.set_configuration(row, version - 1)
        return row

    def decide(self, version: int, account: str = ACCOUNT) -> None:
        told = msgspec.structs.replace(decision(), strategy=account, config_version=version)
        self.recorded.on_decision(encode_decision(told))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.recorded.run())
        try:
            yield
        finally:
            await stop_tasks(task)

    async def until(self, count: int) -> list[int]:
        """The versions, once there are so many. Raises TimeoutError."""
        async with asyncio.timeout(30):
            await self.notice.until(lambda: len(self.records) >= count)
        return [row.version for row in self.rows]

    @property
    def rows(self) -> list[ConfigurationRow]:
        configured = [each for each in self.records if isinstance(each, Configured)]
        assert {each.account for each in configured} <= {ACCOUNT}
        return [msgspec.json.decode(each.text, type=ConfigurationRow) for each in configured]

    @property
    def missed(self) -> list[tuple[str, int, str]]:
        self.recorded.tell_missing()
        return [
            (each.what, each.messages, each.why)
            for each in self.records
            if isinstance(each, Missed)
        ]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


async def test_what_is_in_force_is_recorded_and_every_version_after_it(bench: Bench) -> None:
    await bench.store.open_account()
    rows = [await bench.set(version) for version in (1, 2)]
    async with bench.running():
        assert await bench.until(1) == [2]
        rows += [await bench.set(version) for version in (3, 4, 5)]
        bench.decide(5)  # nobody waits for the next look
        assert await bench.until(4) == [2, 3, 4, 5]
        bench.decide(4)
    assert bench.rows == rows[1:]
    assert bench.progress.configurations == 4
    [newest] = bench.recorded.in_force()  # for the next file's beginning
    assert isinstance(newest, Configured)
    assert msgspec.json.decode(newest.text, type=ConfigurationRow) == rows[-1]
    assert bench.missed == []


async def test_a_decision_from_before_brings_its_version_in(bench: Bench) -> None:
    await bench.store.open_account()
    for version in (1, 2, 3):
        await bench.set(version)
    async with bench.running():
        assert await bench.until(1) == [3]
        bench.decide(2)
        assert await bench.until(2) == [3, 2]
    assert bench.missed == []


async def test_a_table_that_was_made_anew_counts_its_versions_again(bench: Bench) -> None:
    await bench.store.open_account()
    first = await bench.set(1)
    async with bench.running():
        assert await bench.until(1) == [1]
        bench.store = MemoryStore()
        await bench.store.open_account()
        other = a_row(1, why="another beginning")
        assert await bench.store.set_configuration(other, 0)
    async with bench.running():
        assert await bench.until(2) == [1, 1]
    assert bench.rows == [first, other]


async def test_an_account_that_no_worker_has_opened_yet_is_waited_for(bench: Bench) -> None:
    async with bench.running():
        async with asyncio.timeout(30):
            while bench.asked.count("configuration") < 2:  # noqa: ASYNC110 - as often as it likes
                await asyncio.sleep(0.001)
        await bench.store.open_account()
        await bench.set(1)
        assert await bench.until(1) == [1]


async def test_a_table_that_does_not_answer_is_said_once_and_what_is_missing_at_the_end(
    bench: Bench,
) -> None:
    bench.trouble = StoreError("STATE_TABLE: no such table")
    with capture_logs() as logs:
        async with bench.running():
            bench.decide(7)
            async with asyncio.timeout(30):
                while bench.opened < 3:  # noqa: ASYNC110 - as often as it likes
                    await asyncio.sleep(0.001)
        await bench.recorded.finish()
    assert [(each["event"], each["error"]) for each in logs] == [
        ("configurations_not_recorded", "STATE_TABLE: no such table")
    ]
    assert bench.missed == [("configurations", 1, f"{ACCOUNT}: STATE_TABLE: no such table")]
    assert bench.progress.missed == 1


async def test_what_decisions_were_made_under_is_read_once_more_at_the_end(bench: Bench) -> None:
    await bench.store.open_account()
    await bench.set(1)
    bench.decide(1)
    await bench.recorded.finish()
    assert [row.version for row in bench.rows] == [1]
    assert bench.missed == []


async def test_decisions_of_an_account_that_is_not_named_are_said_and_counted(
    bench: Bench,
) -> None:
    with capture_logs() as logs:
        for version in (1, 2, 2):
            bench.decide(version, "stranger")
        bench.recorded.on_decision(b"no decision")
    assert [(each["event"], each["account"]) for each in logs] == [
        ("decisions_of_another_account", "stranger")
    ]
    await bench.recorded.finish()
    assert bench.missed == [("configurations", 2, "stranger: STRATEGIES does not name it")]


async def test_a_version_that_there_is_not_is_said(bench: Bench) -> None:
    await bench.store.open_account()
    await bench.set(1)
    async with bench.running():
        assert await bench.until(1) == [1]
        bench.decide(9)
    await bench.recorded.finish()
    assert bench.missed == [("configurations", 1, f"{ACCOUNT}: there is no such version")]


# -- all of it --------------------------------------------------------------------------------


async def test_a_run_has_frames_books_decisions_and_configurations_in_one_recording(
    run: Command,
    store: DynamoStore,
    nats_server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NATS_URL", nats_server.url)
    await seed(store)
    told = msgspec.structs.replace(decision(), strategy=ACCOUNT, config_version=1)
    out, venue = tmp_path / "out", Venue()
    client = await nats.connect(nats_server.url)
    await ensure_stream(client.jetstream(), DECISIONS)
    async with serve(venue) as url, process(url, "--books", "--out", str(out)) as running:
        list_market(venue)
        assert running.stderr is not None
        async with asyncio.timeout(45):
            while b"history_followed" not in await running.stderr.readline():
                pass
        await client.publish("book.btc-15m.0x1", encode_snapshot(snapshot()))
        await client.jetstream().publish(f"decision.{ACCOUNT}", encode_decision(told))
        await heard(venue)
        running.send_signal(signal.SIGTERM)
        stdout, _ = await running.communicate()
    await client.close()
    assert running.returncode == 0
    assert stdout.decode().splitlines()[-1] == (
        "beside them 1 books, 1 decision and 1 version of configurations"
    )
    kept = {
        kind: [payload(each) for each in RecordingReader(out) if isinstance(each, kind)]
        for kind in (Published, Decided)
    }
    assert kept == {Published: [encode_snapshot(snapshot())], Decided: [encode_decision(told)]}
    [configured] = [each for each in RecordingReader(out) if isinstance(each, Configured)]
    assert msgspec.json.decode(configured.text, type=ConfigurationRow) == (
        await store.configuration()
    )
    text = (await run("inspect", str(out))).output
    assert "1 books as published, 1 decision, 1 version of configurations" in text
    assert "nothing is wrong with it" in text


async def test_without_nats_and_without_a_table_the_frames_are_recorded(
    run: Command, venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.commands.record.run_service", asyncio.run)
    monkeypatch.setenv("SERIES", "btc-9999h")
    list_market(venue)
    result = await run("record", "--books", "--out", str(tmp_path), "--duration", "1")
    assert result.exit_code == 1  # not what was asked for
    lines = result.output.splitlines()
    assert lines[-2].startswith("recorded 1 frames (")
    assert lines[-1].startswith("beside them 0 books, 0 decisions and 0 versions")


async def test_settings_that_are_wrong_are_one_line_and_exit_2(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", "ftp://x")
    result = await run("record", "--books", "--out", str(tmp_path / "new"))
    assert (result.exit_code, result.output.startswith("cannot start: NATS_URL")) == (2, True)
    assert not (tmp_path / "new").exists()


def test_what_has_not_begun_has_nothing_to_end() -> None:
    async def whole() -> None:
        history = RecordedHistory(ConfigurationSettings())
        await history.finish()
        await history.close()
        assert list(history.head()) == []

    asyncio.run(whole())
