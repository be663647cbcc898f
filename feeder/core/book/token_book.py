"""One token's book, built from `book` snapshots and `price_change` deltas.

A *version* of a book is what the venue names by a timestamp and a hash. A trade sends several
frames for one version, one level each, all with the hash and best prices that the last of them
leads to; and about one hash in ten thousand includes the next change already (measured on captures
of the real channel). So a difference is not a fault at once: the book is *unproven* until the next
match. A match proves all of it, whatever went before.

1. A book can be used only while its `trouble` is None, and shown only while it is `proven`. Every
   doubt sets a trouble, and only a snapshot clears it. Unproven for VERSIONS_UNPROVEN_MAX further
   versions or UNPROVEN_MAX_NS is a doubt: a change was missed.
2. `proof` is CHECKSUM only where the venue's hash over the whole book is ours, for exactly the
   version (`timestamp_ms`, `hash`) that the book has. A check that was put off proves nothing yet.
3. While in trouble, deltas are buffered (CHANGES_BUFFERED_MAX at most) and applied to the snapshot;
   the result is verified by what the venue says of the last one. A snapshot older than what raised
   the doubt, or than a delta that had to be forgotten, is refused: it cannot be brought up to date.
4. The wire order of levels means nothing, except to a snapshot's own hash.
5. Prices off the market's tick grid are accepted (levels placed on a finer grid stay), but a text
   that is not a number, a price outside (0, 1) or a price named twice in one snapshot is not.
6. A method that raises, and a snapshot that is refused, have changed nothing.

It refuses to repair: what to do about a trouble is the session's business.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from feeder.core.book.book_step import BookStep
from feeder.core.book.buffered_changes import BufferedChange, changes_after, with_changes
from feeder.core.book.checksum import BookChecksum
from feeder.core.book.ladder import Ladder, Sides, json_of, parse_level, parse_levels
from feeder.core.book.stated_best import agrees, names_top, trouble_at_top
from feeder.core.book.trouble import SnapshotResult, Trouble
from protocol.book import Book, Proof
from venue.wire.market_channel import BookEvent, PriceChange

__all__ = ["NOT_PROVEN", "SnapshotResult", "TokenBook", "Trouble"]

CHANGES_BUFFERED_MAX: Final = 1_024
# Real divergences go on for ever; on a perfect stream the next version nearly always matches, and
# the longest of 17 episodes in 45 minutes of two busy markets was 0.75 s.
VERSIONS_UNPROVEN_MAX: Final = 3
UNPROVEN_MAX_NS: Final = 1_000_000_000
# A search through all trade prices costs 0.7 ms. A version of several frames may need more than
# one, if its top is right before its last frame has come.
SEARCHES_MAX: Final = 4
# A book that changes faster is hashed once in this time, and before it is published: 1,000 hashes
# a second are 1% of a core, so a flood on one market leaves the others theirs.
VERIFY_EVERY_NS: Final = 1_000_000
# A SHA-1 in hex has 40 characters. A longer word is no hash, and would be buffered with its delta.
_HASH_CHARACTERS_MAX: Final = 64
# Deltas of one millisecond that are remembered, because the venue repeats whole frames within a
# few milliseconds. Not their hashes: a book may return to a state of the same millisecond.
_PRESENT_MAX: Final = 32
# Bound once: Python 3.11 looks each member up by a call, a fifth of a microsecond each time.
NOT_PROVEN: Final = Proof.NONE
_BY_TOP: Final = Proof.TOP
_BY_CHECKSUM: Final = Proof.CHECKSUM

_Version: TypeAlias = tuple[int, str]
"""(timestamp, hash): how the venue names one state of a book."""


class TokenBook:
    """The book of one token, whether it can be used, and what is proven of it.

    `timestamp_ms` and `hash` are the venue's name of its version, 0 and "" in trouble.
    `unproven_since_ns` is when the first check failed since the last one that did not.
    """

    __slots__ = (
        "_buffered",
        "_checksum",
        "_failed",
        "_failed_versions",
        "_failure",
        "_floor_ms",
        "_pending_at_ns",
        "_present",
        "_searched",
        "_searches",
        "_verified_at_ns",
        "hash",
        "proof",
        "sides",
        "timestamp_ms",
        "token_id",
        "trouble",
        "unproven_since_ns",
    )

    def __init__(self, token_id: str, checksum: BookChecksum) -> None:
        self.token_id = token_id
        self._checksum = checksum
        self._verified_at_ns = 0
        self._present: tuple[PriceChange, ...] = ()
        self.timestamp_ms = 0
        self._searched: _Version | None = None
        self._searches = 0
        self.reset()

    def reset(self) -> None:
        """A new connection: whatever was known, in doubt or buffered is history."""
        self._buffered: list[BufferedChange] = []
        self._floor_ms = 0
        self._drop(Trouble.NO_SNAPSHOT)

    def distrust(self, trouble: Trouble, timestamp_ms: int = 0) -> None:
        """Unusable until a snapshot verifies; deltas are buffered for it from now on.

        `timestamp_ms` is the venue's time of the change that is missing here, if it is known.
        """
        # Of a usable book nothing is buffered, so a snapshot must have all that it had.
        self._floor_ms = max(self._floor_ms, self.timestamp_ms, timestamp_ms)
        if trouble is Trouble.BAD_FRAME:
            self._forget()  # there is a gap in the buffer, and nobody knows where
        self._drop(trouble)

    def _drop(self, trouble: Trouble) -> None:
        empty = Sides(Ladder.of(ascending=True), Ladder.of(ascending=False))
        self._set(empty, (0, ""), NOT_PROVEN)
        self._note_proven()  # whatever failed is over: it is in trouble
        self.trouble: Trouble | None = trouble

    def _set(self, sides: Sides, version: _Version, proof: Proof) -> None:
        self.sides, self.proof = sides, proof
        if version[0] != self.timestamp_ms:
            self._present = ()
        self.timestamp_ms, self.hash = version
        self._pending_at_ns: int | None = None

    def _forget(self) -> None:
        """What was buffered is of no use; a snapshot must have it already."""
        self._floor_ms = max([self._floor_ms, *(at_ms for at_ms, _ in self._buffered)])
        self._buffered.clear()

    # ---- snapshots -----------------------------------------------------------------------------

    def replace(self, event: BookEvent, *, from_rest: bool) -> SnapshotResult:
        """Take a whole book, then the buffered deltas that are newer; only this clears a trouble.

        Of the channel also one that does not verify, as unproven, unless it were to end a doubt.
        Of `GET /book` only one that does; but if no hash of this market has ever matched, then a
        mismatch shows that not all inputs of the hash are known, and only its top proves the book.

        Raises ValueError naming the field of an invalid level; the book is as before then.
        """
        if event.asset_id != self.token_id:
            raise ValueError(f"asset_id: the book of another token: {event.asset_id[:80]!r}")
        if self.proof is _BY_CHECKSUM and event.hash == self.hash:
            return SnapshotResult.OLDER  # what a trade ends with, nearly always
        if event.hash and event.hash in {each.hash for each in self._present} - {self.hash}:
            return SnapshotResult.OLDER  # of a millisecond that has gone on since
        bids, asks = parse_levels(event.bids or (), "bids"), parse_levels(event.asks or (), "asks")
        checksum = self._checksum
        outdated = checksum.is_outdated(event)
        if self.trouble is None:
            if outdated or event.timestamp < self.timestamp_ms:
                return SnapshotResult.OLDER
        elif outdated or event.timestamp < self._floor_ms:
            return SnapshotResult.REFUSED
        sides = Sides(Ladder.of(bids, ascending=True), Ladder.of(asks, ascending=False))
        proof = _BY_TOP
        if event.hash:
            if checksum.proves(event, json_of(bids), json_of(asks)):
                proof = _BY_CHECKSUM
            elif from_rest and not checksum.confirmed:
                checksum.unknown = True
            elif not checksum.unknown:
                proof = NOT_PROVEN
        if proof is _BY_CHECKSUM or (proof is _BY_TOP and not checksum.confirmed):
            checksum.learn(event)
        if proof is _BY_CHECKSUM:
            sides.version, sides.words = (event.timestamp, event.hash or ""), checksum.words
        may_stay_unproven = not from_rest and self.trouble in (None, Trouble.NO_SNAPSHOT)
        return self._take((event.timestamp, event.hash or ""), sides, proof, may_stay_unproven)

    def adopt(self, other: TokenBook) -> bool:
        """End a doubt with the other line's book, brought up to date like a snapshot; whether that
        worked. The venue's hash proves it, whichever connection it came by."""
        if (
            self.trouble is None
            or other.proof is not _BY_CHECKSUM
            or other.timestamp_ms < self._floor_ms
        ):
            return False
        version = other.timestamp_ms, other.hash
        return self._take(version, other.sides, _BY_CHECKSUM, False) is SnapshotResult.TAKEN

    def _take(
        self, own: _Version, snapshot: Sides, own_proof: Proof, may_stay_unproven: bool
    ) -> SnapshotResult:
        """Bring a snapshot up to date and install it, if the outcome is proven."""
        for changes in changes_after(self._buffered, own, by_hash=not self._checksum.unknown):
            sides, version, proof = snapshot, own, own_proof
            if changes:
                sides = with_changes(snapshot, changes)
                timestamp_ms, last = changes[-1]
                version = timestamp_ms, last.hash or ""
                proof = self._proof(sides, version, last)
            if proof is not NOT_PROVEN and trouble_at_top(sides, None) is None:
                self._install(sides, version, proof)
                self._note_proven()
                return SnapshotResult.TAKEN
        if not may_stay_unproven:
            return SnapshotResult.REFUSED
        self._install(sides, version, NOT_PROVEN)
        self._fail(trouble_at_top(sides, None) or Trouble.CHECKSUM, None)
        return SnapshotResult.TAKEN

    def _install(self, sides: Sides, version: _Version, proof: Proof) -> None:
        self._buffered.clear()
        self._floor_ms = 0
        self.trouble = None
        self._set(sides, version, proof)

    def _proof(self, sides: Sides, version: _Version, last: PriceChange) -> Proof:
        """What the venue says of its last delta proves of these sides."""
        if trouble_at_top(sides, last) is not None:
            return NOT_PROVEN
        if last.hash and not self._checksum.unknown:
            return _BY_CHECKSUM if self._matches(sides, version, search=True) else NOT_PROVEN
        return _BY_TOP if names_top(last) else NOT_PROVEN

    # ---- deltas --------------------------------------------------------------------------------

    def change(self, change: PriceChange, timestamp_ms: int) -> bool:
        """Apply one delta; whether it was. An older one, or the same again, is ignored; in trouble
        it is buffered.

        Raises ValueError naming an invalid price or size; the book is as before then.
        """
        if self.trouble is not None:
            self._buffer(change, timestamp_ms)
            return False
        if timestamp_ms < self.timestamp_ms:
            return False
        level = parse_level(change.price, change.size)
        if timestamp_ms != self.timestamp_ms:
            self.timestamp_ms, self._present = timestamp_ms, (change,)
        elif change.hash and change in self._present:
            return False
        else:
            self._present = (*self._present, change)[-_PRESENT_MAX:]
        self.sides, self.hash = self.sides.with_level(change.side, level), change.hash or ""
        # What is proven of it is for `check` to say.
        self.proof, self._pending_at_ns = NOT_PROVEN, None
        return True

    def _buffer(self, change: PriceChange, timestamp_ms: int) -> None:
        # Whatever a replay could stumble over is refused here.
        parse_level(change.price, change.size)
        agrees(change.best_bid, None, "best_bid")
        agrees(change.best_ask, None, "best_ask")
        if change.hash and len(change.hash) > _HASH_CHARACTERS_MAX:
            raise ValueError(f"hash: not a hash: {change.hash[:40]!r}")
        if len(self._buffered) >= CHANGES_BUFFERED_MAX:
            self._forget()
            self.trouble = Trouble.OVERFLOW
        self._buffered.append((timestamp_ms, change))

    def check(self, last: PriceChange, received_at_ns: int) -> Trouble | None:
        """Compare the book with what the venue says of it in a frame's last applied delta.

        Once a frame and not once a delta, because only what a frame leaves behind is shown. Best
        prices first, then the hash; if a hash was compared less than a millisecond ago, that is
        put off to a later check or to `verify_deferred`, and until then the proof is the top.

        Returns what contradicts the best prices. Raises ValueError naming the field when the
        venue's word is not a price.
        """
        if self.trouble is not None:
            return None
        difference = trouble_at_top(self.sides, last)
        self._judge(last, difference, received_at_ns)
        return difference

    def _judge(self, last: PriceChange, difference: Trouble | None, received_at_ns: int) -> None:
        if difference is None and last.hash and not self._checksum.unknown:
            # A clock that was set back must not put it off for long.
            if 0 <= received_at_ns - self._verified_at_ns < VERIFY_EVERY_NS:
                self.proof, self._pending_at_ns = _BY_TOP, received_at_ns
            else:
                self._verified_at_ns = received_at_ns
                self._verify(received_at_ns)
        elif difference is None and names_top(last):
            self.proof = _BY_TOP
            self._note_proven()
        else:
            self._fail(difference or Trouble.TOP_MISMATCH, received_at_ns)

    def may_follow(self, step: BookStep, timestamp_ms: int) -> bool:
        """Whether a frame of this time, that another line's book has made this step with, would do
        the very same to this one."""
        sides, before = self.sides, step.before
        if self.trouble is not None or not (sides is before or sides.same_as(before)):
            return False
        if timestamp_ms == self.timestamp_ms:
            return not any(each.hash and each in self._present for each in step.changes)
        return timestamp_ms > self.timestamp_ms

    def follow(self, step: BookStep, timestamp_ms: int, received_at_ns: int) -> None:
        """`change` and `check` of a whole frame that `may_follow`."""
        changes = step.changes
        if timestamp_ms != self.timestamp_ms:
            self.timestamp_ms, self._present = timestamp_ms, changes
        else:
            self._present = (*self._present, *changes)[-_PRESENT_MAX:]
        last = changes[-1]
        self.sides, self.hash = step.after, last.hash or ""
        self.proof, self._pending_at_ns = NOT_PROVEN, None
        self._judge(last, step.difference, received_at_ns)

    def verify_deferred(self) -> None:
        """Do the verification that `check` put off, if there is one. Call it before showing."""
        at_ns = self._pending_at_ns
        if at_ns is None:
            return
        self._pending_at_ns = None
        if self._checksum.unknown:  # as a snapshot has shown meanwhile
            self._note_proven()
        else:
            self._verify(at_ns)

    def _verify(self, at_ns: int) -> None:
        version = self.timestamp_ms, self.hash
        if version != self._searched:
            self._searched, self._searches = version, 0
        sides = self.sides
        # Another line's book has shown it of these very sides, and would be told the same again.
        if (sides.version == version and sides.words == self._checksum.words) or self._matches(
            sides, version, search=self._searches < SEARCHES_MAX
        ):
            self.proof = _BY_CHECKSUM
            if self._failed_versions:
                self._note_proven()
        else:
            self._searches += 1
            self._fail(Trouble.CHECKSUM, at_ns)

    def _matches(self, sides: Sides, version: _Version, *, search: bool) -> bool:
        checksum = self._checksum
        timestamp_ms, wanted = version
        matched = checksum.matches(
            self.token_id,
            timestamp_ms,
            sides.bids.json(),
            sides.asks.json(),
            wanted,
            search=search,
            changes=self._present,
        )
        if matched:
            sides.version, sides.words = version, checksum.words
        return matched

    def matches_hash(self) -> bool:
        """Whether this version has the venue's hash; nothing is concluded from it."""
        return self._matches(self.sides, (self.timestamp_ms, self.hash), search=True)

    def doubt_if_overdue(self, now_ns: int) -> bool:
        """Doubt it when nothing has proven it for too long; whether it is in trouble by this."""
        if self.trouble is not None:
            return False
        if not self.proven and self._failure is Trouble.CHECKSUM and self.hash:
            self._pending_at_ns = now_ns  # the trade price may have come meanwhile
        self.verify_deferred()
        if self.trouble is None and not self.proven:
            self._fail(self._failure, now_ns)
        return self.trouble is not None

    @property
    def proven(self) -> bool:
        """Whether it may be shown; ask again after `verify_deferred`."""
        return self.proof is not NOT_PROVEN

    @property
    def settled(self) -> bool:
        """Whether it is proven and nothing was put off: time alone changes nothing of it."""
        return self.proof is not NOT_PROVEN and self._pending_at_ns is None

    def _note_proven(self) -> None:
        self.unproven_since_ns: int | None = None
        self._failed: _Version | None = None
        self._failed_versions = 0
        self._failure = Trouble.CHECKSUM

    def _fail(self, failure: Trouble, at_ns: int | None) -> None:
        """The present version is not proven. `at_ns` None: at a time that is not known."""
        self.proof, self._pending_at_ns, self._failure = NOT_PROVEN, None, failure
        version = self.timestamp_ms, self.hash
        if version != self._failed:
            self._failed = version
            self._failed_versions += 1
        overdue = False
        if at_ns is not None:
            since_ns = at_ns if self.unproven_since_ns is None else self.unproven_since_ns
            self.unproven_since_ns = min(since_ns, at_ns)  # a clock may be set back
            overdue = at_ns - self.unproven_since_ns >= UNPROVEN_MAX_NS
        if overdue or self._failed_versions > 1 + VERSIONS_UNPROVEN_MAX:
            self.distrust(failure)

    # ---- what it says --------------------------------------------------------------------------

    @property
    def best(self) -> tuple[int | None, int | None]:
        """Best bid and best ask in 1e-4 USD, None for an empty side."""
        sides = self.sides
        return sides.bids.best_e4, sides.asks.best_e4

    @property
    def is_placeholder(self) -> bool:
        """Whether nobody trades here yet."""
        return self.sides.is_placeholder

    def published(self) -> Book:
        """What may be published of a book without trouble: the best levels of each side."""
        return Book(
            token_id=self.token_id,
            bids=self.sides.bids.published(),
            asks=self.sides.asks.published(),
            timestamp_ms=self.timestamp_ms,
            hash=self.hash,
        )
