"""The newest books on a real nats-server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import nats
import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from executor.console import books as books_module
from executor.console.books import NewestBooks
from protocol.snapshot import BookSnapshot, encode_snapshot
from protocol.subjects import BOOKS
from runtime.nats import connect_once, ensure_stream
from runtime.process import stop_tasks
from tests.support.servers import NatsServer
from tests.support.trading_builders import market, snapshot


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def following(server: NatsServer) -> AsyncIterator[tuple[NewestBooks, Client]]:
    nc = await connect_once(server.url, "console")
    publisher = await nats.connect(server.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    books = NewestBooks(now_ms)

    async def connected() -> Client:
        return nc

    running = asyncio.create_task(books.run(connected))
    try:
        yield books, publisher
    finally:
        await stop_tasks(running)
        await nc.close()
        await publisher.close()


async def publish(nc: Client, *books: BookSnapshot) -> None:
    for each in books:
        subject = f"book.btc-15m.{each.market.condition_id}"
        await nc.jetstream().publish(subject, encode_snapshot(each))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASK_EVERY_S", "AGAIN_S"):
        monkeypatch.setattr(books_module, name, 0.02)
    monkeypatch.setattr(books_module, "ANSWER_TIMEOUT_S", 0.5)


async def test_what_was_there_before_comes_and_then_each_newest_book(
    nats_server: NatsServer,
) -> None:
    async with following(nats_server) as (books, nc):
        await until(lambda: "no feeder has made it" in books.problem)
        await ensure_stream(nc.jetstream(), BOOKS)
        one, other = snapshot(of=market("0xc1")), snapshot(of=market("0xc2"))
        await publish(nc, one, other)
        await until(lambda: books.newest() == [one, other])
        assert books.problem == ""
        newer = [snapshot(of=one.market) for _ in range(100)]
        await publish(nc, *newer)
        await until(lambda: books.book("0xc1") == newer[-1])
        assert books.book(other.market.slug) == other
        assert books.book("0xc3") is None
        assert books.data_at_ms() == newer[-1].published_at_ns // 1_000_000
        view = books.view(newer[-1])
        assert view is not None
        assert view.memory.rows[-1].sequence == newer[-1].sequence


async def test_a_server_that_hangs_is_said_while_the_line_is_open(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books_module, "SILENT_MS", 300)
    async with following(nats_server) as (books, nc):
        assert (books.answered_at_ms, books.silence()) == (0, "")
        await ensure_stream(nc.jetstream(), BOOKS)
        await until(lambda: books.problem == "" and books.answered_at_ms > 0)
        nats_server.pause()
        try:
            await until(lambda: "NATS does not answer" in books.silence())
            assert nc.is_connected
        finally:
            nats_server.resume()
        await until(lambda: not books.silence())


async def test_a_server_that_lost_everything_is_asked_again(nats_server: NatsServer) -> None:
    async with following(nats_server) as (books, nc):
        await ensure_stream(nc.jetstream(), BOOKS)
        await publish(nc, first := snapshot())
        await until(lambda: books.newest() == [first])
        nats_server.stop()
        nats_server.start()
        anew = await nats.connect(nats_server.url)  # `nc` may not have noticed yet
        await ensure_stream(anew.jetstream(), BOOKS)
        await publish(anew, second := snapshot(of=first.market))
        await anew.close()
        await until(lambda: books.newest() == [second])


async def test_what_is_no_book_is_counted_and_told_once_and_the_others_come(
    nats_server: NatsServer,
) -> None:
    async with following(nats_server) as (books, nc):
        await ensure_stream(nc.jetstream(), BOOKS)
        with capture_logs() as logs:
            for place, payload in enumerate((b"", b"{}", b"\xff" * 40)):
                await nc.jetstream().publish(f"book.x.{place}", payload)
            await publish(nc, book := snapshot())
            await until(lambda: books.newest() == [book])
        assert books.malformed == 3
        assert [each["event"] for each in logs] == ["book_malformed"]


def test_ended_markets_go_and_the_longest_silent_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock_ms = [now_ms()]
    books = NewestBooks(lambda: clock_ms[0])

    def came(*snapshots: BookSnapshot) -> None:
        books._waiting |= {f"book.s.{each.sequence}": encode_snapshot(each) for each in snapshots}

    ending = snapshot(of=market("0xc1", end_ms=clock_ms[0] + 1_000))
    came(ending, running := snapshot(of=market("0xc2")))
    assert books.newest() == [ending, running]
    clock_ms[0] += 61_001
    assert books.newest() == [running]
    monkeypatch.setattr(books_module, "MARKETS_MAX", 2)
    came(third := snapshot(of=market("0xc3")), fourth := snapshot(of=market("0xc4")))
    assert books.newest() == [third, fourth]


def test_an_older_book_never_takes_the_place_of_a_newer_one() -> None:
    books = NewestBooks(now_ms)
    newer = snapshot()
    older = msgspec.structs.replace(newer, sequence=newer.sequence - 1)
    for each in (newer, older):
        books._waiting["s"] = encode_snapshot(each)
        assert books.newest() == [newer]
