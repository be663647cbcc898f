"""Publishes fills on JetStream, each until it is acknowledged.

1. One fill at a time, in the order of their arrival; a trade's statuses overtake each other only
   where the venue let them.
2. A fill leaves the backlog when the stream has acknowledged it, not before. Publishing it again is
   harmless: the message id is the trade and its status, and the stream keeps one.
3. The backlog is bounded. What does not fit is refused to the caller, who has it fetched later.
4. While NATS is disconnected nothing is handed to the client, which would buffer it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import Header, PubAck
from nats.js.errors import APIError, NoStreamResponseError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from feeder.fills.metrics import UserMetrics
from protocol.fill import Fill, encode_fill, message_id
from protocol.subjects import FILLS, fill_subject
from runtime.nats import StreamMismatchError, ensure_stream, jetstream_answers

# More trades than this system makes in weeks; about 10 MB.
BACKLOG_MAX: Final = 10_000
ACK_TIMEOUT_S: Final = 2.0
RETRY_WAIT_MAX_S: Final = 2.0
REPAIR_TIMEOUT_S: Final = 4.0
STUCK_S: Final = 10
"""A fill that waits for so long is worth a 503; a restarted nats-server takes a second or two."""

_log = structlog.get_logger()


class NotConnectedError(Exception):
    """NATS is away; the client reconnects by itself."""


class FillPublisher:
    """`offer` or `put` fills; `run` publishes them and calls `on_acknowledged` with each."""

    def __init__(
        self,
        nc: Client,
        metrics: UserMetrics,
        on_acknowledged: Callable[[Fill], None],
        backlog_max: int = BACKLOG_MAX,
        replicas: int = 1,
    ) -> None:
        self._nc = nc
        self._replicas = replicas
        self._js = nc.jetstream(timeout=ACK_TIMEOUT_S)
        self._metrics = metrics
        self._on_acknowledged = on_acknowledged
        self._backlog: asyncio.Queue[Fill] = asyncio.Queue(backlog_max)
        self._trying_since_s: float | None = None
        metrics.waiting.set_function(self._backlog.qsize)

    def offer(self, fill: Fill) -> bool:
        """Take the fill, or answer False when the backlog is full."""
        try:
            self._backlog.put_nowait(fill)
        except asyncio.QueueFull:
            return False
        return True

    async def put(self, fill: Fill) -> None:
        """Take the fill as soon as there is room."""
        await self._backlog.put(fill)

    async def drained(self) -> None:
        """Return when everything taken so far is acknowledged."""
        await self._backlog.join()

    def problem(self) -> str | None:
        """One sentence on why fills do not reach the stream, None when they do."""
        since_s = self._trying_since_s
        if since_s is None or time.monotonic() - since_s < STUCK_S:
            return None
        return f"fills have not been acknowledged for {time.monotonic() - since_s:.0f} s"

    async def run(self) -> None:
        """Publish until cancelled. Raises ConnectionError when NATS closed the connection."""
        while True:
            fill = await self._backlog.get()
            self._trying_since_s = time.monotonic()
            ack = await self._publish(fill)
            self._trying_since_s = None
            self._metrics.published.inc()
            if ack.duplicate:
                self._metrics.duplicates.inc()
            self._on_acknowledged(fill)
            self._backlog.task_done()

    async def _publish(self, fill: Fill) -> PubAck:
        async for attempt in AsyncRetrying(
            wait=wait_exponential_jitter(multiplier=0.1, max=RETRY_WAIT_MAX_S),
            retry=retry_if_exception_type(
                (NatsError, TimeoutError, NotConnectedError, StreamMismatchError)
            ),
            before_sleep=self._report,
            reraise=True,
        ):
            with attempt:
                if self._nc.is_closed:  # the client gives up for good on some server errors
                    raise ConnectionError("NATS closed the connection for good")
                if not self._nc.is_connected:
                    raise NotConnectedError("not connected to NATS")
                if attempt.retry_state.attempt_number > 1:
                    await self._restore_stream()
                subject, payload = fill_subject(fill.condition_id), encode_fill(fill)
                headers: dict[str, Any] = {Header.MSG_ID: message_id(fill)}
                with jetstream_answers():
                    return await self._js.publish(subject, payload, headers=headers)
        raise AssertionError("tenacity stopped without a stop condition")

    async def _restore_stream(self) -> None:
        """A nats-server that lost its disk, or a person, has taken the stream away."""
        async with asyncio.timeout(REPAIR_TIMEOUT_S):
            await ensure_stream(self._js, FILLS, self._replicas)

    def _report(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._metrics.publish_failures[_fault_of(error)].inc()
        _log.warning(
            "fill_not_published",
            error=f"{type(error).__name__}: {error}",
            waiting=self._backlog.qsize() + 1,
            retry_in_s=round(state.upcoming_sleep, 1),
        )


def _fault_of(error: BaseException | None) -> str:
    if isinstance(error, NotConnectedError):
        return "disconnected"
    if isinstance(error, NoStreamResponseError):
        return "no_stream"
    if isinstance(error, TimeoutError) and not isinstance(error, APIError):
        return "timeout"
    return "error"
