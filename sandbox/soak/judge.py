"""Judges every snapshot that feeders publish by what the simulated venue knows.

1. A published book equals the venue's book at the version (its hash) that it claims to be.
2. After fencing, as a worker does it (a lower epoch than one seen is dropped), a market's versions
   and sequences never go back.
3. A snapshot is not older than a second when it is published, by the feeder's own account.

A version so old that the venue need not remember it is counted, not judged.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final, Protocol, TypeAlias

import msgspec
from nats.aio.msg import Msg

from protocol.book import PUBLISHED_LEVELS_MAX, Book, Level, Proof
from protocol.snapshot import BookSnapshot, ProtocolError, decode_snapshot

Levels: TypeAlias = tuple[tuple[Level, ...], tuple[Level, ...]]
AGE_MAX_MS: Final = 1_000
REMEMBERED_MS: Final = 2_000
"""What a venue was asked to remember is older than this."""
VIOLATIONS_KEPT_MAX: Final = 50


class Truth(Protocol):
    """What the judge needs of a venue."""

    def version(self, token_id: str, version_hash: str) -> Levels | None:
        """(bids, asks) best first of the version with this hash, None when not remembered."""


class Seen(msgspec.Struct):
    """The newest snapshot of one market."""

    epoch: int
    sequence: int
    venue_timestamp_ms: int
    at_s: float
    """`time.monotonic` of its arrival."""
    proof: Proof


class Judge:
    """`on_snapshot` is a callback of a NATS subscription."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.seen: dict[str, Seen] = {}
        """By condition id."""
        self.proofs: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        """`judged` and `forgotten` books, `fenced` snapshots."""
        self.violations: list[str] = []
        self.pauses: dict[str, float] = {}
        """Condition id -> the longest time between two snapshots since `take_pauses`, seconds."""

    async def on_snapshot(self, message: Msg) -> None:
        """Judge one message."""
        try:
            snapshot = decode_snapshot(message.data)
        except ProtocolError as error:
            self._violate(f"does not decode: {error}")
            return
        self._order(snapshot)
        self.proofs[snapshot.proof.value] += 1
        if snapshot.proof is Proof.NONE:
            return
        age_ms = (snapshot.published_at_ns - snapshot.received_at_ns) / 1e6
        if age_ms > AGE_MAX_MS:
            self._violate(f"{snapshot.market.slug}: {age_ms:.0f} ms old when it was published")
        for book in snapshot.books:
            self._judge(snapshot, book)

    def take_pauses(self) -> dict[str, float]:
        """The longest pauses so far, counted anew from now on."""
        now_s = time.monotonic()
        for condition_id, seen in self.seen.items():
            self._note_pause(condition_id, now_s - seen.at_s)
        pauses, self.pauses = self.pauses, {}
        return pauses

    def forget(self, condition_id: str) -> None:
        """The market has ended."""
        self.seen.pop(condition_id, None)
        self.pauses.pop(condition_id, None)

    def _order(self, snapshot: BookSnapshot) -> None:
        condition_id, now_s = snapshot.market.condition_id, time.monotonic()
        before = self.seen.get(condition_id)
        if before is not None:
            if snapshot.epoch < before.epoch:
                self.counts["fenced"] += 1
                return
            if snapshot.epoch == before.epoch and snapshot.sequence <= before.sequence:
                self._violate(
                    f"{snapshot.market.slug}: sequence {snapshot.sequence} after {before.sequence}"
                )
            # Two feeders race: the one that takes over may be a moment behind the one that lost.
            if (
                snapshot.epoch == before.epoch
                and snapshot.venue_timestamp_ms < before.venue_timestamp_ms
            ):
                self._violate(f"{snapshot.market.slug}: the version went back")
            self._note_pause(condition_id, now_s - before.at_s)
        self.seen[condition_id] = Seen(
            snapshot.epoch,
            snapshot.sequence,
            snapshot.venue_timestamp_ms,
            now_s,
            snapshot.proof,
        )

    def _note_pause(self, condition_id: str, pause_s: float) -> None:
        self.pauses[condition_id] = max(self.pauses.get(condition_id, 0.0), pause_s)

    def _judge(self, snapshot: BookSnapshot, book: Book) -> None:
        truth = self._truth.version(book.token_id, book.hash)
        if truth is None:
            age_ms = time.time_ns() // 1_000_000 - book.timestamp_ms
            if age_ms > REMEMBERED_MS:
                self.counts["forgotten"] += 1
            else:
                self._violate(f"{snapshot.market.slug}: the venue has no version {book.hash!r}")
            return
        self.counts["judged"] += 1
        bids, asks = truth
        if book.bids != bids[:PUBLISHED_LEVELS_MAX] or book.asks != asks[:PUBLISHED_LEVELS_MAX]:
            self._violate(
                f"{snapshot.market.slug}: a book of {book.token_id[:8]}... with proof "
                f"{snapshot.proof.value} differs from the venue's version {book.hash}"
            )

    def _violate(self, text: str) -> None:
        self.counts["violations"] += 1
        if len(self.violations) < VIOLATIONS_KEPT_MAX:
            self.violations.append(text)
