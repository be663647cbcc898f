"""The decision log: decisions leave the hot path through a bounded queue and `decision.*`, and a
durable consumer writes them to the table, in batches, after the fact.

Telemetry, not truth: what is lost here is counted and loses no order (invariant 7).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from functions.metrics import WorkerMetrics
from functions.ports import Store, StoreError
from protocol.decision import Decision, decode_decision, encode_decision
from protocol.snapshot import ProtocolError
from protocol.subjects import DECISIONS, decision_subject
from runtime.nats import StreamMismatchError, ensure_stream

QUEUE_MAX: Final = 1_000
BATCH_MAX: Final = 5
"""Decisions are rare, and rows are paid one by one anyway; while a local emulator takes a large
batch, it takes no claim."""
_log = structlog.get_logger()


class DecisionPublisher:
    """Takes decisions without ever blocking the hot path."""

    def __init__(self, nc: Client, strategy: str, metrics: WorkerMetrics) -> None:
        self._js = nc.jetstream(timeout=2)
        self._subject = decision_subject(strategy)
        self._dropped = metrics.decisions_dropped
        self._queue: asyncio.Queue[Decision] = asyncio.Queue(QUEUE_MAX)

    def offer(self, decision: Decision) -> None:
        """Queue it; counted as dropped when the queue is full."""
        try:
            self._queue.put_nowait(decision)
        except asyncio.QueueFull:
            self._dropped.inc()

    async def run(self) -> None:
        """Publish what is offered, until cancelled."""
        while True:
            decision = await self._queue.get()
            try:
                await self._js.publish(self._subject, encode_decision(decision))
            except (nats.errors.Error, TimeoutError) as error:
                self._dropped.inc()
                _log.warning("decision_not_published", error=f"{type(error).__name__}: {error}")
            finally:
                self._queue.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything offered has been published or dropped, at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        except TimeoutError:
            self._dropped.inc(self._queue.qsize())


async def log_decisions(nc: Client, strategy: str, store: Store, replicas: int = 1) -> None:
    """Write published decisions to the table until cancelled; acked only once written."""
    js = nc.jetstream(timeout=5)
    config = ConsumerConfig(
        durable_name=f"{strategy}-log",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=30,
        deliver_policy=DeliverPolicy.ALL,
        filter_subject=decision_subject(strategy),
        max_ack_pending=1_000,
    )
    while True:
        subscription = None
        try:
            await ensure_stream(js, DECISIONS, replicas)
            subscription = await js.pull_subscribe(
                config.filter_subject or "",
                durable=config.durable_name,
                stream=DECISIONS.name,
                config=config,
            )
            while True:
                try:
                    messages = await subscription.fetch(BATCH_MAX, timeout=5)
                except TimeoutError:
                    continue
                decisions = []
                for message in messages:
                    try:
                        decisions.append(decode_decision(message.data))
                    except ProtocolError as error:
                        _log.warning("decision_malformed", error=str(error))
                await store.put_decisions(decisions)
                for message in messages:
                    await message.ack()
        except (nats.errors.Error, StreamMismatchError, StoreError) as error:
            _log.warning("decision_log_interrupted", error=f"{type(error).__name__}: {error}")
            if subscription is not None:
                with contextlib.suppress(nats.errors.Error):
                    await subscription.unsubscribe()
            await asyncio.sleep(2)  # the backlog waits in the stream
