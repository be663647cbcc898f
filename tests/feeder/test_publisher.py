from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from nats.aio.client import Client

from feeder import publisher as publisher_module
from feeder.core.frames import KnownEvent, decode_frame
from feeder.core.sessions import MarketSession, SessionTable
from feeder.metrics import FeederMetrics
from feeder.publisher import Publisher
from protocol.series import parse_series
from protocol.snapshot import BookSnapshot, decode_snapshot
from protocol.subjects import BOOKS, book_subject
from runtime.nats import connect, ensure_stream
from tests.feeder.core.test_sessions import info
from tests.feeder.wire import DOWN, MARKET, UP, book, change, frame, price_change
from tests.servers import NatsServer

SERIES = parse_series("btc-15m")


class Bench:
    """A publisher on a real nats-server, fed without a venue."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.js = nc.jetstream()
        self.table = SessionTable([SERIES], epoch=1)
        self.metrics = FeederMetrics([SERIES])
        self.publisher = Publisher(nc, self.table, self.metrics)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0

    @property
    def published(self) -> float:
        return self.value("snapshots_published_total", series="btc-15m")

    @property
    def conflated(self) -> float:
        return self.value("conflated_total", series="btc-15m")

    def follow(self, market: str = MARKET, tokens: tuple[str, str] = (UP, DOWN)) -> MarketSession:
        """A followed market with two live books."""
        now_ms = time.time_ns() // 1_000_000
        self.table.follow(info(market, tokens, start_ms=now_ms - 60_000), now_ms)
        session: MarketSession | None = None
        for event in decode_frame(frame([book(token, market=market) for token in tokens])):
            session = self.table.apply(_known(event), time.time_ns()).session
        assert session is not None
        assert session.ready
        return session

    def change(self, session: MarketSession, size: int) -> None:
        """A level of the first token gets this size, and the market is offered."""
        (event,) = decode_frame(
            frame(
                price_change(
                    change(session.pair[0].token_id, size=str(size)),
                    market=session.info.condition_id,
                )
            )
        )
        assert self.table.apply(_known(event), time.time_ns()).updates == 1
        self.publisher.offer(session)

    async def newest(self, market: str = MARKET) -> BookSnapshot:
        """What the stream holds of a market."""
        message = await self.js.get_last_msg(BOOKS.name, book_subject("btc-15m", market))
        return decode_snapshot(message.data or b"")

    async def messages(self) -> int:
        """How many messages the stream ever took."""
        return (await self.js.stream_info(BOOKS.name)).state.last_seq

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not fact():  # noqa: ASYNC110 - counters offer nothing to wait on
                await asyncio.sleep(0.002)


def _known(event: object) -> KnownEvent:
    return event  # type: ignore[return-value]


def size_of(snapshot: BookSnapshot) -> int:
    """The size that `Bench.change` gave the level."""
    return dict(snapshot.books[0].bids)[5_100] // 1_000_000


@asynccontextmanager
async def running(nats_server: NatsServer) -> AsyncIterator[Bench]:
    nc = await connect(nats_server.url, "test")
    try:
        await ensure_stream(nc.jetstream(), BOOKS)
        bench = Bench(nc)
        task = asyncio.create_task(bench.publisher.run())
        try:
            yield bench
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        nats_server.resume()
        async with asyncio.timeout(5):
            await nc.close()


async def test_a_changed_market_is_published_on_its_subject(nats_server: NatsServer) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        before_ns = time.time_ns()
        bench.change(session, 7)
        await bench.until(lambda: bench.published == 1)
        snapshot = await bench.newest()
        assert size_of(snapshot) == 7
        assert snapshot.market == session.info
        assert (snapshot.epoch, snapshot.sequence) == (1, 1)
        assert before_ns <= snapshot.received_at_ns <= snapshot.published_at_ns <= time.time_ns()
        assert bench.value("book_age_seconds_count") == 1


async def test_a_burst_costs_one_snapshot_a_market(nats_server: NatsServer) -> None:
    async with running(nats_server) as bench:
        first, second = bench.follow(), bench.follow("0xother", ("3" * 77, "4" * 77))
        for size in range(1, 51):  # nothing else runs meanwhile, as between two reads of a socket
            bench.change(first, size)
            bench.change(second, size + 1)
        await bench.until(lambda: bench.published == 2)
        assert await bench.messages() == 2
        assert size_of(await bench.newest()) == 50
        assert size_of(await bench.newest("0xother")) == 51
        assert bench.conflated == 98


async def test_while_a_publish_is_in_flight_newer_books_replace_the_waiting_one(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "SWEEP_EVERY_S", 60)  # the ack itself sends the next one
    async with running(nats_server) as bench:
        session = bench.follow()
        nats_server.pause()
        bench.change(session, 1)
        await bench.until(lambda: bench.value("book_age_seconds_count") == 1)  # it is in flight
        for size in range(2, 102):
            bench.change(session, size)
            await asyncio.sleep(0)  # everybody may run, and still nothing more is sent
        assert bench.value("book_age_seconds_count") == 1
        assert session.sequence == 1  # nor built
        assert bench.conflated == 99
        nats_server.resume()
        await bench.until(lambda: bench.published == 2)
        assert await bench.messages() == 2
        snapshot = await bench.newest()
        assert (size_of(snapshot), snapshot.sequence) == (101, 2)


async def test_one_market_in_flight_does_not_hold_up_another(nats_server: NatsServer) -> None:
    async with running(nats_server) as bench:
        first, second = bench.follow(), bench.follow("0xother", ("3" * 77, "4" * 77))
        nats_server.pause()
        bench.change(first, 1)
        await bench.until(lambda: bench.value("book_age_seconds_count") == 1)
        bench.change(first, 2)
        bench.change(second, 3)
        await bench.until(lambda: second.sequence == 1)
        assert first.sequence == 1
        nats_server.resume()
        await bench.until(lambda: bench.published == 3)


async def test_a_lost_stream_is_made_again_and_the_newest_book_is_sent(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        await bench.js.delete_stream(BOOKS.name)
        bench.change(session, 5)
        await bench.until(lambda: bench.published == 1)
        assert bench.value("publish_failures_total", cause="no_stream") >= 1
        assert size_of(await bench.newest()) == 5


async def test_a_lost_stream_is_noticed_although_somebody_listens_on_the_subject(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "ACK_TIMEOUT_S", 0.1)
    async with running(nats_server) as bench:
        session = bench.follow()
        heard: asyncio.Queue[object] = asyncio.Queue()
        await bench.nc.subscribe("book.>", cb=heard.put)
        await bench.js.delete_stream(BOOKS.name)
        bench.change(session, 5)
        await bench.until(lambda: bench.published == 1)
        assert bench.value("publish_failures_total", cause="timeout") >= 1
        assert not heard.empty()


async def test_after_a_restart_of_the_server_books_flow_again(nats_server: NatsServer) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        bench.change(session, 1)
        await bench.until(lambda: bench.published == 1)
        nats_server.stop()
        await bench.until(lambda: not bench.nc.is_connected)
        nats_server.start()
        await bench.until(lambda: bench.nc.is_connected)
        bench.change(session, 2)
        await bench.until(lambda: bench.published == 2)
        assert size_of(await bench.newest()) == 2
        assert await bench.messages() == 1


async def test_while_disconnected_nothing_is_buffered_and_what_went_stale_is_not_sent(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        nats_server.stop()
        await bench.until(lambda: not bench.nc.is_connected)
        for size in range(1, 1_001):
            bench.change(session, size)
            await asyncio.sleep(0)
        assert bench.nc.pending_data_size == 0
        assert session.sequence == 0
        assert bench.value("publish_failures_total", cause="disconnected") >= 1
        monkeypatch.setattr(publisher_module, "FRESH_MAX_S", 0.0)
        nats_server.start()
        await bench.until(lambda: bench.value("publish_failures_total", cause="stale") == 1)
        assert session.sequence == 0
        monkeypatch.undo()
        bench.change(session, 77)
        await bench.until(lambda: bench.published == 1)
        assert size_of(await bench.newest()) == 77


async def test_a_publish_that_is_never_acknowledged_frees_its_market(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "ACK_TIMEOUT_S", 0.05)
    async with running(nats_server) as bench:
        session = bench.follow()
        nats_server.pause()
        bench.change(session, 1)
        await bench.until(lambda: bench.value("publish_failures_total", cause="timeout") == 1)
        monkeypatch.undo()
        nats_server.resume()
        bench.change(session, 2)
        await bench.until(lambda: bench.published >= 1)
        snapshot = await bench.newest()
        assert size_of(snapshot) == 2
        assert snapshot.sequence > 1


async def test_markets_that_ended_or_are_in_doubt_vanish_although_they_wait(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        ended, doubted = bench.follow(), bench.follow("0xother", ("3" * 77, "4" * 77))
        bench.change(ended, 1)
        bench.change(doubted, 1)
        bench.table.distrust(frozenset({"0xother"}), 0)
        third = bench.follow("0xthird", ("5" * 77, "6" * 77))
        third.info = info("0xthird", ("5" * 77, "6" * 77), start_ms=ended.info.end_ms)
        bench.table.drop_ended(ended.info.end_ms + 10_000)
        assert len(bench.table) == 1
        bench.change(third, 3)
        await bench.until(lambda: bench.published == 1)
        assert await bench.messages() == 1
        assert size_of(await bench.newest("0xthird")) == 3
