"""The loop around a durable JetStream consumer: fetch, handle, acknowledge.

1. A message is acknowledged once its effect is stored; until then it comes again, so a handler must
   bear a second delivery.
2. What the store does not take is handed back and comes again after `RETRY_EVERY_S`.
3. A stream or consumer that is lost (memory storage, a deletion) is made again; an unreachable
   server is asked again every `RETRY_EVERY_S`, for ever. The backlog waits in the stream.
4. All processes with one durable name share its messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from functions.ports import StoreError
from protocol.subjects import StreamSpec
from runtime.nats import StreamMismatchError, ensure_stream

REQUEST_TIMEOUT_S: Final = 5
FETCH_TIMEOUT_S: Final = 5
ACK_WAIT_S: Final = 30
"""Longer than a batch may take with every store call at its limit: otherwise it would be handed to
another worker meanwhile, which is harmless but useless."""
ACKS_PENDING_MAX: Final = 1_000
RETRY_EVERY_S: Final = 1


async def consume(
    nc: Client,
    stream: StreamSpec,
    *,
    durable: str,
    subject: str,
    batch_max: int,
    replicas: int,
    handle: Callable[[Sequence[bytes]], Awaitable[None]],
    interrupted: Callable[[str], None],
) -> NoReturn:
    """Hand batches of payloads to `handle` until cancelled.

    `handle` leaves out what it cannot decode (it would be malformed the next time, too) and raises
    StoreError for what is to come again; any other exception of it is a defect and is raised.
    `interrupted` gets one line for each time that the loop begins anew.
    """
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
            await _consume_subscribed(js, stream, config, batch_max, handle)
        except (nats.errors.Error, TimeoutError, StreamMismatchError, StoreError) as error:
            interrupted(f"{type(error).__name__}: {error}")
        await asyncio.sleep(RETRY_EVERY_S)


async def _consume_subscribed(
    js: JetStreamContext,
    stream: StreamSpec,
    config: ConsumerConfig,
    batch_max: int,
    handle: Callable[[Sequence[bytes]], Awaitable[None]],
) -> None:
    subscription = await js.pull_subscribe(
        config.filter_subject or "", durable=config.durable_name, stream=stream.name, config=config
    )
    try:
        while True:
            try:
                messages = await subscription.fetch(batch_max, timeout=FETCH_TIMEOUT_S)
            except TimeoutError:  # nothing has come
                continue
            if messages:  # none when the consumer has just been deleted
                await _deliver(messages, handle)
    finally:
        with contextlib.suppress(nats.errors.Error):
            await subscription.unsubscribe()


async def _deliver(
    messages: list[Msg], handle: Callable[[Sequence[bytes]], Awaitable[None]]
) -> None:
    try:
        await handle([message.data for message in messages])
    except StoreError:
        for message in messages:
            await message.nak(delay=RETRY_EVERY_S)
        raise
    for message in messages:
        await message.ack()
