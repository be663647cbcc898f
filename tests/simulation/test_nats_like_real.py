"""The simulated nats-server answers as a real one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig
from nats.js.errors import APIError

from protocol.subjects import BOOKS, DECISIONS, FILLS
from runtime.nats import ensure_stream
from tests.simulation.jetstream import SimNats, matches
from tests.simulation.loop import simulated
from tests.support.servers import NatsServer

Script = Callable[[Client], Awaitable[Any]]


def simulate(script: Script, seed: int = 1) -> Any:
    """The script's result on a server without faults; nothing may have gone wrong beside it."""
    with simulated(seed) as sim:
        server = SimNats(sim)

        async def scenario() -> Any:
            return await script(await server.connect())

        result = sim.run(scenario())
    assert not sim.errors
    return result


# -- the same as a real server -------------------------------------------------------------------


def consumer(durable: str, subject: str, **changes: Any) -> ConsumerConfig:
    config: dict[str, Any] = {
        "durable_name": durable,
        "ack_policy": AckPolicy.EXPLICIT,
        "ack_wait": 0.6,
        "deliver_policy": DeliverPolicy.ALL,
        "filter_subject": subject,
        "max_ack_pending": 100,
    }
    return ConsumerConfig(**{**config, **changes})


async def newest_only(js: Any) -> None:
    await js.add_stream(
        StreamConfig(
            name="BOOKS",
            subjects=["book.>"],
            storage=StorageType.MEMORY,
            max_msgs_per_subject=1,
            max_age=60,
        )
    )


class Puller:
    """Pulls by hand and keeps what came: (subject, text or status, deliveries)."""

    def __init__(self, nc: Client, stream: str, durable: str) -> None:
        self._nc = nc
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = nc.new_inbox()
        self.got: list[Any] = []
        self.replies: list[str] = []

    async def start(self) -> None:
        await self._nc.subscribe(self._inbox, cb=self._on_message)

    async def _on_message(self, message: Any) -> None:
        if message.headers and "Status" in message.headers:
            pending = message.headers.get("Nats-Pending-Messages")
            self.got.append((message.headers["Status"], pending))
        else:
            self.replies.append(message.reply)
            tries = message.metadata.num_delivered
            self.got.append((message.subject, message.data.decode(), tries))

    async def pull(self, **request: Any) -> None:
        await self._nc.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)


async def pulls_and_statuses(nc: Client) -> Any:
    js = nc.jetstream()
    puller = Puller(nc, "BOOKS", "d")
    await puller.start()
    await puller.pull(batch=3, expires=10**9)  # no consumer: nobody listens there
    await asyncio.sleep(0.1)
    await newest_only(js)
    await js.add_consumer("BOOKS", consumer("d", "book.>"))
    await puller.pull(batch=3, no_wait=True)
    await asyncio.sleep(0.1)
    await js.publish("book.a", b"1")
    await js.publish("book.b", b"1")
    await puller.pull(batch=5, expires=200_000_000)
    await asyncio.sleep(0.1)
    for reply in puller.replies:
        await nc.publish(reply, b"+ACK")
    await asyncio.sleep(0.3)
    await js.publish("book.a", b"2")
    await puller.pull(batch=5, expires=10**9, no_wait=True)
    await asyncio.sleep(0.1)
    return puller.got


async def superseded_is_never_redelivered(nc: Client) -> Any:
    js = nc.jetstream()
    await newest_only(js)
    await js.add_consumer("BOOKS", consumer("d", "book.>"))
    puller = Puller(nc, "BOOKS", "d")
    await puller.start()
    await js.publish("book.a", b"old")
    await js.publish("book.b", b"kept")
    await puller.pull(batch=10, expires=3 * 10**9)
    await asyncio.sleep(0.1)
    await js.publish("book.a", b"new")
    await asyncio.sleep(0.1)
    await nc.publish(puller.replies[-1], b"+ACK")
    await asyncio.sleep(0.8)
    return puller.got


async def without_acknowledgements(nc: Client) -> Any:
    js = nc.jetstream()
    await newest_only(js)
    config = consumer("d", "book.>", ack_policy=AckPolicy.NONE, ack_wait=None, max_ack_pending=None)
    await js.add_consumer("BOOKS", config)
    puller = Puller(nc, "BOOKS", "d")
    await puller.start()
    for number in range(3):
        await js.publish(f"book.{number % 2}", b"%d" % number)
    await puller.pull(batch=1, expires=10**9)
    await asyncio.sleep(0.1)
    out = (await js.consumer_info("BOOKS", "d")).num_ack_pending
    await nc.publish(puller.replies[0], b"-NAK")  # nobody listens
    await asyncio.sleep(0.1)
    await puller.pull(batch=5, expires=800_000_000)  # longer than the other ones' `ack_wait`
    await asyncio.sleep(1)
    stored = [reply.split(".")[4:7] for reply in puller.replies]
    return puller.got, out, stored, [len(reply.split(".")) for reply in puller.replies]


async def message_ids(nc: Client) -> Any:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="F", subjects=["fill.>"], duplicate_window=0.5))
    acks = [await js.publish("fill.a", b"1", headers={"Nats-Msg-Id": "x"}) for _ in range(2)]
    acks.append(await js.publish("fill.a", b"2", headers={"Nats-Msg-Id": "y"}))
    await asyncio.sleep(0.8)
    acks.append(await js.publish("fill.a", b"1", headers={"Nats-Msg-Id": "x"}))
    state = (await js.stream_info("F")).state
    return [(each.seq, each.duplicate) for each in acks], state.messages, state.last_seq


async def deliver_policies(nc: Client) -> Any:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
    for number in range(4):
        await js.publish(f"s.{number % 2}", b"%d" % number)
    got = {}
    for policy in (DeliverPolicy.ALL, DeliverPolicy.LAST_PER_SUBJECT, DeliverPolicy.NEW):
        name = policy.value
        await js.add_consumer("S", consumer(name, "s.>", deliver_policy=policy))
    await js.publish("s.0", b"4")
    for policy in ("all", "last_per_subject", "new"):
        subscription = await js.pull_subscribe_bind(durable=policy, stream="S")
        messages = await subscription.fetch(10, timeout=0.5)
        got[policy] = [message.data for message in messages]
    return got


async def fetch_and_ack(nc: Client) -> Any:
    js = nc.jetstream()
    told: list[Any] = []
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
    config = consumer("d", "s.>", max_ack_pending=3)
    subscription = await js.pull_subscribe("s.>", durable="d", stream="S", config=config)
    with pytest.raises(TimeoutError):
        await subscription.fetch(5, timeout=0.2)
    await asyncio.sleep(0.05)  # the server's end of that pull
    for number in range(5):
        await js.publish("s.a", b"%d" % number)
    messages = await subscription.fetch(5, timeout=0.3)
    told.append([message.data for message in messages])  # no more than max_ack_pending
    await asyncio.sleep(0.05)
    await messages[0].ack()
    await messages[1].nak()
    await messages[2].term()
    messages = await subscription.fetch(5, timeout=0.3)
    told.append([(each.data, each.metadata.num_delivered) for each in messages])
    await asyncio.sleep(0.9)
    messages = await subscription.fetch(5, timeout=0.3)
    told.append(sorted((each.data, each.metadata.num_delivered) for each in messages))
    return told


async def two_workers_share(nc: Client) -> Any:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
    await js.add_consumer("S", consumer("d", "s.>"))
    one, other = Puller(nc, "S", "d"), Puller(nc, "S", "d")
    for each in (one, other):
        await each.start()
        await each.pull(batch=2, expires=2 * 10**9)
    await asyncio.sleep(0.1)
    for number in range(4):
        await js.publish("s.a", b"%d" % number)
    await asyncio.sleep(0.1)
    return sorted(each[1] for each in one.got + other.got), len(one.got), len(other.got)


async def errors(nc: Client) -> Any:
    js = nc.jetstream(timeout=1)
    told: list[Any] = []
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: js.stream_info("NONE"),
        lambda: js.add_consumer("NONE", consumer("d", ">")),
        lambda: js.publish("nobody.listens", b""),
        lambda: js.add_stream(StreamConfig(name="S", subjects=["s.>"])),
        lambda: js.consumer_info("S", "none"),
        lambda: js.add_consumer("S", consumer("d", "s.>")),
        lambda: js.add_consumer("S", consumer("d", "s.>", ack_policy=AckPolicy.NONE)),
        lambda: js.add_consumer("S", consumer("d", "s.>", ack_wait=2)),
        lambda: js.add_stream(StreamConfig(name="S", subjects=["s.>"], max_age=5)),
        lambda: js.update_stream(
            StreamConfig(name="S", subjects=["s.>"], storage=StorageType.MEMORY)
        ),
        lambda: nc.request("nobody.answers", b"", timeout=1),
    ]
    for call in calls:
        try:
            await call()
            told.append("fine")
        except APIError as error:
            told.append((type(error).__name__, error.code, error.err_code))
        except nats.errors.Error as error:
            told.append(type(error).__name__)
    return told


async def our_streams(nc: Client) -> Any:
    js = nc.jetstream()
    told = []
    for spec in (BOOKS, DECISIONS, FILLS):
        for _ in range(2):
            await ensure_stream(js, spec)
        config = (await js.stream_info(spec.name)).config
        told.append((config.max_age, config.duplicate_window, config.max_msgs_per_subject))
    return told


async def old_messages_go(nc: Client) -> Any:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"], max_age=0.3, duplicate_window=0.2))
    await js.publish("s.a", b"")
    counts = [(await js.stream_info("S")).state.messages]
    await asyncio.sleep(0.8)
    return [*counts, (await js.stream_info("S")).state.messages]


SCRIPTS = [
    pulls_and_statuses,
    superseded_is_never_redelivered,
    without_acknowledgements,
    message_ids,
    deliver_policies,
    fetch_and_ack,
    two_workers_share,
    errors,
    our_streams,
    old_messages_go,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_real_server_answers_the_same(script: Script, nats_server: NatsServer) -> None:
    async def ask() -> Any:
        client = Client()
        await client.connect(nats_server.url)
        try:
            return await script(client)
        finally:
            await client.close()

    assert simulate(script) == asyncio.run(ask())


def test_wildcards() -> None:
    assert matches("a.*.c", "a.b.c") and matches("a.>", "a.b.c") and matches("a", "a")
    assert not matches("a.*", "a.b.c") and not matches("a.>", "a") and not matches("a.b", "a")
