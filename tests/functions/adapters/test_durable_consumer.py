"""The contract of the loop around a durable consumer, on a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from functions.adapters import durable_consumer
from functions.ports import StoreError
from protocol.subjects import StreamSpec
from runtime.nats import ensure_stream
from runtime.process import stop_tasks
from tests.support.servers import NatsServer

STREAM = StreamSpec(
    name="THINGS",
    subjects=("thing.>",),
    memory=True,
    max_age_s=600,
    max_msgs_per_subject=-1,
    max_bytes=1_000_000,
)
BATCH_MAX = 4


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable_consumer, "RETRY_EVERY_S", 0.05)
    monkeypatch.setattr(durable_consumer, "FETCH_TIMEOUT_S", 0.5)


class Bench:
    """Notes what is handed over; raises what is put into `failures`, one a batch."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.decoded: list[bytes] = []
        self.batches: list[list[bytes]] = []
        self.failures: list[Exception] = []
        self.interruptions: list[str] = []
        self.task: asyncio.Task[None] | None = None

    def decode(self, payload: bytes) -> bytes | None:
        self.decoded.append(payload)
        return payload or None

    async def handle(self, payloads: Sequence[bytes]) -> None:
        self.batches.append(list(payloads))
        if self.failures:
            raise self.failures.pop(0)

    def consumer(self) -> durable_consumer.DurableConsumer[bytes]:
        return durable_consumer.DurableConsumer(
            self.nc,
            STREAM,
            durable="worker",
            subject="thing.>",
            batch_max=BATCH_MAX,
            replicas=1,
            decode=self.decode,
            handle=self.handle,
            interrupted=self.interruptions.append,
        )

    def start(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.consumer().run())
        return self.task

    async def publish(self, *payloads: bytes) -> None:
        for payload in payloads:
            await self.nc.jetstream().publish("thing.one", payload)

    async def until_handled(self, count: int) -> None:
        async with asyncio.timeout(20):
            while sum(map(len, self.batches)) < count:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)

    async def until_acknowledged(self, waiting: int = 0) -> None:
        """Until nothing is handed out, and so many wait: the server counts in its own time."""
        async with asyncio.timeout(20):
            while True:
                info = await self.nc.jetstream().consumer_info(STREAM.name, "worker")
                if (info.num_pending, info.num_ack_pending) == (waiting, 0):
                    return


@asynccontextmanager
async def bench_on(server: NatsServer) -> AsyncIterator[Bench]:
    nc = await nats.connect(server.url)
    bench = Bench(nc)
    await ensure_stream(nc.jetstream(), STREAM)
    try:
        yield bench
    finally:
        if bench.task is not None:
            await stop_tasks(bench.task)
        await nc.close()


async def test_what_waits_comes_in_bounded_batches_and_is_acknowledged(
    nats_server: NatsServer,
) -> None:
    async with bench_on(nats_server) as bench:
        sent = [str(number).encode() for number in range(10)]
        await bench.publish(*sent)
        bench.start()
        await bench.until_handled(10)
        await bench.until_acknowledged()
        assert [payload for batch in bench.batches for payload in batch] == sent
        assert max(map(len, bench.batches)) <= BATCH_MAX
        assert bench.interruptions == []


async def test_a_batch_that_the_store_did_not_take_comes_again_soon(
    nats_server: NatsServer,
) -> None:
    async with bench_on(nats_server) as bench:
        bench.failures = [StoreError("away"), StoreError("still away")]
        await bench.publish(b"a", b"b")
        bench.start()
        async with asyncio.timeout(10):  # far less than ACK_WAIT_S: it was handed back
            while bench.failures:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)
            await bench.until_acknowledged()
        assert bench.interruptions == ["StoreError: away", "StoreError: still away"]
        assert {payload for batch in bench.batches for payload in batch} == {b"a", b"b"}


async def test_what_is_malformed_is_terminated_once_though_its_batch_comes_again(
    nats_server: NatsServer,
) -> None:
    async with bench_on(nats_server) as bench:
        bench.failures = [StoreError("away")]
        await bench.publish(b"", b"a", b"")
        bench.start()
        await bench.until_handled(2)
        await bench.until_acknowledged()
        assert bench.decoded == [b"", b"a", b"", b"a"]
        assert bench.batches == [[b"a"], [b"a"]]


async def test_a_defect_of_the_handler_is_raised_and_nothing_is_acknowledged(
    nats_server: NatsServer,
) -> None:
    async with bench_on(nats_server) as bench:
        bench.failures = [ZeroDivisionError()]
        await bench.publish(b"a")
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(30):
                await bench.start()
        info = await bench.nc.jetstream().consumer_info(STREAM.name, "worker")
        assert info.num_ack_pending == 1


async def test_a_stream_that_was_deleted_meanwhile_is_made_again(nats_server: NatsServer) -> None:
    async with bench_on(nats_server) as bench:
        bench.start()
        await bench.publish(b"before")
        await bench.until_handled(1)
        await bench.until_acknowledged()
        await bench.nc.jetstream().delete_stream(STREAM.name)
        async with asyncio.timeout(20):
            while True:
                try:
                    await bench.nc.jetstream().consumer_info(STREAM.name, "worker")
                    break
                except NotFoundError:
                    await asyncio.sleep(0.005)
        await bench.publish(b"after")
        await bench.until_handled(2)
        assert bench.batches == [[b"before"], [b"after"]]
        assert bench.interruptions


async def test_a_cancelled_loop_ends_soon_and_takes_nothing_more(nats_server: NatsServer) -> None:
    async with bench_on(nats_server) as bench:
        task = bench.start()
        await bench.publish(b"a")
        await bench.until_handled(1)
        await bench.until_acknowledged()
        async with asyncio.timeout(30):
            await stop_tasks(task)
        assert task.cancelled()
        await bench.publish(b"b")
        await bench.until_acknowledged(waiting=1)
        assert bench.batches == [[b"a"]]


async def test_a_server_that_hands_nothing_out_is_no_empty_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a consumer has no leader: whoever asks for messages gets no answer at all."""
    config = tmp_path / "nats.conf"
    config.write_text(
        f'jetstream {{ store_dir: "{tmp_path}" }}\n'
        "authorization { users = [ { user: w, password: w, permissions: { subscribe: '>', publish:"
        " { allow: '>', deny: '$JS.API.CONSUMER.MSG.NEXT.>' } } } ] }\n"
    )
    monkeypatch.setattr(durable_consumer, "FETCH_TIMEOUT_S", 0.1)
    with NatsServer(tmp_path, config) as server:
        nc = await nats.connect(server.url, user="w", password="w", error_cb=_quiet)
        bench = Bench(nc)
        await ensure_stream(nc.jetstream(), STREAM)
        consumer = bench.consumer()
        consumer._last_answer.silent_max_s = 0.5
        running = asyncio.create_task(consumer.run())
        try:
            await asyncio.sleep(1)
            assert consumer.problem() is None  # nothing waits, so nothing is missed
            await bench.publish(b"1")
            async with asyncio.timeout(30):
                while (problem := consumer.problem()) is None:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.05)
            assert "messages wait, and none is handed out" in problem
        finally:
            await stop_tasks(running)
            await nc.close()


async def _quiet(_: Exception) -> None:
    """Of refused requests the library would print each."""
