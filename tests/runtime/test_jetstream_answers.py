"""Anybody who may publish can answer first, and with anything: nothing of ours ends by it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from nats.aio.msg import Msg

from feeder.books.lease_keeper import LeaseKeeper
from feeder.books.metrics import FeederMetrics
from feeder.fills.metrics import UserMetrics
from feeder.fills.publisher import FillPublisher
from functions.adapters.book_pull import BookPull
from functions.adapters.decision_publisher import DecisionPublisher
from functions.worker_consumers import fill_consumer
from protocol.subjects import BOOKS, DECISIONS, FILLS
from runtime.nats import UnreadableAnswerError, close, connect, ensure_stream, jetstream_answers
from runtime.process import stop_tasks
from tests.support.fake_ports import MemoryStore
from tests.support.message_builders import decision
from tests.support.metrics_builders import account_metrics
from tests.support.servers import NatsServer
from tests.venue.wire.test_user_channel import FILL

ANSWERS = (
    *(b"x", b"[]", b"null", b"{}", b"7", b"\xff", b'{"error":5}', b'{"error":{"code":"x"}}'),
    b"[" * 5_000,
)
STRANGERS = ("decision.>", "fill.>", "$JS.API.STREAM.>", "$JS.API.CONSUMER.>", "$JS.API.DIRECT.>")


async def test_whatever_answers_in_jetstream_s_place_ends_nothing(nats_server: NatsServer) -> None:
    async with AsyncExitStack() as stack:
        nc, stranger = [await connect(nats_server.url, name) for name in ("ours", "stranger")]
        stack.push_async_callback(close, nc)
        stack.push_async_callback(close, stranger)
        for spec in (BOOKS, DECISIONS, FILLS):
            await ensure_stream(nc.jetstream(), spec)
        told = b""

        async def answer(message: Msg) -> None:
            await stranger.publish(message.reply, told)

        for subject in STRANGERS:
            await stranger.subscribe(subject, cb=answer)
        await stranger.flush()
        for told in ANSWERS:
            decisions = DecisionPublisher(nc, "a", account_metrics())
            fills = FillPublisher(nc, UserMetrics(), lambda _: None)
            pull = BookPull(nc, "a")
            pull._consumer_lost = True
            leases = LeaseKeeper(nc, "f", ["s"], FeederMetrics([]), on_acquired=lambda _: None)
            running: list[Coroutine[Any, Any, Any]] = [
                *(decisions.run(), fills.run(), pull.run(), leases.run()),
                fill_consumer(nc, "a", MemoryStore(), account_metrics()).run(),
            ]
            tasks = [asyncio.create_task(each) for each in running]
            for _ in range(20):
                decisions.offer(decision())
                fills.offer(FILL)
            done, _ = await asyncio.wait(tasks, timeout=0.3)
            assert not [(told[:20], task.exception()) for task in done]
            await stop_tasks(*tasks)


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AttributeError, OverflowError])
def test_what_nats_py_makes_of_a_strange_answer_is_an_error_of_nats(
    error: type[Exception],
) -> None:
    with pytest.raises(UnreadableAnswerError, match="not an answer of JetStream's"):  # noqa: SIM117 - one inside the other
        with jetstream_answers():
            raise error("x")
