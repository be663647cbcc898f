from __future__ import annotations

import asyncio
import time
from unittest.mock import Mock

import pytest

from feeder.books import publisher as publisher_module
from protocol.book import Proof
from protocol.subjects import BOOKS
from runtime.nats import ensure_stream
from runtime.process import stop_tasks
from tests.support.publisher_bench import MARKET, Bench, rss_bytes, running, size_of
from tests.support.servers import NatsServer


async def test_a_changed_market_is_published_on_its_subject(nats_server: NatsServer) -> None:
    async with running(nats_server, bids_max=10) as bench:
        session = bench.follow(levels=30)
        before_ns = time.time_ns()
        bench.change(session, 7)
        await bench.until(lambda: bench.published == 1)
        assert size_of(snapshot := await bench.newest()) == 7
        assert [snapshot.bids_max, *(len(book.bids) for book in snapshot.books)] == [10, 10, 10]
        assert snapshot.market == session.info
        assert (snapshot.epoch, snapshot.sequence) == (1, 1)
        assert before_ns <= snapshot.received_at_ns <= snapshot.published_at_ns <= time.time_ns()
        assert bench.value("book_age_seconds_count") == 1


async def test_a_changed_market_is_written_before_offer_returns_and_again_when_it_is_acknowledged(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(nats_server) as bench:
        first, second = bench.follow(), bench.follow("0xother")
        bench.change(first, 1)
        await bench.until(lambda: bench.published == 1)
        rounds = Mock(wraps=bench.publisher._wake)
        monkeypatch.setattr(bench.publisher, "_wake", rounds)
        nats_server.pause()
        for size in range(2, 5):
            bench.change(first, size)
            bench.change(second, size)
            assert (first.sequence, second.sequence) == (2, 1)
        assert bench.nc.pending_data_size == 0
        nats_server.resume()
        await bench.until(lambda: bench.published == 5)
        assert size_of(await bench.newest()) == size_of(await bench.newest("0xother")) == 4
        assert not rounds.set.called


async def test_nothing_is_sent_before_it_runs_and_after_that(nats_server: NatsServer) -> None:
    async with running(nats_server) as running_bench:
        bench = Bench(running_bench.nc)
        session = bench.follow()
        bench.change(session, 1)
        task = asyncio.create_task(bench.publisher.run())
        assert session.sequence == 0
        await bench.until(lambda: bench.published == 1)
        await stop_tasks(task)
        bench.change(session, 2)
        assert session.sequence == 1


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


async def test_a_market_whose_tokens_change_while_it_waits_is_published_as_it_is_followed_then(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        before = bench.follow()
        nats_server.pause()
        bench.change(before, 1)
        await bench.until(lambda: before.sequence == 1)  # it is in flight
        bench.change(before, 2)
        now = bench.follow()
        bench.change(now, 3)
        bench.offer(before)  # by what was asked for it, and is answered late
        nats_server.resume()
        await bench.until(lambda: bench.published == 2)
        assert size_of(await bench.newest()) == 3
        assert before.sequence == 1  # never built again


async def test_one_market_in_flight_does_not_hold_up_another(nats_server: NatsServer) -> None:
    async with running(nats_server) as bench:
        first, second = bench.follow(), bench.follow("0xother")
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


async def test_books_do_not_wait_for_a_stream_that_takes_long_to_be_restored(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "REPAIR_TIMEOUT_S", 30)
    restoring = Mock(side_effect=lambda *_: asyncio.Event().wait())
    async with running(nats_server) as bench:
        session = bench.follow()
        monkeypatch.setattr(publisher_module, "ensure_stream", restoring)
        await bench.js.delete_stream(BOOKS.name)
        bench.change(session, 5)
        await bench.until(lambda: restoring.called)
        await ensure_stream(bench.js, BOOKS)  # another feeder was faster
        await bench.until(lambda: bench.published == 1)


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


async def test_after_every_restart_of_the_server_books_flow_again(nats_server: NatsServer) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        for round_ in range(1, 4):
            bench.change(session, round_)
            snapshot = await bench.fresh(MARKET, round_)
            assert snapshot.epoch == 1
            assert await bench.messages() == 1  # a new stream each time
            nats_server.stop()
            await bench.until(lambda: not bench.nc.is_connected)
            nats_server.start()
            await bench.until(lambda: bench.nc.is_connected)


async def test_what_was_under_way_when_the_client_reconnected_at_once_is_not_waited_for(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "ACK_TIMEOUT_S", 60)
    async with running(nats_server) as bench:
        session = bench.follow()
        bench.change(session, 1)
        await bench.until(lambda: bench.published == 1)
        with monkeypatch.context() as lost:
            lost.setattr(bench.nc, "publish_nowait", Mock())
            bench.change(session, 2)
        bench.nc.options["reconnect_time_wait"] = 0  # as after a connection that was up for long
        await bench.nc.force_reconnect()
        await bench.until(lambda: bench.nc.stats["reconnects"] == 1)
        bench.change(session, 3)
        await bench.fresh(MARKET, 3)
        assert bench.value("publish_failures_total", cause="disconnected") == 1


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
        assert bench.published == 0
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
        await bench.until(lambda: bench.value("publish_failures_total", cause="timeout") >= 1)
        monkeypatch.undo()
        nats_server.resume()
        bench.change(session, 2)
        # What is acknowledged first may be the old book, which was sent again before this one.
        snapshot = await bench.fresh(MARKET, 2)
        assert snapshot.sequence > 1


async def test_what_ended_or_has_nothing_to_show_vanishes_although_it_waits(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        ended, doubted, failing = bench.follow(), bench.follow("0xother"), bench.follow("0xfails")
        for session in (ended, doubted, failing):
            bench.change(session, 1)
        del bench.table.sessions[MARKET]
        doubted.ready = False
        failing.failing = True  # it is found wrong in the moment when it is to be shown
        third = bench.follow("0xthird")
        bench.change(third, 3)
        await bench.until(lambda: bench.published == 1)
        assert await bench.messages() == 1
        assert size_of(await bench.newest("0xthird")) == 3
        # Else the book it shows next would count as offered, if it is that one.
        assert [each.shown_nothing for each in (doubted, third)] == [1, 0]


async def test_that_a_market_is_dark_is_published(nats_server: NatsServer) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        session.ready, session.dark = False, True
        bench.change(session, 0)
        await bench.until(lambda: bench.published == 1)
        assert (await bench.newest()).proof is Proof.NONE


async def test_what_is_not_ours_is_dropped_and_comes_only_when_offered_again(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        bench.epoch = None
        bench.change(session, 1)
        await bench.until(lambda: bench.value("publish_failures_total", cause="not_leased") == 1)
        assert session.sequence == 0
        assert bench.publisher.problem() is None
        bench.epoch = 7
        other = bench.follow("0xother")
        bench.change(other, 2)
        await bench.until(lambda: bench.published == 1)
        assert session.sequence == 0
        bench.offer(session)
        await bench.until(lambda: bench.published == 2)
        assert (await bench.newest()).epoch == 7


async def test_the_epoch_is_asked_for_when_it_is_sent_not_when_it_is_offered(
    nats_server: NatsServer,
) -> None:
    async with running(nats_server) as bench:
        session = bench.follow()
        nats_server.pause()
        bench.change(session, 1)
        await bench.until(lambda: session.sequence == 1)
        bench.change(session, 2)  # waits for the first to land
        bench.epoch = None
        nats_server.resume()
        await bench.until(lambda: bench.value("publish_failures_total", cause="not_leased") == 1)
        assert await bench.messages() == 1


async def test_a_silent_server_is_asked_with_one_book_at_a_time_and_gets_no_old_ones_later(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "ACK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(publisher_module, "FRESH_MAX_S", 0.3)
    markets = [f"0x{number}" for number in range(100)]
    async with running(nats_server) as bench:
        sessions = [bench.follow(market, levels=40) for market in markets]
        nats_server.pause()
        rss_before = rss_bytes()
        for size in range(1, 101):  # 10,000 offers within a second or more
            for session in sessions:
                bench.change(session, size)
            await asyncio.sleep(0.01)
        sent = sum(session.sequence for session in sessions)
        # One of each, then a question at a time: not one of each every tenth of a second.
        assert len(markets) + 2 <= sent <= 2 * len(markets)
        assert bench.nc.pending_data_size < 1_000_000
        assert rss_bytes() - rss_before < 30_000_000
        nats_server.resume()
        resumed_ns = time.time_ns()
        for session in sessions:
            bench.change(session, 777)
        for market in markets:
            assert (await bench.fresh(market, 777)).received_at_ns >= resumed_ns
        assert await bench.messages() <= sent + len(markets) + 2


async def test_that_nothing_is_acknowledged_is_a_problem_until_something_is(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "UNACKNOWLEDGED_S", 0.2)
    async with running(nats_server) as bench:
        session = bench.follow()
        assert bench.publisher.problem() is None
        nats_server.pause()
        bench.change(session, 1)
        await bench.until(lambda: bench.publisher.problem() is not None)
        assert bench.publisher.problem() == "NATS has acknowledged no book for 0 s"
        monkeypatch.setattr(publisher_module, "FORGET_S", 0.0)  # as if it were no longer ours
        assert bench.publisher.problem() is None
        monkeypatch.setattr(publisher_module, "FORGET_S", 60.0)
        assert bench.publisher.problem() is not None
        nats_server.resume()
        bench.change(session, 2)
        await bench.until(lambda: bench.publisher.problem() is None)
        assert bench.published >= 1
