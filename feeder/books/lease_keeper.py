"""Keeps this feeder's leases: renews, takes over and gives up, on a NATS key-value bucket.

The rules are in `feeder.core.leases`; here they meet a server that may be slow, gone or empty.

1. Nothing waits longer than `attempt_s`. A try that fails is followed by another; when none
   succeeds for `lease_s - margin_s`, our leases are over, by CLOCK_BOOTTIME, which also counts
   suspension and which nobody can set.
2. The table is read from the stream's leader and written by compare-and-set on its revision.
3. The bucket is in memory and may be lost with a nats-server. A new one counts from a random
   revision, so that a write meant for the lost one is refused, and begins with a table that gives
   nothing to anybody. Holders write themselves back, all others wait for `lease_s`.
4. A stopped process (SIGSTOP, a long collection) holds nothing when it goes on later. What it had
   handed to the client before still leaves, as may what was between `epoch` and the socket: one
   book, or all books of a round, as many as the client's buffer holds. Each bears the old epoch,
   which is lower than that of whoever took over, and readers drop it, market by market.
   A virtual machine that its host halts does not count the time; there, too, the epoch decides.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import (
    BadRequestError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
    NotFoundError,
)
from nats.js.kv import KeyValue

from feeder.books.metrics import FeederMetrics
from feeder.core.leases import (
    Change,
    LeaseHolder,
    LeaseTable,
    LeaseTableError,
    decode_table,
    encode_table,
)
from runtime.line_throttle import LineThrottle
from runtime.nats import jetstream_answers

BUCKET: Final = "FEEDERS"
KEY: Final = "leases"
TRIES_MAX: Final = 10
"""In a row, when others write between our read and our write. One of each round succeeds."""
RETRY_S: Final = 0.05
PROBLEM_S: Final = 10
_STREAM: Final = f"KV_{BUCKET}"
_STREAM_NAME_IN_USE: Final = 10058  # nats-server's JSStreamNameExistErr

_log = structlog.get_logger()


class LeaseTimes(msgspec.Struct, frozen=True):
    """How long everything lasts. All feeders must use the same `lease_s`."""

    lease_s: float = 1.0
    """A dead feeder's series is taken after about this, up to two `every_s` more."""
    margin_s: float = 0.1
    """For clocks that run differently, and for what lies between a check and the socket."""
    every_s: float = 0.25
    attempt_s: float = 0.35
    """Two tries fit into a lease after a renewal that failed."""

    def next_try_s(self, began_s: float, renewed_s: float | None) -> float:
        """When to try again after a try that began then and renewed the leases at `renewed_s`, or
        failed (None)."""
        if renewed_s is None:
            return began_s + self.every_s
        # Those who met at the table count from when each got its turn, and meet no more. But a
        # lease counts from when its try began, which on a busy machine is long before.
        halfway_s = began_s + (self.lease_s - self.margin_s) / 2
        return min(renewed_s + self.every_s, halfway_s)


class LeaseKeeper:
    """`run` keeps the leases, `epoch` says what may be published now, `release` ends it all.

    `feeder_id` is another one with every start of a process. `fit` says whether this feeder has
    books to show: one that has none gives way to one that has.
    """

    def __init__(
        self,
        nc: Client,
        feeder_id: str,
        series_names: Collection[str],
        metrics: FeederMetrics,
        *,
        on_acquired: Callable[[str], None],
        on_lost: Callable[[str], None] = lambda _: None,
        fit: Callable[[], bool] = lambda: True,
        replicas: int = 1,
        times: LeaseTimes = LeaseTimes(),  # noqa: B008 - frozen
    ) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=times.attempt_s)
        self._bucket: KeyValue | None = None
        self._replicas = replicas
        self._holder = LeaseHolder(feeder_id, series_names, times.lease_s, times.margin_s)
        self._metrics = metrics
        self._on_acquired = on_acquired
        self._on_lost = on_lost
        self._fit = fit
        self._times = times
        self._one_try = asyncio.Lock()
        self._reached_s = _now_s()
        self._ever_reached = False
        self._bad_tables = LineThrottle()
        self.renewing = False
        """Whether the leases hang on an answer that is waited for."""
        self._refusal = ""
        """What NATS has refused us with since then; empty when it was only silent."""

    def epoch(self, series: str) -> int | None:
        """The epoch to publish a series with at this instant; None: it is not ours to publish."""
        return self._holder.epoch(series, _now_s())

    def problem(self) -> str | None:
        """What is wrong, for a person. Holding no lease is nothing wrong: others do."""
        silent_s = _now_s() - self._reached_s
        if self._ever_reached and silent_s <= PROBLEM_S:
            return None
        why = f": {self._refusal}" if self._refusal else ""
        return f"no answer about leases (NATS bucket {BUCKET}) for {silent_s:.0f} s{why}"

    async def run(self) -> None:
        """Renew, until cancelled. Raises ConnectionError when the client is closed for good."""
        while not self._holder.leaving:
            began_s, renewed_s = _now_s(), None
            if self._nc.is_closed:
                raise ConnectionError("NATS closed the connection for good")
            if self._nc.is_connected:  # otherwise the client would keep our writes for later
                renewed_s = _now_s() if await self._renew() else None
            self._holder.expire(_now_s())
            self._report_changes()
            next_s = self._times.next_try_s(began_s, renewed_s)
            await asyncio.sleep(max(RETRY_S, next_s - _now_s()))

    async def release(self) -> None:
        """Give everything up, so that others take over at once. Ends in bounded time."""
        self._holder.leave()
        self._report_changes()
        if self._nc.is_connected:
            await self._renew()

    async def _renew(self) -> bool:
        self.renewing = True
        try:
            async with asyncio.timeout(self._times.attempt_s), self._one_try:
                for _ in range(TRIES_MAX):
                    if await self._try():
                        self._reached_s, self._refusal = _now_s(), ""
                        self._ever_reached = True
                        return True
                    self._metrics.lease_failures["conflict"].inc()
        except TimeoutError:  # nats-py's own among them: a lost request, reply, or leader
            self._metrics.lease_failures["timeout"].inc()
        except (NatsError, OSError) as error:
            self._bucket = None
            self._metrics.lease_failures["error"].inc()
            self._refuse(f"{type(error).__name__}: {error}")
        finally:
            self.renewing = False
        return False

    def _refuse(self, reason: str) -> None:
        """One line for each new reason: there are several tries a second."""
        if reason != self._refusal:
            self._refusal = reason
            _log.warning("leases_refused", bucket=BUCKET, error=reason)

    async def _try(self) -> bool:
        """Read, propose, write. False when somebody else wrote in between."""
        holder = self._holder
        if self._bucket is None:
            with jetstream_answers():
                self._bucket = await self._open()
        bucket = self._bucket
        holder.begin(_now_s())
        try:
            with jetstream_answers():
                entry = await bucket.get(KEY)
        except KeyNotFoundError:  # also when there is no bucket
            return await self._begin_table(bucket)
        table = self._decode(entry.value or b"")
        proposed = holder.propose(table, _now_s(), time.time_ns() // 1_000_000, self._fit())
        self._report_changes()
        try:
            payload = encode_table(proposed)
            with jetstream_answers():
                await bucket.update(KEY, payload, last=entry.revision)
        except KeyWrongLastSequenceError:
            return False
        holder.written(_now_s())
        self._report_changes()
        return True

    def _decode(self, payload: bytes) -> LeaseTable:
        try:
            return decode_table(payload)
        except LeaseTableError as error:
            self._metrics.lease_failures["bad_table"].inc()
            if (unlogged := self._bad_tables.admit()) is not None:
                _log.warning("lease_table_replaced", error=str(error), unlogged_before=unlogged)
            return _new_table()

    async def _begin_table(self, bucket: KeyValue) -> bool:
        """Always False: the table is there now, for the next try."""
        try:
            payload = encode_table(_new_table())
            with jetstream_answers():
                await bucket.create(KEY, payload)
            self._metrics.lease_tables_begun.inc()
        except KeyWrongLastSequenceError:
            pass  # somebody was faster
        except NoStreamResponseError:
            self._bucket = None
        return False

    async def _open(self) -> KeyValue:
        """The bucket, made when it is missing (nats-py's own call cannot say `first_seq`).

        Its replicas become ours: as with streams, whoever opens it last wins.
        """
        try:
            config = (await self._js.stream_info(_STREAM)).config
            if config.num_replicas != self._replicas:
                config.num_replicas = self._replicas
                await self._js.update_stream(config)
                _log.info("lease_bucket_updated", bucket=BUCKET, replicas=self._replicas)
        except NotFoundError:
            try:
                await self._js.add_stream(_bucket_stream(self._replicas))
                _log.info("lease_bucket_created", bucket=BUCKET)
            except BadRequestError as error:
                if error.err_code != _STREAM_NAME_IN_USE:
                    raise
        return await self._js.key_value(BUCKET)

    def _report_changes(self) -> None:
        """Log, count and pass on what has changed."""
        for change, series, epoch in self._holder.take_changes():
            log = _log.warning if change is Change.LOST else _log.info
            log(f"lease_{change.value}", series=series, epoch=epoch)
            self._metrics.lease_changes[change].inc()
            if change is Change.ACQUIRED:
                self._on_acquired(series)
            else:
                self._on_lost(series)
        self._metrics.leases_held.set(len(self._holder.held))


def _bucket_stream(replicas: int) -> StreamConfig:
    """A key-value bucket as clients expect it: memory, no history, no expiry (see invariant 3)."""
    return StreamConfig(
        name=_STREAM,
        subjects=[f"$KV.{BUCKET}.>"],
        storage=StorageType.MEMORY,
        discard=DiscardPolicy.NEW,
        max_msgs_per_subject=1,
        allow_rollup_hdrs=True,
        allow_direct=False,  # a follower's answer may be old: harmless, but a wasted try
        deny_delete=True,
        num_replicas=replicas,
        first_seq=1 + secrets.randbits(40),
    )


def _new_table() -> LeaseTable:
    return LeaseTable(secrets.token_hex(8))


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
