"""Books and decisions taken down from a real nats-server, beside the frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from structlog.testing import capture_logs

from feeder.recording import recorded_messages
from feeder.recording.format import Decided, Missed, Published, Record, payload
from feeder.recording.recorded_channel import RecordingProgress
from feeder.recording.recorded_messages import RecordedMessages
from protocol.snapshot import encode_snapshot
from protocol.subjects import DECISIONS
from runtime.nats import ensure_stream
from runtime.nats_settings import NatsSettings
from runtime.process import stop_tasks
from sandbox.simulator.fan_out import Notice
from tests.support.message_builders import snapshot
from tests.support.servers import NatsServer


class Taken:
    """What has been put into a recording."""

    def __init__(self, url: str) -> None:
        self.records: list[Record] = []
        self.notice = Notice()
        self.told: list[bytes] = []
        self.progress = RecordingProgress()
        self.messages = RecordedMessages(
            NatsSettings(nats_url=url), self.put, self.progress, self.told.append
        )

    def put(self, record: Record) -> None:
        self.records.append(record)
        self.notice.changed()

    async def until(self, count: int) -> list[Record]:
        """As soon as there are so many. Raises TimeoutError."""
        async with asyncio.timeout(30):
            await self.notice.until(lambda: len(self.records) >= count)
        return self.records

    @property
    def decided(self) -> list[bytes]:
        return [payload(each) for each in self.records if isinstance(each, Decided)]

    @property
    def missed(self) -> list[tuple[str, int]]:
        return [(each.what, each.messages) for each in self.records if isinstance(each, Missed)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_messages, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(recorded_messages, "AGAIN_S", 0.01)


@asynccontextmanager
async def taking(server: NatsServer) -> AsyncIterator[Taken]:
    """Once it follows books and knows where the decisions begin."""
    with capture_logs() as logs:
        taken = Taken(server.url)
        task = asyncio.create_task(taken.messages.run())
        try:
            async with asyncio.timeout(30):
                while not any(each["event"] == "history_followed" for each in logs):  # noqa: ASYNC110 - a line of the log is all it says
                    await asyncio.sleep(0.005)
            yield taken
        finally:
            await stop_tasks(task)
            await taken.messages.close()


@pytest.fixture
async def nc(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url, reconnect_time_wait=0.05)  # type: ignore[arg-type]  # takes any number
    await ensure_stream(client.jetstream(), DECISIONS)
    yield client
    await client.close()


def book(sequence: int, epoch: int = 1) -> bytes:
    return encode_snapshot(msgspec.structs.replace(snapshot(), epoch=epoch, sequence=sequence))


async def test_books_and_decisions_are_kept_byte_for_byte(
    nats_server: NatsServer, nc: Client
) -> None:
    js = nc.jetstream()
    await js.publish("decision.a", b"earlier")
    async with taking(nats_server) as taken:
        await nc.publish("book.btc-15m.0x1", book(1))
        await nc.publish("book.btc-15m.0x1", b"\xff no book")
        await nc.publish("book.btc-15m.0x1", book(2))
        await taken.until(3)
        for text in (b"{}", b"\xff"):
            await js.publish("decision.a", text)
        records = await taken.until(5)
        assert taken.told == [b"{}", b"\xff"]
        assert (taken.progress.books, taken.progress.decisions) == (3, 2)
    assert [payload(each) for each in records if isinstance(each, Published)] == [
        *(book(1), b"\xff no book", book(2)),
    ]
    assert [each.subject for each in records if isinstance(each, Decided)] == ["decision.a"] * 2
    assert taken.missed == []


async def test_what_is_read_of_decisions_is_taken_from_nobody(
    nats_server: NatsServer, nc: Client
) -> None:
    js = nc.jetstream()
    log = await js.pull_subscribe("decision.a", durable="a-log", stream=DECISIONS.name)
    async with taking(nats_server) as taken:
        await js.publish("decision.a", b"{}")
        await taken.until(1)
    assert [each.data for each in await log.fetch(1, timeout=20)] == [b"{}"]
    assert (await js.stream_info(DECISIONS.name)).state.consumer_count == 1


async def test_a_gap_in_a_markets_sequence_leaves_a_counted_line(
    nats_server: NatsServer, nc: Client
) -> None:
    async with taking(nats_server) as taken:
        for market, sequence, epoch in (
            *(("0x1", 3, 1), ("0x2", 9, 1), ("0x1", 4, 1), ("0x1", 8, 1)),
            *(("0x1", 7, 1), ("0x1", 9, 1), ("0x2", 1, 2), ("0x2", 3, 2)),
        ):
            await nc.publish(f"book.btc-15m.{market}", book(sequence, epoch))
        records = await taken.until(10)
        assert taken.progress.missed == 2
    assert taken.missed == [("books", 3), ("books", 1)]
    first = next(each for each in records if isinstance(each, Missed))
    assert first.why == "a gap in the sequence of book.btc-15m.0x1"
    assert 0 < first.since_ns <= first.at_ns


async def test_decisions_from_before_their_stream_was_there_for_it_are_all_new(
    nats_server: NatsServer,
) -> None:
    async with taking(nats_server) as taken:
        client = await nats.connect(nats_server.url)
        js = client.jetstream()
        await ensure_stream(js, DECISIONS)
        await js.publish("decision.a", b"first")
        await taken.until(1)
        await client.close()
    assert taken.decided == [b"first"]


async def test_after_a_restart_of_nats_decisions_go_on_and_an_interruption_is_said(
    nats_server: NatsServer, nc: Client
) -> None:
    async with taking(nats_server) as taken:
        await nc.jetstream().publish("decision.a", b"before")
        await taken.until(1)
        nats_server.stop()
        nats_server.start()
        await taken.until(2)
        async with asyncio.timeout(30):
            while not nc.is_connected:  # noqa: ASYNC110 - nats-py offers nothing to wait on
                await asyncio.sleep(0.01)
        await nc.jetstream().publish("decision.a", b"after")
        await nc.publish("book.btc-15m.0x1", book(1))
        await taken.until(4)
    assert taken.decided == [b"before", b"after"]
    assert taken.missed == [("books", 0)]
    assert taken.progress.books == 1


async def test_a_stream_that_does_not_answer_at_first_is_said(
    nats_server: NatsServer, nc: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(JetStreamContext, "stream_info", silent)
        async with taking(nats_server) as taken:
            await nc.jetstream().publish("decision.a", b"not read")
            patched.undo()
            await taken.until(1)
            await nc.jetstream().publish("decision.a", b"read")
            await taken.until(2)
    assert (taken.missed, taken.decided) == ([("decisions", 0)], [b"read"])


async def test_a_nats_that_is_away_at_the_end_is_said(nats_server: NatsServer, nc: Client) -> None:
    async with taking(nats_server) as taken:
        await nc.publish("book.btc-15m.0x1", book(1))
        await taken.until(1)
        nats_server.stop()
        async with asyncio.timeout(30):
            while taken.messages.connected:  # noqa: ASYNC110 - nats-py offers nothing to wait on
                await asyncio.sleep(0.005)
        await taken.messages.finish()
        nats_server.start()
    assert taken.missed == [("books", 0), ("decisions", 0)]


async def test_what_the_stream_lost_before_it_was_read_is_counted(
    nats_server: NatsServer, nc: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    js = nc.jetstream()
    monkeypatch.setattr(recorded_messages, "LOOK_EVERY_S", 60)  # `finish` looks
    async with taking(nats_server) as taken:
        await js.publish("decision.a", b"1")
        await taken.messages.finish()
        for text in (b"2", b"3", b"4", b"5"):
            await js.publish("decision.a", text)
        await js.purge_stream(DECISIONS.name, seq=4)
        await js.delete_msg(DECISIONS.name, 4)
        await taken.messages.finish()
        assert taken.decided == [b"1", b"5"]
        assert taken.missed == [("decisions", 3)]
        await js.delete_stream(DECISIONS.name)
        await ensure_stream(js, DECISIONS)
        await js.publish("decision.a", b"anew")
        await taken.messages.finish()
        assert taken.decided == [b"1", b"5", b"anew"]
        assert taken.missed[1:] == [("decisions", 0)]


async def test_what_came_last_is_taken_down_at_the_end(
    nats_server: NatsServer, nc: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_messages, "LOOK_EVERY_S", 60)
    async with taking(nats_server) as taken:
        await nc.jetstream().publish("decision.a", b"last")
        assert taken.decided == []
        await taken.messages.finish()
    assert taken.decided == [b"last"]


async def test_without_nats_one_line_says_what_is_waited_for() -> None:
    taken = Taken("nats://127.0.0.1:1")
    with capture_logs() as logs:
        task = asyncio.create_task(taken.messages.run())
        async with asyncio.timeout(30):
            while not logs:  # noqa: ASYNC110 - a line of the log is all it says
                await asyncio.sleep(0.005)
        await taken.messages.finish()
        await stop_tasks(task)
        await taken.messages.close()
    assert logs[0]["event"] == "not_reachable"
    assert logs[0]["what"] == "NATS at nats://127.0.0.1:1"
    assert taken.missed == [("books", 0), ("decisions", 0)]
