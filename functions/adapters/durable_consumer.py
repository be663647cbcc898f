"""The loop around a durable JetStream consumer: fetch, handle, acknowledge.

1. A message is acknowledged once its effect is stored; until then it comes again, so a handler must
   bear a second delivery. What does not decode is terminated: it would not the next time, either.
2. What the store does not take is handed back and comes again after `RETRY_EVERY_S`.
3. A stream or consumer that is lost (memory storage, a deletion) is made again; an unreachable
   server is asked again every `RETRY_EVERY_S`, for ever. The backlog waits in the stream.
4. All processes with one durable name share its messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from functions.ports import StoreError
from protocol.subjects import StreamSpec
from runtime.nats import StreamMismatchError, ensure_stream, jetstream_answers

REQUEST_TIMEOUT_S: Final = 5
FETCH_TIMEOUT_S: Final = 5
ACK_WAIT_S: Final = 30
"""Longer than a batch may take with every store call at its limit: otherwise it would be handed to
another worker meanwhile, which is harmless but useless."""
ACKS_PENDING_MAX: Final = 1_000
RETRY_EVERY_S: Final = 1
Message = TypeVar("Message")


async def consume(
    nc: Client,
    stream: StreamSpec,
    *,
    durable: str,
    subject: str,
    batch_max: int,
    replicas: int,
    decode: Callable[[bytes], Message | None],
    handle: Callable[[Sequence[Message]], Awaitable[None]],
    interrupted: Callable[[str], None],
) -> NoReturn:
    """Hand batches of decoded messages to `handle` until cancelled.

    `decode` answers None for what is malformed, once it has counted it and said so. `handle` raises
    StoreError for what is to come again; any other exception of it is a defect and is raised.
    `interrupted` gets one line for each time that the loop begins anew.
    """

    async def deliver(messages: list[Msg]) -> None:
        good, decoded = [], []
        for message in messages:
            content = decode(message.data)
            if content is None:
                await message.term()
            else:
                good.append(message)
                decoded.append(content)
        if good:
            await _deliver(good, handle(decoded))

    js = nc.jetstream(timeout=REQUEST_TIMEOUT_S)
    config = ConsumerConfig(
        durable_name=durable,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        deliver_policy=DeliverPolicy.ALL,
        filter_subject=subject,
        max_ack_pending=ACKS_PENDING_MAX,
    )
    while True:
        try:
            await ensure_stream(js, stream, replicas)
            await _consume_subscribed(js, stream, config, batch_max, deliver)
        except (nats.errors.Error, TimeoutError, StreamMismatchError, StoreError) as error:
            interrupted(f"{type(error).__name__}: {error}")
        await asyncio.sleep(RETRY_EVERY_S)


async def _consume_subscribed(
    js: JetStreamContext,
    stream: StreamSpec,
    config: ConsumerConfig,
    batch_max: int,
    deliver: Callable[[list[Msg]], Awaitable[None]],
) -> None:
    subject, durable = config.filter_subject or "", config.durable_name
    with jetstream_answers():
        subscription = await js.pull_subscribe(
            subject, durable=durable, stream=stream.name, config=config
        )
    try:
        while True:
            try:
                with jetstream_answers():
                    messages = await subscription.fetch(batch_max, timeout=FETCH_TIMEOUT_S)
            except TimeoutError:  # nothing has come
                continue
            if messages:  # none when the consumer has just been deleted
                await deliver(messages)
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()


async def _deliver(messages: list[Msg], handled: Awaitable[None]) -> None:
    try:
        await handled
    except StoreError:
        for message in messages:
            await message.nak(delay=RETRY_EVERY_S)
        raise
    for message in messages:
        await message.ack()
