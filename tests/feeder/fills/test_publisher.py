from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from feeder.fills import publisher
from feeder.fills.metrics import UserMetrics
from feeder.fills.publisher import FillPublisher
from protocol.fill import Fill, TradeStatus, decode_fill, message_id
from protocol.subjects import FILLS, fill_subject
from runtime.nats import connect, ensure_stream
from tests.support.servers import NatsServer
from tests.venue.wire.test_user_channel import FILL


def fill(number: int, status: TradeStatus = TradeStatus.MATCHED) -> Fill:
    return msgspec.structs.replace(FILL, trade_id=f"t{number}", status=status)


class Bench:
    """A fill publisher on a real nats-server."""

    def __init__(self, nc: Client, backlog_max: int) -> None:
        self.js = nc.jetstream()
        self.metrics = UserMetrics()
        self.acknowledged: list[Fill] = []
        self.publisher = FillPublisher(
            nc, self.metrics, self.acknowledged.append, backlog_max=backlog_max
        )

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_user_{name}", labels) or 0.0

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the counters offer nothing to wait on
            await asyncio.sleep(0.002)

    async def stream(self) -> list[Fill]:
        """Everything on the stream, oldest first."""
        state = (await self.js.stream_info(FILLS.name)).state
        messages = [
            await self.js.get_msg(FILLS.name, sequence)
            for sequence in range(state.first_seq, state.last_seq + 1)
        ]
        for message in messages:
            decoded = decode_fill(message.data or b"")
            assert message.subject == fill_subject(decoded.condition_id)
            assert message.headers == {"Nats-Msg-Id": message_id(decoded)}
        return [decode_fill(message.data or b"") for message in messages]


@asynccontextmanager
async def bench(server: NatsServer, backlog_max: int = 100) -> AsyncIterator[Bench]:
    nc = await connect(server.url, "test")
    await ensure_stream(nc.jetstream(), FILLS)
    opened = Bench(nc, backlog_max)
    task = asyncio.create_task(opened.publisher.run())
    try:
        async with asyncio.timeout(30):
            yield opened
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await nc.close()


async def test_fills_go_out_in_order_and_once(nats_server: NatsServer) -> None:
    async with bench(nats_server) as b:
        sent = [fill(1), fill(2), fill(1, TradeStatus.CONFIRMED), fill(1), fill(2)]
        for each in sent:
            assert b.publisher.offer(each)
        await b.publisher.drained()
        assert await b.stream() == sent[:3]
        assert b.acknowledged == sent
    assert (b.value("fills_published_total"), b.value("fills_duplicate_total")) == (5, 2)


async def test_a_full_backlog_refuses_and_whoever_can_wait_waits(
    nats_server: NatsServer,
) -> None:
    async with bench(nats_server, backlog_max=2) as b:
        nats_server.pause()
        assert b.publisher.offer(fill(1))
        await b.until(lambda: b.value("fills_waiting") == 0)  # under way
        assert b.publisher.offer(fill(2))
        assert b.publisher.offer(fill(3))
        assert not b.publisher.offer(fill(4))
        patient = asyncio.create_task(b.publisher.put(fill(5)))
        nats_server.resume()
        await patient
        await b.publisher.drained()
        assert await b.stream() == [fill(1), fill(2), fill(3), fill(5)]


async def test_a_restart_of_nats_in_the_middle_loses_and_repeats_nothing(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "STUCK_S", 0)
    async with bench(nats_server) as b:
        b.publisher.offer(fill(1))
        await b.publisher.drained()
        assert b.publisher.problem() is None
        nats_server.stop()
        b.publisher.offer(fill(2))
        b.publisher.offer(fill(1))
        await b.until(lambda: b.value("publish_failures_total", cause="disconnected") > 0)
        said = b.publisher.problem()
        assert said is not None
        assert said.startswith("fills have not been acknowledged for ")
        assert b.acknowledged == [fill(1)]
        nats_server.start()
        await b.publisher.drained()
        assert await b.stream() == [fill(1), fill(2)]
        assert b.publisher.problem() is None


async def test_a_lost_stream_is_made_again(nats_server: NatsServer) -> None:
    async with bench(nats_server) as b:
        await b.js.delete_stream(FILLS.name)
        with capture_logs() as logs:
            b.publisher.offer(fill(1))
            await b.publisher.drained()
        assert await b.stream() == [fill(1)]
    assert b.value("publish_failures_total", cause="no_stream") == 1
    assert [line["event"] for line in logs] == ["fill_not_published", "stream_created"]


async def test_a_publish_whose_answer_was_lost_is_repeated_and_kept_once(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(nats_server) as b:
        publish = b.publisher._js.publish
        lost = [TimeoutError(), TimeoutError()]

        async def losing(*args: object, **kwargs: object) -> object:
            ack = await publish(*args, **kwargs)  # type: ignore[arg-type]
            if lost:
                raise lost.pop()
            return ack

        monkeypatch.setattr(b.publisher._js, "publish", losing)
        b.publisher.offer(fill(1))
        await b.publisher.drained()
        assert await b.stream() == [fill(1)]
    assert b.acknowledged == [fill(1)]
    assert b.value("publish_failures_total", cause="timeout") == 2
    assert b.value("fills_duplicate_total") == 1


async def test_it_ends_when_nats_closed_for_good(nats_server: NatsServer) -> None:
    nc = await connect(nats_server.url, "test")
    publisher = FillPublisher(nc, UserMetrics(), lambda _: None)
    await nc.close()
    publisher.offer(fill(1))
    with pytest.raises(ConnectionError, match="closed the connection for good"):
        await publisher.run()
