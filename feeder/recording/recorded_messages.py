"""What goes between our processes, taken down beside the frames: books and decisions.

1. Books come by a subscription of their subjects, so all that are published come, not only those
   that a stream still has. What did not come shows by the gap in its market's sequence, and an
   interruption by itself; each leaves a `Missed` line.
2. Decisions are read from their stream, one after the other by the number that it gave them. That
   needs no consumer, so nobody's is disturbed, and none is lost while the stream keeps them: for a
   day. They begin with the first one after the recorder has come to the stream.
3. Nothing here ends the frames: what is not there is waited for, and said.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from feeder.recording.format import Missed, Record, decided_of, published_of
from feeder.recording.recorded_channel import RecordingProgress, now
from protocol.bounds import Count
from protocol.snapshot import UNDECODABLE
from protocol.subjects import BOOKS, DECISIONS
from runtime.line_throttle import LineThrottle
from runtime.nats import close, connect, jetstream_answers
from runtime.nats_settings import NatsSettings

LOOK_EVERY_S: Final = 0.25
REQUEST_TIMEOUT_S: Final = 2.0
AGAIN_S: Final = 1.0
MARKETS_MAX: Final = 1_000
"""Whose last sequence is remembered: more than run at once."""
_log = structlog.get_logger()


class _Numbered(msgspec.Struct):
    """What is read of a book here."""

    epoch: Count
    sequence: Count


class _Last(msgspec.Struct):
    epoch: int
    sequence: int
    at_ns: int


_numbered: Final = msgspec.json.Decoder(_Numbered).decode


class RecordedMessages:
    """`run` takes down until it is cancelled, `finish` what has come by then, `close` ends it.

    `on_decision` is called with each decision's bytes.
    """

    def __init__(
        self,
        settings: NatsSettings,
        put: Callable[[Record], None],
        progress: RecordingProgress,
        on_decision: Callable[[bytes], None],
    ) -> None:
        self._settings = settings
        self._put = put
        self._progress = progress
        self._on_decision = on_decision
        self._nc: Client | None = None
        self._last: dict[str, _Last] = {}
        """By a book's subject, the longest silent first."""
        self._next: int | None = None
        """The number of the next decision in the stream; None: not looked yet."""
        self._made: datetime.datetime | None = None
        """When the stream of decisions was made."""
        self._read_at_ns = self._heard_ns = time.time_ns()
        """When decisions were read last, and NATS was connected last."""
        self._unread = False
        """Whether the last try to read decisions failed."""
        self._failures = LineThrottle()

    @property
    def connected(self) -> bool:
        """Whether NATS is there now."""
        return self._nc is not None and self._nc.is_connected

    async def run(self) -> None:
        """Until cancelled. Exits 2 as `runtime.nats.connect` does."""
        settings = self._settings
        while True:
            self._nc = nc = await connect(settings.nats_url, "recorder", settings.nats_login())
            self._heard_ns, reconnects = time.time_ns(), nc.stats["reconnects"]
            try:
                await nc.subscribe(BOOKS.subjects[0], cb=self._take_book)
                await nc.flush(round(REQUEST_TIMEOUT_S))
            except (NatsError, OSError) as error:  # TimeoutError is an OSError
                self._say("books_not_followed", error)
            else:
                await self._look(nc)
                _log.info("history_followed")
                while not nc.is_closed:
                    await asyncio.sleep(LOOK_EVERY_S)
                    if nc.stats["reconnects"] != reconnects:
                        reconnects = nc.stats["reconnects"]
                        self._miss("books", 0, self._heard_ns, "NATS was not connected meanwhile")
                    if nc.is_connected:
                        self._heard_ns = time.time_ns()
                        await self._look(nc)
                self._miss("books", 0, self._heard_ns, "NATS closed the connection")
            await close(nc)
            await asyncio.sleep(AGAIN_S)

    async def finish(self) -> None:
        """Take down the decisions that have come by now, and what does not come any more."""
        if self._nc is not None and self.connected:
            await self._look(self._nc)
        else:
            self._unread = True
            self._miss("books", 0, self._heard_ns, "NATS was not connected at the end")
        if self._unread:
            self.tell_unread()

    def tell_unread(self) -> None:
        """A line in the recording: the last decisions may not be in it."""
        self._miss("decisions", 0, self._read_at_ns, "they could not be read at the end")

    async def close(self) -> None:
        """Let the server go, however it answers."""
        if self._nc is not None:
            await close(self._nc)

    async def _take_book(self, message: Msg) -> None:
        at_ns, mono_ns = now()
        subject = message.subject
        try:
            book = _numbered(message.data)
        except UNDECODABLE:
            pass  # not a book: kept as it is, and no number is missed by it
        else:
            self._check_sequence(subject, book, at_ns)
        self._put(published_of(message.data, subject=subject, at_ns=at_ns, mono_ns=mono_ns))
        self._progress.books += 1

    def _check_sequence(self, subject: str, book: _Numbered, at_ns: int) -> None:
        last = self._last.pop(subject, None)
        if last is not None and last.epoch == book.epoch:
            between = book.sequence - last.sequence - 1
            if between > 0:
                self._miss("books", between, last.at_ns, f"a gap in the sequence of {subject}")
        elif len(self._last) >= MARKETS_MAX:
            del self._last[next(iter(self._last))]
        if last is None or (last.epoch, last.sequence) < (book.epoch, book.sequence):
            last = _Last(book.epoch, book.sequence, at_ns)
        self._last[subject] = last

    async def _look(self, nc: Client) -> None:
        """Take down the decisions that the stream has and we have not."""
        js = nc.jetstream(timeout=REQUEST_TIMEOUT_S)
        failed, self._unread = self._unread, False
        try:
            with jetstream_answers():
                await self._read_decisions(js, late=failed)
        except NotFoundError:
            self._next = self._next or 1  # no stream yet: all that it will have is new
        except (NatsError, OSError) as error:
            self._unread = True
            self._say("decisions_not_read", error)

    async def _read_decisions(self, js: JetStreamContext, *, late: bool) -> None:
        info = await js.stream_info(DECISIONS.name)
        first, last = info.state.first_seq, info.state.last_seq
        if self._next is None:
            self._next = last + 1
            if late:
                why = "their stream did not answer before"
                self._miss("decisions", 0, self._read_at_ns, why)
        elif self._made not in (None, info.created):
            self._miss("decisions", 0, self._read_at_ns, "their stream was made anew")
            self._next = 1
        self._made = info.created
        if first > self._next:
            why = "the stream does not have them any more"
            self._miss("decisions", first - self._next, self._read_at_ns, why)
            self._next = first
        while self._next <= last:
            with contextlib.suppress(NotFoundError):  # deleted by somebody: said below
                message = await js.get_msg(DECISIONS.name, self._next)
                self._take_decision(message.subject or "", message.data or b"")
                self._next += 1
                continue
            self._miss("decisions", 1, self._read_at_ns, "it was deleted from the stream")
            self._next += 1
        self._read_at_ns = time.time_ns()

    def _take_decision(self, subject: str, payload: bytes) -> None:
        at_ns, mono_ns = now()
        self._put(decided_of(payload, subject=subject, at_ns=at_ns, mono_ns=mono_ns))
        self._progress.decisions += 1
        self._on_decision(payload)

    def _miss(self, what: str, messages: int, since_ns: int, why: str) -> None:
        at_ns, mono_ns = now()
        self._put(
            Missed(
                at_ns=at_ns,
                mono_ns=mono_ns,
                what=what,
                messages=messages,
                since_ns=since_ns,
                why=why,
            )
        )
        self._progress.missed += 1

    def _say(self, event: str, error: Exception) -> None:
        if (unlogged := self._failures.admit()) is not None:
            what = f"{type(error).__name__}: {error}"
            _log.warning(event, error=what, unlogged_before=unlogged)
