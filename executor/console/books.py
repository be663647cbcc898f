"""The newest book of each market, as the server keeps it: asked for four times a second.

The stream keeps one message a market, so whatever comes between two requests costs nothing here: a
thousand books a second are two hundred. What was got stays bytes until somebody looks at it, or for
a second: so often the memory gets a book of each market, and a market that is opened has a past.

A worker sees every book that is not displaced by a newer one, so its memory is denser. What depends
on that is told `as this console sees it`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from functions.core.fencing import Fence
from functions.core.market_memories import MarketMemories
from protocol.snapshot import BookSnapshot, ProtocolError, decode_snapshot
from protocol.subjects import BOOKS
from runtime.line_throttle import LineThrottle
from runtime.nats import jetstream_answers
from strategies.view import MarketView

ASK_EVERY_S: Final = 0.25
DECODE_EVERY_S: Final = 1.0
ANSWER_TIMEOUT_S: Final = 2.0
AGAIN_S: Final = 1.0
CONSUMER_IDLE_S: Final = 30.0
"""So long after it was asked last, the server forgets the console."""
MARKETS_MAX: Final = 500
"""More are not shown: to make room, the market that has been silent longest goes."""
ENDED_KEPT_MS: Final = 60_000
SILENT_MS: Final = 3_000
_log = structlog.get_logger()


class NewestBooks:
    """`run` follows the stream; all else answers from memory."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._waiting: dict[str, bytes] = {}
        """By subject, what has come and was not decoded yet; the longest silent first."""
        self._newest: dict[str, BookSnapshot] = {}
        """By condition id, likewise."""
        self._fence, self._memories = Fence(), MarketMemories()
        self._unreadable, self._failures = LineThrottle(), LineThrottle()
        self._answered, self._lost = asyncio.Event(), False
        self.malformed = 0
        """Messages that were no books, so far."""
        self.problem = "books have not been asked for yet"
        """Why none come, for a person; empty: they do, if there are any."""
        self.answered_at_ms = 0
        """Epoch ms: when NATS was asked what it has answered since; 0: nothing yet. That it is
        connected says little: a server that hangs is so for minutes."""

    # -- what is known -----------------------------------------------------------------------------

    def newest(self) -> list[BookSnapshot]:
        """Of each market its newest book, the market that ends first before the others."""
        self._decode()
        books = self._newest.values()
        return sorted(books, key=lambda each: (each.market.end_ms, each.market.slug))

    def book(self, market: str) -> BookSnapshot | None:
        """Of the market with this slug or condition id."""
        self._decode()
        if (found := self._newest.get(market)) is not None:
            return found
        return next((each for each in self._newest.values() if each.market.slug == market), None)

    def view(self, snapshot: BookSnapshot) -> MarketView | None:
        """What a strategy would see now, with this console's memory; None for outcomes other than
        Up and Down."""
        return self._memories.view(snapshot, self._now_ms())

    def data_at_ms(self) -> int:
        """Epoch ms at which the feeder published the newest book of all; 0: none has come."""
        self._decode()
        published_ns = (each.published_at_ns for each in self._newest.values())
        return max(published_ns, default=0) // 1_000_000

    def silence(self) -> str:
        """That NATS has ceased to answer, a sentence; empty: it has not."""
        if not self.answered_at_ms or self._now_ms() - self.answered_at_ms <= SILENT_MS:
            return ""
        return "NATS does not answer: books and decisions do not come"

    # -- how it comes ------------------------------------------------------------------------------

    async def run(self, connected: Callable[[], Awaitable[Client]]) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_decoding())
            group.create_task(self._keep_asking(await connected()))

    async def _keep_decoding(self) -> None:
        while True:
            await asyncio.sleep(DECODE_EVERY_S)
            self._decode()

    async def _keep_asking(self, nc: Client) -> None:
        inbox = nc.new_inbox()
        answers = await nc.subscribe(inbox, cb=self._take)
        try:
            await self._ask_again_and_again(nc, inbox)
        finally:
            with contextlib.suppress(NatsError, OSError):
                await answers.unsubscribe()

    async def _ask_again_and_again(self, nc: Client, inbox: str) -> None:
        while True:
            try:
                consumer = await self._consumer(nc)
                asked_at_ms = self._now_ms()
                while await self._ask(nc, consumer, inbox):
                    self.problem, self.answered_at_ms = "", asked_at_ms
                    await asyncio.sleep(ASK_EVERY_S)
                    asked_at_ms = self._now_ms()
                self.problem = "NATS does not answer requests for books"
            except NotFoundError:
                self.answered_at_ms = self._now_ms()
                self.problem = "there is no stream of books: no feeder has made it yet"
            except (NatsError, OSError) as error:  # TimeoutError is an OSError
                self.problem = f"books cannot be read from NATS: {type(error).__name__}"
                if (unlogged := self._failures.admit()) is not None:
                    what = f"{type(error).__name__}: {error}"
                    _log.warning("console_books_unread", error=what, unlogged_before=unlogged)
            await asyncio.sleep(AGAIN_S)

    async def _consumer(self, nc: Client) -> str:
        """One of our own that nobody else shares, from each market's last book on."""
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=AckPolicy.NONE,
            filter_subject=BOOKS.subjects[0],
            inactive_threshold=CONSUMER_IDLE_S,
            mem_storage=True,
            num_replicas=1,
        )
        with jetstream_answers():
            made = await nc.jetstream(timeout=ANSWER_TIMEOUT_S).add_consumer(BOOKS.name, config)
        return str(made.name)

    async def _ask(self, nc: Client, consumer: str, inbox: str) -> bool:
        """Once, for all that is new. False: it was not answered, or the consumer is gone."""
        self._answered.clear()
        self._lost = False
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{BOOKS.name}.{consumer}"
        request = b'{"batch":%d,"no_wait":true}' % (MARKETS_MAX + 1)
        await nc.publish(subject, request, reply=inbox)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._answered.wait()
        except TimeoutError:
            return False
        return not self._lost

    async def _take(self, message: Msg) -> None:
        status = message.headers.get("Status") if message.headers else None
        if status is not None:  # the end of an answer: no more (404, 408), or no consumer
            self._lost = status not in ("404", "408")
            self._answered.set()
            return
        self._waiting.pop(message.subject, None)
        if len(self._waiting) >= MARKETS_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[message.subject] = message.data

    # -- what it becomes ---------------------------------------------------------------------------

    def _decode(self) -> None:
        """All that has come since the last time, and forget what is over."""
        waiting, self._waiting = self._waiting, {}
        now_ms = self._now_ms()
        for payload in waiting.values():
            try:
                snapshot = decode_snapshot(payload)
            except ProtocolError as error:
                self.malformed += 1
                if (unlogged := self._unreadable.admit()) is not None:
                    _log.warning("book_malformed", error=str(error), unlogged_before=unlogged)
                continue
            if self._fence.admits(snapshot, time.monotonic_ns() // 1_000_000):
                self._keep(snapshot)
        over = [
            condition_id
            for condition_id, snapshot in self._newest.items()
            if snapshot.market.end_ms + ENDED_KEPT_MS < now_ms
        ]
        for condition_id in over:
            self._forget(condition_id)

    def _keep(self, snapshot: BookSnapshot) -> None:
        condition_id = snapshot.market.condition_id
        known = self._newest.pop(condition_id, None)
        if known is None and len(self._newest) >= MARKETS_MAX:
            self._forget(next(iter(self._newest)))
        self._newest[condition_id] = snapshot
        self._memories.note(snapshot)

    def _forget(self, condition_id: str) -> None:
        del self._newest[condition_id]
        self._memories.forget(condition_id)
