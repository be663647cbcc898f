"""The loop around a durable JetStream consumer: fetch, handle, acknowledge.

1. A message is acknowledged once its effect is stored; until then it comes again, so a handler must
   bear a second delivery. What does not decode is terminated: it would not the next time, either.
2. What the store does not take is handed back and comes again after `RETRY_EVERY_S`, each time
   later: the server gives out what comes again first, and what can never be stored would else keep
   the others from their turn.
3. A stream or consumer that is lost (memory storage, a deletion) is made again; an unreachable
   server is asked again every `RETRY_EVERY_S`, for ever. The backlog waits in the stream.
4. All processes with one durable name share its messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, NoReturn, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from functions.ports import StoreError
from protocol.subjects import StreamSpec
from runtime.last_answer import LastAnswer
from runtime.nats import StreamMismatchError, ensure_stream, jetstream_answers

REQUEST_TIMEOUT_S: Final = 5
FETCH_TIMEOUT_S: Final = 5
ACK_WAIT_S: Final = 30
"""Longer than a batch may take with every store call at its limit: otherwise it would be handed to
another worker meanwhile, which is harmless but useless."""
ACKS_PENDING_MAX: Final = 1_000
RETRY_EVERY_S: Final = 1
RETRY_MAX_S: Final = 30
Message = TypeVar("Message")


class DurableConsumer(Generic[Message]):
    """Hands batches of decoded messages to `handle`, while `run` is not cancelled.

    `decode` answers None for what is malformed, once it has counted it and said so. `handle` raises
    StoreError for what is to come again; any other exception of it is a defect and is raised.
    `interrupted` gets one line for each time that the loop begins anew.
    """

    def __init__(
        self,
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
    ) -> None:
        self._js = nc.jetstream(timeout=REQUEST_TIMEOUT_S)
        self._stream = stream
        self._config = ConsumerConfig(
            durable_name=durable,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            deliver_policy=DeliverPolicy.ALL,
            filter_subject=subject,
            max_ack_pending=ACKS_PENDING_MAX,
        )
        self._batch_max = batch_max
        self._replicas = replicas
        self._decode = decode
        self._handle = handle
        self._interrupted = interrupted
        self._last_answer = LastAnswer(f"nothing of stream {stream.name} can be read and stored")
        self.problem = self._last_answer.problem
        """What is wrong, for a person: nothing can be read of the stream."""

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            try:
                await ensure_stream(self._js, self._stream, self._replicas)
                await self._consume_subscribed()
            except (nats.errors.Error, TimeoutError, StreamMismatchError, StoreError) as error:
                trouble = f"{type(error).__name__}: {error}"
                self._last_answer.failed(trouble)
                self._interrupted(trouble)
            await asyncio.sleep(RETRY_EVERY_S)

    async def _consume_subscribed(self) -> None:
        subject, durable = self._config.filter_subject or "", self._config.durable_name
        with jetstream_answers():
            subscription = await self._js.pull_subscribe(
                subject, durable=durable, stream=self._stream.name, config=self._config
            )
        try:
            while True:
                try:
                    with jetstream_answers():
                        messages = await subscription.fetch(
                            self._batch_max, timeout=FETCH_TIMEOUT_S
                        )
                except TimeoutError:  # nothing has come, or nobody answers
                    if await _nothing_waits(subscription):
                        self._last_answer.came()
                    else:
                        self._last_answer.failed("messages wait, and none is handed out")
                    continue
                if messages:  # none when the consumer has just been deleted
                    await self._deliver(messages)
                    self._last_answer.came()
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _deliver(self, messages: list[Msg]) -> None:
        good, decoded = [], []
        for message in messages:
            content = self._decode(message.data)
            if content is None:
                await message.term()
            else:
                good.append(message)
                decoded.append(content)
        if good:
            await _deliver(good, self._handle(decoded))


async def _nothing_waits(subscription: JetStreamContext.PullSubscription) -> bool:
    """Whether all that is stored has been handed out. Raises nats errors: a consumer without a
    leader, say, answers nothing at all, which looks like a stream that nothing comes to."""
    with jetstream_answers():
        return not (await subscription.consumer_info()).num_pending


async def _deliver(messages: list[Msg], handled: Awaitable[None]) -> None:
    try:
        await handled
    except StoreError:
        for message in messages:
            tried = message.metadata.num_delivered
            await message.nak(delay=min(RETRY_EVERY_S * tried, RETRY_MAX_S))
        raise
    for message in messages:
        await message.ack()
