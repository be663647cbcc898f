"""The conflating pull on a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from functions.adapters import book_pull
from functions.adapters.book_pull import PREFETCH_MAX, BookPull, Delivery
from protocol.subjects import BOOKS
from runtime.instant import Instant
from runtime.nats import connect, ensure_stream
from runtime.nats_client import NatsClient
from runtime.process import stop_tasks
from tests.support.servers import NatsServer

DURABLE = "strategy"


@asynccontextmanager
async def pulling(server: NatsServer) -> AsyncIterator[tuple[BookPull, Client]]:
    nc = await connect(server.url, "test")
    nc.options["reconnect_time_wait"] = 0.05
    pull = BookPull(nc, DURABLE)
    await pull.start()
    running = asyncio.create_task(pull.run())
    try:
        yield pull, nc
    finally:
        await stop_tasks(running)  # one cancellation may get lost in the client
        await nc.close()


async def publish(nc: Client, market: str, payload: bytes) -> None:
    await nc.jetstream().publish(f"book.btc-15m.{market}", payload)


async def until_prefetched(pull: BookPull, wanted: dict[str, bytes]) -> None:
    """Wait until the pull holds exactly these payloads."""
    async with asyncio.timeout(30):
        while True:  # nothing tells of a book that nobody waits for
            held = {s.rpartition(".")[2]: d.payload for s, d in pull._waiting.items()}
            if held == wanted:
                return
            await asyncio.sleep(0.002)


async def test_a_newer_book_takes_the_place_of_the_one_that_waits(nats_server: NatsServer) -> None:
    async with pulling(nats_server) as (pull, nc):
        await publish(nc, "a", b"a1")
        await publish(nc, "b", b"b1")
        await until_prefetched(pull, {"a": b"a1", "b": b"b1"})
        await publish(nc, "a", b"a2")
        await until_prefetched(pull, {"a": b"a2", "b": b"b1"})
        first, second = await pull.next(), await pull.next()
        # "a" kept its turn although its book is the newest of all.
        assert (first.payload, second.payload) == (b"a2", b"b1")
        assert pull.conflated == 1
        stored_at_ns = first.stored_at_ns()
        assert stored_at_ns is not None
        assert abs(first.delivered.epoch_ns - stored_at_ns) < 30e9  # one machine, one clock
        info = await nc.jetstream().consumer_info(BOOKS.name, pull._durable)
        assert info.num_ack_pending == 0  # nothing is kept for a second delivery


async def test_more_is_asked_for_when_the_next_book_is_wanted_and_not_before_one_is_handed_over(
    nats_server: NatsServer,
) -> None:
    async with pulling(nats_server) as (pull, nc):
        for number in range(3 * PREFETCH_MAX):
            await publish(nc, f"m{number}", b"book")
        await until_prefetched(pull, {f"m{number}": b"book" for number in range(PREFETCH_MAX)})
        for _ in range(PREFETCH_MAX // 2):
            await pull.next()
        sent = nc.stats["out_msgs"]
        assert pull._outstanding == 0
        await pull.next()
        assert nc.stats["out_msgs"] == sent + 1
        assert nc.pending_data_size == 0
        async with asyncio.timeout(30):
            for _ in range(3 * PREFETCH_MAX - PREFETCH_MAX // 2 - 1):
                await pull.next()


async def test_what_a_busy_worker_does_not_hold_another_one_gets(nats_server: NatsServer) -> None:
    async with pulling(nats_server) as (busy, nc):
        for number in range(PREFETCH_MAX + 3):
            await publish(nc, f"m{number}", b"book")
        await until_prefetched(busy, {f"m{number}": b"book" for number in range(PREFETCH_MAX)})
        async with pulling(nats_server) as (idle, _):
            markets = {(await idle.next()).payload for _ in range(3)}
            assert markets == {b"book"}
        assert len(busy._waiting) == PREFETCH_MAX


async def test_a_restarted_server_is_asked_as_soon_as_the_client_has_reconnected(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server forgets stream and consumer, and is asked anew long before its silence would show.
    monkeypatch.setattr(book_pull, "PULL_EXPIRES_S", 60)
    monkeypatch.setattr(book_pull, "RECOVER_EVERY_S", 60)
    async with pulling(nats_server) as (pull, nc):
        await publish(nc, "a", b"before")
        await pull.next()
        pull._refill()  # all that may be asked for is: nothing more would be refused
        nats_server.kill()
        nats_server.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    await ensure_stream(nc.jetstream(timeout=1), BOOKS)
                    await publish(nc, "a", b"after")
                    break
                except (nats.errors.Error, TimeoutError):
                    await asyncio.sleep(0.05)  # the client reconnects in its own time
            assert (await pull.next()).payload == b"after"


async def test_a_server_that_answers_no_request_shows_and_no_books_are_an_answer(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_pull, "PULL_EXPIRES_S", 0.2)
    monkeypatch.setattr(book_pull, "RECOVER_EVERY_S", 0.05)  # it asks anew as often as that
    monkeypatch.setattr(book_pull, "SILENT_MAX_S", 1.0)
    async with pulling(nats_server) as (pull, _), asyncio.timeout(30):
        for _ in range(6):  # longer than it may be silent, and no book comes
            answered_at_s = pull._answered_at_s
            while pull._answered_at_s == answered_at_s:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            assert pull.problem() is None
        nats_server.pause()
        while pull.problem() is None:  # noqa: ASYNC110 - time alone changes it
            await asyncio.sleep(0.05)
        nats_server.resume()
        while pull.problem() is not None:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)


async def test_books_that_do_not_come_for_long_are_a_problem_until_one_does(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_pull, "BOOKLESS_MAX_S", 0.5)
    async with pulling(nats_server) as (pull, nc), asyncio.timeout(30):
        assert pull.problem() is None
        while pull.problem() is None:  # noqa: ASYNC110 - time alone changes it
            await asyncio.sleep(0.05)
        said = pull.problem()
        assert said is not None
        assert said.startswith("no book has come for ")
        await publish(nc, "a", b"one")
        await pull.next()
        assert pull.problem() is None


async def test_a_deleted_consumer_is_created_again(nats_server: NatsServer) -> None:
    async with pulling(nats_server) as (pull, nc):
        await publish(nc, "a", b"before")
        await pull.next()
        await nc.jetstream().delete_consumer(BOOKS.name, pull._durable)
        await publish(nc, "a", b"after")
        async with asyncio.timeout(30):
            assert (await pull.next()).payload == b"after"


async def test_a_server_that_refuses_each_request_is_asked_at_once_and_then_now_and_then() -> None:
    nc = Mock(is_closed=False, is_connected=True, stats={"reconnects": 0})
    nc.jetstream.return_value.add_consumer = AsyncMock()
    pull = BookPull(nc, DURABLE)
    refusal = Mock(headers={"Status": "409", "Description": "Exceeded MaxWaiting"})
    nc.publish_nowait = Mock(side_effect=lambda *_: loop.call_soon(pull._on_message, refusal))
    loop = asyncio.get_running_loop()
    with patch.object(book_pull, "ensure_stream", AsyncMock()):
        await pull._ensure_consumer()
        running = asyncio.create_task(pull.run())
        for _ in range(200):
            await asyncio.sleep(0)
        await stop_tasks(running)
    assert nc.publish_nowait.call_count == 2


async def test_workers_of_an_older_version_get_all_books_beside_these(
    nats_server: NatsServer,
) -> None:
    """Their consumer asks for acknowledgements, which nats-server lets nobody change."""
    async with pulling(nats_server) as (pull, nc):
        older = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT, deliver_policy=DeliverPolicy.LAST_PER_SUBJECT
        )
        js = nc.jetstream()
        await publish(nc, "a", b"book")
        theirs = await js.pull_subscribe(
            BOOKS.subjects[0], durable=DURABLE, stream=BOOKS.name, config=older
        )
        assert (await pull.next()).payload == b"book"
        [message] = await theirs.fetch(1, timeout=20)
        assert message.data == b"book"
        # And workers that start while the other ones run.
        await BookPull(nc, DURABLE).start()


async def test_a_book_published_before_the_worker_came_is_delivered(
    nats_server: NatsServer,
) -> None:
    nc = await connect(nats_server.url, "test")
    await ensure_stream(nc.jetstream(), BOOKS)
    await publish(nc, "a", b"old")
    await publish(nc, "a", b"new")
    await nc.close()
    async with pulling(nats_server) as (pull, _):
        assert (await pull.next()).payload == b"new"


@pytest.mark.parametrize(
    ("reply", "stored_at_ns"),
    [
        ("$JS.ACK.BOOKS.w.1.22.33.1790000000000000444.5", 1_790_000_000_000_000_444),
        ("$JS.ACK.hub.ACCHASH.BOOKS.w.1.22.33.1790000000000000444.5", 1_790_000_000_000_000_444),
        ("$JS.ACK.hub.ACCHASH.BOOKS.w.1.22.33.1790000000000000444.5.x", 1_790_000_000_000_000_444),
        ("", None),
        ("ack-1", None),
        ("$JS.ACK.BOOKS.w.1.22.33.soon.5", None),
    ],
)
def test_when_nats_stored_a_book_stands_in_its_reply(reply: str, stored_at_ns: int | None) -> None:
    assert Delivery(b"", reply, Instant(0)).stored_at_ns() == stored_at_ns


def message_of(nc: Client, market: str, payload: bytes) -> Msg:
    return Msg(nc, f"book.btc-15m.{market}", "$JS.ACK.x", payload)


async def test_a_book_that_is_waited_for_is_handled_as_it_is_read_and_the_next_one_waits() -> None:
    pull = BookPull(nc := NatsClient(), DURABLE)
    handled: list[bytes] = []
    taking = asyncio.create_task(pull.take(lambda each: handled.append(each.payload)))
    await asyncio.sleep(0)
    for market, payload in (("a", b"1"), ("a", b"2"), ("a", b"3"), ("b", b"4")):
        pull._on_message(message_of(nc, market, payload))
    assert handled == [b"1"]
    await taking
    await pull.take(lambda each: handled.append(each.payload))
    assert (handled, pull.conflated) == ([b"1", b"3"], 1)
    assert (await pull.next()).payload == b"4"


async def test_what_the_handling_raises_is_raised_where_the_book_is_waited_for() -> None:
    def fail(_: Delivery) -> None:
        raise SystemExit("a defect")

    pull = BookPull(nc := NatsClient(), DURABLE)
    taking = asyncio.ensure_future(_caught(pull.take(fail)))
    await asyncio.sleep(0)
    pull._on_message(message_of(nc, "a", b"1"))
    assert isinstance(await taking, SystemExit)
    pull._on_message(message_of(nc, "a", b"2"))
    assert isinstance(await _caught(pull.take(fail)), SystemExit)


async def _caught(taking: Coroutine[Any, Any, None]) -> BaseException | None:
    try:
        await taking
    except SystemExit as error:
        return error
    return None


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_book_that_comes_when_nobody_waits_any_more_is_kept(at_once: bool) -> None:
    pull = BookPull(nc := NatsClient(), DURABLE)
    taking = asyncio.create_task(pull.take(lambda _: None))
    await asyncio.sleep(0)
    taking.cancel()
    if not at_once:
        await asyncio.gather(taking, return_exceptions=True)
    pull._on_message(message_of(nc, "a", b"1"))
    await asyncio.gather(taking, return_exceptions=True)
    assert (await pull.next()).payload == b"1"
