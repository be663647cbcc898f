"""The decision log: decisions leave the hot path through a bounded queue and `decision.*`, and a
durable consumer writes them to the table, in batches, after the fact.

Telemetry, not truth: what is lost here is counted and loses no order (invariant 7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final, NoReturn

import nats.errors
import structlog
from nats.aio.client import Client

from functions.adapters.durable_consumer import consume
from functions.ports import Store
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision, decode_decision, encode_decision
from protocol.snapshot import ProtocolError
from protocol.subjects import DECISIONS, decision_subject

QUEUE_MAX: Final = 1_000
BATCH_MAX: Final = 5
"""Decisions are rare, and rows are paid one by one anyway; while a local emulator takes a large
batch, it takes no claim."""
_log = structlog.get_logger()


class DecisionPublisher:
    """Takes decisions without ever blocking the hot path."""

    def __init__(self, nc: Client, account_name: str, metrics: WorkerMetrics) -> None:
        self._js = nc.jetstream(timeout=2)
        self._subject = decision_subject(account_name)
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


async def log_decisions(nc: Client, account_name: str, store: Store, replicas: int = 1) -> NoReturn:
    """Write published decisions to the table until cancelled; acked only once written."""

    def interrupted(why: str) -> None:
        _log.warning("decision_log_interrupted", error=why)

    await consume(
        nc,
        DECISIONS,
        durable=f"{account_name}-log",
        subject=decision_subject(account_name),
        batch_max=BATCH_MAX,
        replicas=replicas,
        handle=partial(_write, store),
        interrupted=interrupted,
    )


async def _write(store: Store, payloads: Sequence[bytes]) -> None:
    decisions: list[Decision] = []
    for payload in payloads:
        try:
            decisions.append(decode_decision(payload))
        except ProtocolError as error:
            _log.warning("decision_malformed", error=str(error))
    await store.put_decisions(decisions)
