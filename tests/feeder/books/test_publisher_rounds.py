"""What is sent at once, and what one acknowledgement says of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from feeder.books import publisher as publisher_module
from functions.core.fencing import Fence
from protocol.snapshot import decode_snapshot
from protocol.subjects import BOOKS
from tests.support.publisher_bench import MARKET, running, size_of
from tests.support.servers import NatsServer


async def test_a_burst_costs_one_snapshot_a_market_and_one_acknowledgement(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        first, second = bench.follow(), bench.follow("0xother")
        bench.behind = True
        heard = bench.nc.stats["in_msgs"]
        for size in range(1, 51):  # more frames come than are taken
            bench.change(first, size)
            bench.change(second, size + 1)
        await bench.until(lambda: bench.published == 2)
        assert bench.nc.stats["in_msgs"] == heard + 1  # one acknowledgement for both
        assert await bench.messages() == 2
        assert size_of(await bench.newest()) == 50
        assert size_of(await bench.newest("0xother")) == 51
        assert bench.conflated == 98


async def test_while_more_frames_come_than_are_taken_sending_pauses(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(nats_server) as bench:
        first, second = bench.follow(), bench.follow("0xother")
        bench.behind = True
        monkeypatch.setattr(publisher_module, "BEHIND_PAUSE", 1_000_000)
        monkeypatch.setattr(publisher_module, "BEHIND_PAUSE_MAX_S", 0.1)
        began_s = time.monotonic()
        bench.change(first, 1)
        await bench.until(lambda: bench.published == 1)
        for size in range(1, 10):
            bench.change(second, size)
        await bench.until(lambda: bench.published == 2)
        assert time.monotonic() - began_s >= 0.1
        assert second.sequence == 1
        assert size_of(await bench.newest("0xother")) == 9


async def test_a_round_that_is_larger_than_the_clients_buffer_goes_in_parts_and_loses_nothing(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "SWEEP_EVERY_S", 60)  # acknowledgements send the rest
    async with running(nats_server) as bench:
        bench.behind = True
        bench.nc._max_pending_size = 200_000
        markets = [f"0x{number}" for number in range(300)]
        sessions = [bench.follow(market, levels=30) for market in markets]
        for session in sessions:
            bench.change(session, 5)
        await bench.until(lambda: bench.published == len(markets))
        assert await bench.messages() == len(markets)  # none twice
        assert {session.sequence for session in sessions} == {1}
        assert bench.value("publish_failures_total", cause="error") == 0


async def test_what_finds_the_clients_buffer_full_waits_until_it_is_not(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        bench.change(session, 4)
        await bench.until(lambda: bench.published == 1)
        room_bytes, bench.nc._max_pending_size = bench.nc._max_pending_size, 0
        bench.change(session, 5)
        assert session.sequence == 1  # nor built
        bench.nc._max_pending_size = room_bytes
        await bench.until(lambda: bench.published == 2)
        assert bench.value("publish_failures_total", cause="error") == 0


async def test_a_refusal_is_of_all_books_that_were_sent_at_once(nats_server: NatsServer) -> None:
    markets = [f"0x{number}" for number in range(3)]
    async with running(nats_server) as bench:
        bench.behind = True
        await bench.js.delete_stream(BOOKS.name)
        for market in markets:
            bench.change(bench.follow(market), 5)
        await bench.until(lambda: bench.published == 3)
        assert bench.value("publish_failures_total", cause="no_stream") >= 3
        for market in markets:
            assert size_of(await bench.newest(market)) == 5


async def test_when_the_book_that_asks_cannot_be_sent_nothing_is_known_of_the_others(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(nats_server) as bench:
        publish, failing = bench.nc.publish_nowait, [True]

        def fails_once(subject: str, payload: bytes, reply: str = "", **told: Any) -> None:
            if reply and failing:
                failing.clear()
                raise NatsError("too large")
            publish(subject, payload, reply, **told)

        monkeypatch.setattr(bench.nc, "publish_nowait", fails_once)
        bench.behind = True
        for market in (MARKET, "0xother"):
            bench.change(bench.follow(market), 5)
        await bench.until(lambda: bench.published == 2)
        assert bench.value("publish_failures_total", cause="error") == 2


async def test_when_the_stream_took_fewer_books_than_were_sent_all_are_sent_again(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(nats_server) as bench:
        publish, losing = bench.nc.publish_nowait, [True]

        def loses_one(subject: str, payload: bytes, reply: str = "", **told: Any) -> None:
            if not reply and losing:
                losing.clear()
            else:
                publish(subject, payload, reply, **told)

        bench.change(bench.follow("0xbefore"), 5)
        await bench.until(lambda: bench.published == 1)
        bench.behind = True
        monkeypatch.setattr(bench.nc, "publish_nowait", loses_one)
        for market in (MARKET, "0xother"):
            bench.change(bench.follow(market), 5)
        await bench.fresh(MARKET, 5)
        assert bench.value("publish_failures_total", cause="refused") == 2


async def test_of_a_round_that_leaves_after_another_feeder_took_over_readers_drop_every_book(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    markets = [f"0x{number}" for number in range(3)]
    fence, admitted = Fence(), list[tuple[int, bool]]()

    async def read(message: Msg) -> None:
        snapshot = decode_snapshot(message.data)
        admitted.append((snapshot.epoch, fence.admits(snapshot, len(admitted))))

    async with running(nats_server) as stopped, running(nats_server) as taker:
        await taker.nc.subscribe("book.>", cb=read)
        held: list[tuple[Any, ...]] = []
        with monkeypatch.context() as stop:
            stop.setattr(stopped.nc, "publish_nowait", lambda *sent, **_: held.append(sent))
            stopped.behind = True
            for market in markets:
                stopped.change(stopped.follow(market), 5)
            await stopped.until(lambda: len(held) == len(markets))
        taker.epoch = 2
        for market in markets:
            taker.change(taker.follow(market), 6)
        await taker.until(lambda: len(admitted) == len(markets))
        for sent in held:
            stopped.nc.publish_nowait(*sent)
        await taker.until(lambda: len(admitted) == 2 * len(markets))
        assert admitted == [(2, True)] * len(markets) + [(1, False)] * len(markets)
