"""What is sent at once, and what one acknowledgement says of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from nats.errors import Error as NatsError

from feeder.books import publisher as publisher_module
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
