"""Publishes decisions on `decision.*`: they leave the hot path through a bounded queue.

Telemetry, not truth: what is lost here is counted and loses no order (invariant 7).
"""

from __future__ import annotations

import asyncio
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client

from functions.account_metrics import AccountMetrics
from protocol.decision import Decision, encode_decision
from protocol.subjects import decision_subject
from runtime.line_throttle import LineThrottle
from runtime.nats import jetstream_answers

QUEUE_MAX: Final = 1_000
_log = structlog.get_logger()


class DecisionPublisher:
    """Takes decisions without ever blocking the hot path."""

    def __init__(self, nc: Client, account_name: str, metrics: AccountMetrics) -> None:
        self._js = nc.jetstream(timeout=2)
        self._subject = decision_subject(account_name)
        self._dropped = metrics.decisions_dropped
        self._failures = LineThrottle()
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
                payload = encode_decision(decision)
                with jetstream_answers():
                    await self._js.publish(self._subject, payload)
            except (nats.errors.Error, TimeoutError) as error:
                self._dropped.inc()
                if (unlogged := self._failures.admit()) is not None:
                    what = f"{type(error).__name__}: {error}"
                    _log.warning("decision_not_published", error=what, unlogged_before=unlogged)
            finally:
                self._queue.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything offered has been published or dropped, at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        except TimeoutError:
            self._dropped.inc(self._queue.qsize())
