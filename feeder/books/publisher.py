"""Publishes the newest state of each market on JetStream; nothing ever queues.

1. At most one publish a market is under way. What changes meanwhile only marks the market; its
   snapshot is built when it is sent, so it is the newest, and costs nothing until then. It is that
   of the market as it is followed then, whose tokens may have changed.
2. Of books that are sent at once only the last one asks for an acknowledgement, which is for all of
   them: a stream takes what comes by one connection in its order. Until then all are under way; a
   refusal, or silence, is of all of them. The stream numbers what it takes: if it has taken fewer
   than were sent (it was made anew meanwhile, or a cluster changed its leader), all are sent again.
   Where others publish meanwhile that may go unnoticed; the market's next change replaces it.
3. A publish that fails is not repeated: the market is marked again, and its newest state is sent
   while that is fresh (a worker would refuse an older one anyway).
4. While NATS is disconnected nothing is handed to the client, which would buffer it.
5. A market that has ended or has nothing to show is never sent, marked or not; nor is one whose
   series is not ours at that instant: its lease is asked for right before each snapshot is built.
6. NATS that does not answer is handed one book a second, as a question, until it does. What was
   handed to the client would wait in its buffers, and leave, old, before anything fresh.
7. At once is sent what fits into the client's buffer. What does not stays marked, and goes when
   that is acknowledged.
8. A lost stream is restored beside all that: the answer may take seconds, and other books need not
   wait for it.

What is offered is written to the socket before `offer` returns, and what was marked meanwhile when
its market's acknowledgement is read: no task has to wake up for either. But while more frames come
than are taken, a task sends in rounds, so that a burst of frames costs few snapshots a market, and
pauses between its turns, so that frames have most of the time. It also sends what failed.
Acknowledgements come to one inbox; the client's own `publish_async` would add a future, a semaphore
and two callbacks to every book.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import SessionTable
from protocol.book import PUBLISHED_LEVELS_MAX
from protocol.snapshot import UNDECODABLE, encode_snapshot, with_bids
from protocol.subjects import BOOKS, book_subject
from runtime.line_throttle import LineThrottle
from runtime.nats import StreamMismatchError, ensure_stream
from runtime.nats_client import NatsClient
from runtime.process import first_failure

# An ack takes a fraction of a millisecond; after this long the message or its ack is lost.
ACK_TIMEOUT_S: Final = 1.0
FRESH_MAX_S: Final = 1.0
"""Workers refuse books older than a second by default."""
SWEEP_EVERY_S: Final = 0.1
BEHIND_PAUSE: Final = 4
"""While frames wait, sending takes a fifth of the time."""
BEHIND_PAUSE_MAX_S: Final = 0.05
REPAIR_EVERY_S: Final = 1.0
REPAIR_TIMEOUT_S: Final = 2.0
UNACKNOWLEDGED_S: Final = 3.0
FORGET_S: Final = 15.0
"""After so long without a send, it is no problem of ours that none was acknowledged. Leases, which
end when NATS is silent, report it by then."""
ROOM_KEPT_BYTES: Final = 1 << 16
"""Far more than a book takes."""
_COMMAND_BYTES: Final = 256
"""What stands around a book: its subject, where the answer is to go, its length."""
_STREAM_NOT_FOUND: Final = 10059  # nats-server's JSStreamNotFoundErr

_log = structlog.get_logger()
_subject: Final = lru_cache(maxsize=1024)(book_subject)


class _Book(msgspec.Struct, frozen=True):
    session: MarketSession
    payload: bytes
    age_s: float


class _Flight(msgspec.Struct, frozen=True):
    sessions: tuple[MarketSession, ...]
    """Whose books one acknowledgement is for."""
    sent_at_s: float
    connection: int
    """How often the client had reconnected then."""


class _AckError(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    error: _AckError | None = None
    seq: int = 0
    """The stream's number of the message, from 1 on."""


_decode_ack: Final = msgspec.json.Decoder(_Ack).decode


class Publisher:
    """`offer` a market whenever its books changed, while `run` runs."""

    def __init__(
        self,
        nc: NatsClient,
        table: SessionTable,
        metrics: FeederMetrics,
        epoch_of: Callable[[str], int | None],
        replicas: int = 1,
        behind: Callable[[], bool] = lambda: False,
        bids_max: int = PUBLISHED_LEVELS_MAX,
    ) -> None:
        """`bids_max`: how many bids of a book are published at most."""
        self._nc = nc
        self._behind = behind
        self._replicas, self._bids_max = replicas, bids_max
        self._js = nc.jetstream(timeout=REPAIR_TIMEOUT_S)
        self._table = table
        self._metrics = metrics
        self._epoch_of = epoch_of
        """The epoch that a series may be published with at this instant; None: it is not ours."""
        self._inbox = nc.new_inbox()
        self._attempts = 0
        self._marked: dict[str, None] = {}
        """Condition ids of markets with something to send, longest waiting first."""
        self._left = False
        """Whether some of them did not fit into the client's buffer."""
        self._flying: set[str] = set()
        """Markets whose publish is under way."""
        self._flights: dict[str, _Flight] = {}
        """Publishes under way, by the last part of their reply subject."""
        self._wake = asyncio.Event()
        """The sending task is to send what is marked, and nobody else until then."""
        self._wake.set()
        self._damaged = asyncio.Event()
        """The stream may be lost."""
        self._answered_s = self._sent_s = float("-inf")
        self._silent = False
        """Whether something went unanswered, and nothing has been answered since it was sent."""
        self._unacknowledged_since_s: float | None = None
        self._seq = 0
        """The highest number of which we know in the present stream."""
        self._failures = LineThrottle()

    def offer(self, session: MarketSession) -> None:
        """The market's books changed; they are as they are to be shown."""
        condition_id = session.info.condition_id
        if condition_id in self._marked:
            self._metrics.series[session.info.series].conflated.inc()
            return
        self._marked[condition_id] = None
        if condition_id not in self._flying:
            self._send_soon([condition_id])

    async def run(self) -> None:
        """Send what is offered, until cancelled."""
        await self._nc.handle(f"{self._inbox}.*", self._on_ack)
        try:
            await first_failure(self._send_rounds(), self._sweep(), self._keep_stream())
        finally:
            self._wake.set()  # and nobody sends

    def problem(self) -> str | None:
        """What is wrong, for a person. Nothing is while nothing needs to be sent."""
        since_s, now_s = self._unacknowledged_since_s, time.monotonic()
        if since_s is None or now_s - self._sent_s > FORGET_S:
            return None
        if now_s - since_s <= UNACKNOWLEDGED_S:
            return None
        return f"NATS has acknowledged no book for {now_s - since_s:.0f} s"

    async def _send_rounds(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            began_s = time.monotonic()
            self._send([each for each in self._marked if each not in self._flying])
            if self._behind():
                took_s = time.monotonic() - began_s
                await asyncio.sleep(min(BEHIND_PAUSE * took_s, BEHIND_PAUSE_MAX_S))

    def _send_soon(self, condition_ids: list[str]) -> None:
        """Send these markets, which are marked and not under way: now, or in the next round."""
        if self._wake.is_set() or self._behind():
            self._wake.set()
        else:
            self._send(condition_ids)

    def _send(self, condition_ids: list[str]) -> None:
        """Send these markets; the acknowledgement of the last book is for all of them."""
        if self._silent:  # one book is question enough
            condition_ids = [] if self._flights else condition_ids[:1]
        books, room_bytes = list[_Book](), self._nc.room_bytes
        for condition_id in condition_ids:
            if room_bytes < ROOM_KEPT_BYTES:
                self._left = True
                break
            del self._marked[condition_id]
            session = self._table.get(condition_id)
            book = None if session is None else self._built(session)
            if book is not None:
                books.append(book)
                room_bytes -= len(book.payload) + _COMMAND_BYTES
        if not books:
            return
        *others, asking = books
        sent = [book.session for book in others if self._publish(book)]
        self._attempts += 1
        attempt = str(self._attempts)
        if not self._publish(asking, reply=f"{self._inbox}.{attempt}"):
            for session in sent:  # nobody will say what became of them
                self._failed(session, "error")
            return
        sessions = (*sent, asking.session)
        self._sent_s = time.monotonic()
        self._flights[attempt] = _Flight(sessions, self._sent_s, self._nc.stats["reconnects"])
        self._flying.update(each.info.condition_id for each in sessions)
        if self._unacknowledged_since_s is None:
            self._unacknowledged_since_s = self._sent_s

    def _built(self, session: MarketSession) -> _Book | None:
        """The market's snapshot as it is now, None when there is none to send."""
        if not (session.ready or session.dark):
            session.show_nothing()
            return None
        epoch = self._epoch_of(session.info.series)
        if epoch is None:  # another feeder sends it; when it becomes ours it is offered again
            self._metrics.publish_failures["not_leased"].inc()
            return None
        if not self._nc.is_connected:
            self._failed(session, "disconnected")
            return None
        published_at_ns = time.time_ns()
        snapshot = self._table.snapshot(session, published_at_ns, epoch)
        if snapshot is None:
            return None
        age_s = (published_at_ns - snapshot.received_at_ns) / 1e9
        if age_s > FRESH_MAX_S:
            self._metrics.publish_failures["stale"].inc()
            return None
        if self._bids_max < PUBLISHED_LEVELS_MAX:
            snapshot = with_bids(snapshot, self._bids_max)
        return _Book(session, encode_snapshot(snapshot), age_s)

    def _publish(self, book: _Book, reply: str = "") -> bool:
        """Hand a book to the client; it is written with the one that asks for `reply`."""
        info = book.session.info
        subject = _subject(info.series, info.condition_id)
        try:
            self._nc.publish_nowait(subject, book.payload, reply, more=not reply)
        except NatsError as error:
            if (unlogged := self._failures.admit()) is not None:
                what = f"{type(error).__name__}: {error}"
                _log.warning("publish_failed", error=what, unlogged_before=unlogged)
            self._failed(book.session, "error")
            return False
        self._metrics.book_age.observe(book.age_s)
        return True

    def _on_ack(self, message: Msg) -> None:
        self._answered_s = time.monotonic()
        if self._silent:
            self._silent = False
            self._wake.set()
        flight = self._landed(message.subject.rpartition(".")[2])
        if flight is None:
            return  # given up before, and counted then
        fault = self._fault_of(message, len(flight.sessions))
        if fault is not None:
            self._damaged.set()
            for session in flight.sessions:
                self._failed(session, fault)
            return
        self._unacknowledged_since_s = None
        changed = []
        for session in flight.sessions:
            self._metrics.series[session.info.series].published.inc()
            if session.info.condition_id in self._marked:
                changed.append(session.info.condition_id)
        if self._left:
            self._left = False
            self._wake.set()
        elif changed:
            self._send_soon(changed)

    def _fault_of(self, message: Msg, books: int) -> str | None:
        """What the answer to so many books says is wrong, None if the stream has all of them."""
        if message.headers and message.headers.get("Status") == "503":
            return "no_stream"  # nobody listens on the subject
        try:
            ack = _decode_ack(message.data)
        except UNDECODABLE:
            return "refused"
        if ack.error is not None:
            return "no_stream" if ack.error.err_code == _STREAM_NOT_FOUND else "refused"
        before = self._seq if ack.seq > self._seq else 0  # one that was made anew begins again
        self._seq = ack.seq
        return "refused" if ack.seq - before < books else None

    def _landed(self, attempt: str) -> _Flight | None:
        flight = self._flights.pop(attempt, None)
        if flight is not None:
            self._flying.difference_update(each.info.condition_id for each in flight.sessions)
        return flight

    def _failed(self, session: MarketSession, fault: str) -> None:
        """Count it and mark the market again; the sweep, not we, wakes the sender."""
        self._metrics.publish_failures[fault].inc()
        self._marked.setdefault(session.info.condition_id)

    async def _sweep(self) -> None:
        """Give up on lost publishes, and retry what failed."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            if self._nc.is_closed:  # the client gives up for good on some server errors
                raise ConnectionError("NATS closed the connection for good")
            connected, now_s = self._nc.is_connected, time.monotonic()
            for attempt, flight in tuple(self._flights.items()):
                # A reconnect may be over before we look.
                lost = not connected or flight.connection != self._nc.stats["reconnects"]
                if lost or now_s - flight.sent_at_s > ACK_TIMEOUT_S:
                    self._landed(attempt)
                    for session in flight.sessions:
                        self._failed(session, "disconnected" if lost else "timeout")
                    self._damaged.set()
                    self._silent |= self._answered_s < flight.sent_at_s
            if connected and self._marked:
                self._wake.set()

    async def _keep_stream(self) -> None:
        """Restore the stream when it may be lost, once a second at most."""
        while True:
            await self._damaged.wait()
            if self._nc.is_connected:
                self._damaged.clear()
                await self._restore_stream()
            await asyncio.sleep(REPAIR_EVERY_S if self._nc.is_connected else SWEEP_EVERY_S)

    async def _restore_stream(self) -> None:
        """A restarted nats-server has lost the stream, which is in its memory."""
        try:
            async with asyncio.timeout(2 * REPAIR_TIMEOUT_S):
                await ensure_stream(self._js, BOOKS, self._replicas)
        except (NatsError, TimeoutError, StreamMismatchError) as error:
            self._damaged.set()
            _log.warning("stream_not_restored", error=f"{type(error).__name__}: {error}")
