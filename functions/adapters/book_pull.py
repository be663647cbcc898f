"""Books from JetStream, conflated: of each market a worker only ever sees the newest.

The server keeps one message a subject, but what has been prefetched queues in the client, where a
FIFO makes a busy worker act on seconds-old books. So deliveries land in a dict by market; a newer
one takes the older one's place. The pull is driven by hand (one inbox, a small number outstanding,
refilled as books are taken): `fetch()` costs a round trip a call and saturates below 5,000 messages
a second.

No book is acknowledged, so none comes a second time: by then it would be as old as the stream lets
any become. One that is lost (crash, suspension, restart) is replaced by the next change of its
market. What bounds such losses is that a worker only gets what it has asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from protocol.subjects import BOOKS
from runtime.instant import Instant
from runtime.line_throttle import LineThrottle
from runtime.nats import StreamMismatchError, ensure_stream, jetstream_answers
from runtime.nats_client import NatsClient

PREFETCH_MAX: Final = 16
"""Books held or requested at once. Small, so that what one busy worker cannot take soon stays with
the server, where it is replaced by newer ones and free for other workers."""
PULL_EXPIRES_S: Final = 5.0
RECOVER_EVERY_S: Final = 1.0
SILENT_MAX_S: Final = 15.0
"""Three requests: each is answered by books, or by their absence when it expires."""
BOOKLESS_MAX_S: Final = 120.0
"""Running markets change many times a second, and each worker has its share."""
_UNACKNOWLEDGED: Final = ":unacknowledged"
"""Ends the consumer's name. The server refuses to change how a consumer is acknowledged, and
workers of an older version, which share one without this ending, may run beside these. No account
has a colon in its name."""
_log = structlog.get_logger()


class Delivery(msgspec.Struct, frozen=True):
    """One book as delivered; `reply`, where nothing is sent, says when NATS stored it."""

    payload: bytes
    reply: str
    delivered: Instant

    def stored_at_ns(self) -> int | None:
        """When NATS stored it, by its own clock (epoch ns); None where `reply` does not say.

        From its end: ...<timestamp>.<pending>, and with a domain one part more.
        """
        parts = self.reply.split(".")
        at = {9: 7, 11: 9, 12: 9}.get(len(parts))
        return None if at is None else _whole(parts[at])


BookHandler: TypeAlias = Callable[[Delivery], None]


class BookPull:
    """Pulls books of a durable consumer that all workers of an account share."""

    def __init__(self, nc: NatsClient, durable: str, replicas: int = 1) -> None:
        self._nc = nc
        self._replicas = replicas
        self._js = nc.jetstream(timeout=5)
        self._durable = durable + _UNACKNOWLEDGED
        self._inbox = nc.new_inbox()
        self._request_subject = f"$JS.API.CONSUMER.MSG.NEXT.{BOOKS.name}.{self._durable}"
        self._waiting: dict[str, Delivery] = {}
        self._outstanding = 0
        self._reconnects = nc.stats["reconnects"]
        self._heard_at_s = 0.0
        self._answered_at_s = self._book_at_s = time.monotonic()
        self._taker: tuple[BookHandler, asyncio.Future[BaseException | None]] | None = None
        """Who waits for the next one, or did: a future that was cancelled takes none."""
        self._consumer_lost = False
        self._look = asyncio.Event()
        """`run` is to look now, and not only in RECOVER_EVERY_S."""
        self._looked_at_s = float("-inf")
        """When a refusal had it look last."""
        self._pull_failures = LineThrottle()
        self.conflated = 0
        """Books displaced by a newer one so far."""

    async def start(self) -> None:
        """Create stream and consumer where missing, and subscribe. Raises nats errors."""
        await self._ensure_consumer()
        await self._nc.handle(self._inbox, self._on_message)
        self._nc.when_reconnected(self._look.set)
        self._answered_at_s = self._book_at_s = time.monotonic()

    def problem(self) -> str | None:
        """What is wrong, for a person: no request for books is answered, or only that there are
        none."""
        now_s = time.monotonic()
        silent_s, bookless_s = now_s - self._answered_at_s, now_s - self._book_at_s
        if silent_s > SILENT_MAX_S:
            return f"no answer to requests for books (JetStream, {BOOKS.name}) for {silent_s:.0f} s"
        if bookless_s > BOOKLESS_MAX_S:
            return f"no book has come for {bookless_s:.0f} s: does a feeder publish any?"
        return None

    async def run(self) -> None:
        """Keep the pull alive until cancelled: expiries, a restarted server, a lost consumer."""
        while True:
            if self._nc.is_closed:  # the client gives up for good on some server errors
                raise ConnectionError("NATS closed the connection for good")
            self._look.clear()
            if self._consumer_lost or self._reconnected() or self._silent():
                await self._recover()
            self._refill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECOVER_EVERY_S):
                    await self._look.wait()

    async def take(self, handle: BookHandler) -> None:
        """Have the delivery handled whose market has waited longest; where none waits, the next
        one, as it is read. What `handle` raises is raised here."""
        # Before the next book and not after this one, which is to be acted on first.
        if self._outstanding + len(self._waiting) <= PREFETCH_MAX // 2:
            self._refill()
        if self._waiting:
            handle(self._waiting.pop(next(iter(self._waiting))))
            return
        taken: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._taker = handle, taken
        if (error := await taken) is not None:
            raise error

    async def next(self) -> Delivery:
        """The same for who does not handle it at once."""
        taken: list[Delivery] = []
        await self.take(taken.append)
        return taken[0]

    def _on_message(self, message: Msg) -> None:
        self._heard_at_s = time.monotonic()
        status = message.headers.get("Status") if message.headers else None
        if status is not None:
            self._on_status(status, message)
            return
        self._answered_at_s = self._book_at_s = self._heard_at_s
        self._outstanding = max(0, self._outstanding - 1)
        delivery = Delivery(message.data, message.reply, Instant())
        if self._handed_over(delivery):
            return
        if message.subject in self._waiting:
            self.conflated += 1
        # What comes later is newer: they come in the stream's order, and none twice. The dict keeps
        # the market's place in line, so that it does not lose its turn by being fresh.
        self._waiting[message.subject] = delivery

    def _handed_over(self, delivery: Delivery) -> bool:
        """Whether somebody waited for it."""
        if self._taker is None:
            return False
        (handle, taken), self._taker = self._taker, None
        if taken.done():  # cancelled, and has not had its turn yet
            return False
        try:
            handle(delivery)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            taken.set_result(error)
        else:
            taken.set_result(None)
        return True

    def _on_status(self, status: str, message: Msg) -> None:
        headers = message.headers or {}
        if status in ("404", "408"):  # the request expired; this many were not delivered
            self._answered_at_s = self._heard_at_s
            undelivered = _whole(headers.get("Nats-Pending-Messages", ""))
            left = 0 if undelivered is None else self._outstanding - undelivered
            self._outstanding = max(0, left)
        elif status in ("409", "503"):  # consumer deleted, leader changed, or no such consumer
            self._outstanding = 0
            if not self._consumer_lost:  # otherwise asked for already, and not found yet
                self._consumer_lost = True
                # Some refusals come again however often it is asked, as of one too many.
                if self._heard_at_s - self._looked_at_s >= RECOVER_EVERY_S:
                    self._looked_at_s = self._heard_at_s
                    self._look.set()

    def _refill(self) -> None:
        batch = PREFETCH_MAX - self._outstanding - len(self._waiting)
        if batch <= 0 or not self._nc.is_connected:
            return
        self._outstanding += batch
        request = b'{"batch":%d,"expires":%d}' % (batch, int(PULL_EXPIRES_S * 1e9))
        try:
            self._nc.publish_nowait(self._request_subject, request, self._inbox)
        except NatsError as error:  # the silence that follows makes `run` ask again
            if (unlogged := self._pull_failures.admit()) is not None:
                what = f"{type(error).__name__}: {error}"
                _log.warning("pull_failed", error=what, unlogged_before=unlogged)

    def _reconnected(self) -> bool:
        # What was under way is lost, and so are requests, if it is another server or a new start.
        return self._nc.stats["reconnects"] != self._reconnects

    def _silent(self) -> bool:
        # A pending request is answered when it expires, at the latest: silence means that the
        # server has forgotten it, or that it is out of reach.
        return time.monotonic() - self._heard_at_s > PULL_EXPIRES_S + 1

    async def _recover(self) -> None:
        self._outstanding = 0
        self._consumer_lost = True
        if not self._nc.is_connected:
            return
        self._reconnects = self._nc.stats["reconnects"]
        try:
            await self._ensure_consumer()
        except (NatsError, TimeoutError, StreamMismatchError) as error:
            _log.warning("consumer_not_ready", error=f"{type(error).__name__}: {error}")
        else:
            self._consumer_lost = False

    async def _ensure_consumer(self) -> None:
        await ensure_stream(self._js, BOOKS, self._replicas)
        config = ConsumerConfig(
            durable_name=self._durable,
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            filter_subject=BOOKS.subjects[0],
            mem_storage=True,
        )
        with jetstream_answers():
            await self._js.add_consumer(BOOKS.name, config)
        self._heard_at_s = time.monotonic()


def _whole(text: str) -> int | None:
    """A number of the server's, None where it is none: anybody may write to an inbox."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
