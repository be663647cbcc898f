"""One token's book, built from `book` snapshots and `price_change` deltas.

1. A book can be used only while its `trouble` is None. Every doubt sets a trouble, and only a
   snapshot clears it: a delta-built book that missed one delta is wrong for ever.
2. `proof` is CHECKSUM only where the venue's hash over the whole book is ours, for exactly the
   version (`timestamp_ms`, `hash`) that the book has. A check that was put off proves nothing yet.
3. While in trouble, deltas are kept (CHANGES_KEPT_MAX at most) and replayed onto the snapshot; the
   result is verified by what the venue says of the last one. A snapshot older than what raised the
   doubt, or than a delta that had to be forgotten, is refused: it cannot be brought up to date.
4. The wire order of levels means nothing, except to a snapshot's own hash.
5. Prices off the market's tick grid are accepted (levels placed on a finer grid stay), but a text
   that is not a number, a price outside (0, 1) or a price named twice in one snapshot is not.
6. A method that raises has changed nothing.

It refuses to repair: what to do about a trouble is the session table's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import Final, TypeAlias

from feeder.core.checksum import Formula
from feeder.core.frames import BookEvent, PriceChange
from feeder.core.ladder import Ladder, json_of, price_of, rung, rungs
from protocol.book import Book, Proof
from protocol.units import PRICE_SCALE

CHANGES_KEPT_MAX: Final = 1_024
# A book that changes faster is hashed once in this time, and before it is published: 1,000 hashes
# a second are 1% of a core, so a flood on one market leaves the others theirs.
VERIFY_EVERY_NS: Final = 1_000_000
# A SHA-1 in hex has 40 characters. A longer word is no hash, and would be kept with its delta.
_HASH_CHARACTERS_MAX: Final = 64
# What a freshly listed market shows before anybody trades: 0.01 bid, 0.99 asked.
_PLACEHOLDER_BID_E4: Final = 100
_PLACEHOLDER_ASK_E4: Final = PRICE_SCALE - _PLACEHOLDER_BID_E4


class Trouble(StrEnum):
    """Why a book cannot be used; the closed set behind a metric's label."""

    NO_SNAPSHOT = "no_snapshot"
    """Nothing received yet on this connection."""
    TOP_MISMATCH = "top_mismatch"
    """The venue says another best bid or ask than ours: a delta was missed."""
    CHECKSUM = "checksum"
    """The venue's hash is of another book than ours, or of another than it sent."""
    CROSSED = "crossed"
    """Bids at or above asks."""
    TICK_SIZE_CHANGE = "tick_size_change"
    """A new price grid: the venue is about to send a fresh book."""
    BAD_FRAME = "bad_frame"
    """A frame was rejected that did or may have changed this book."""
    FROZEN = "frozen"
    """Others have seen newer versions: this line has stopped delivering."""
    OVERFLOW = "overflow"
    """More deltas came than are kept for a snapshot that does not come."""


class Taken(StrEnum):
    """What became of a snapshot."""

    TAKEN = "taken"
    """It is the book now."""
    OLDER = "older"
    """Older than the book, which is as before."""
    REFUSED = "refused"
    """It does not verify; the book cannot be used."""


_Kept: TypeAlias = tuple[int, PriceChange]
"""(the venue's timestamp, a delta)."""


class TokenBook:
    """The book of one token and whether it can be used."""

    __slots__ = (
        "_asks",
        "_bids",
        "_floor_ms",
        "_formula",
        "_kept",
        "_pending",
        "_verified_at_ns",
        "hash",
        "proof",
        "timestamp_ms",
        "token_id",
        "trouble",
    )

    def __init__(self, token_id: str, formula: Formula) -> None:
        self.token_id = token_id
        self._formula = formula
        self._verified_at_ns = 0
        self.reset()

    def reset(self) -> None:
        """A new connection: whatever was known, in doubt or kept is history."""
        self.trouble: Trouble | None = Trouble.NO_SNAPSHOT
        self._kept: list[_Kept] = []
        self._floor_ms = 0
        self._drop()

    def _drop(self) -> None:
        self._bids, self._asks = Ladder(ascending=True), Ladder(ascending=False)
        self.proof = Proof.NONE
        # The version that the book has; 0 and "" in trouble.
        self.timestamp_ms = 0
        self.hash = ""
        self._pending: PriceChange | None = None

    def distrust(self, trouble: Trouble, timestamp_ms: int = 0) -> None:
        """Unusable until a snapshot verifies; deltas are kept for it from now on.

        `timestamp_ms` is the venue's time of the change that is missing here, if it is known.
        """
        # Of a usable book nothing is kept, so a snapshot must have all that it had.
        self._floor_ms = max(self._floor_ms, self.timestamp_ms, timestamp_ms)
        self.trouble = trouble
        self._drop()

    def replace(self, event: BookEvent, *, from_rest: bool) -> Taken:
        """Take a whole book, then the kept deltas that are newer; this is what clears a trouble.

        What came by REST is the last word: while no hash of the market has ever matched, its
        mismatch means that the formula is not known, and the book is taken as far as it goes.

        Raises ValueError naming the field of an invalid level; the book is as before then.
        """
        if event.asset_id != self.token_id:
            raise ValueError(f"asset_id: the book of another token: {event.asset_id[:80]!r}")
        bids, asks = rungs(event.bids or (), "bids"), rungs(event.asks or (), "asks")
        outdated = self._formula.is_outdated(event)
        if self.trouble is None and event.timestamp < self.timestamp_ms:
            return Taken.OLDER
        if self.trouble is not None and event.timestamp < self._floor_ms:
            return Taken.REFUSED
        if outdated:
            return self._refuse(Trouble.TICK_SIZE_CHANGE)
        formula, proof = self._formula, Proof.TOP
        if event.hash:
            if formula.proves(event, json_of(bids), json_of(asks)):
                proof = Proof.CHECKSUM
            elif formula.confirmed or not (from_rest or formula.unknown):
                return self._refuse(Trouble.CHECKSUM)
            else:
                formula.unknown = True
        if proof is Proof.CHECKSUM or not formula.confirmed:
            formula.learn(event)
        return self._replay(
            event, proof, Ladder(ascending=True, levels=bids), Ladder(ascending=False, levels=asks)
        )

    def _replay(self, event: BookEvent, proof: Proof, bids: Ladder, asks: Ladder) -> Taken:
        """Bring a snapshot that verified up to date."""
        first_trouble: Trouble | None = None
        for changes in self._continuations(event):
            now_bids, now_asks = bids.copy(), asks.copy()
            for _, change in changes:
                _put(now_bids, now_asks, change)
            timestamp_ms, last = changes[-1] if changes else (event.timestamp, None)
            trouble = _trouble_at_top(now_bids, now_asks, last)
            if trouble is None and last is not None:
                proof = Proof.TOP
                if last.hash and not self._formula.unknown:
                    proof = Proof.CHECKSUM
                    if not self._formula.matches(
                        self.token_id, timestamp_ms, now_bids.json(), now_asks.json(), last.hash
                    ):
                        trouble = Trouble.CHECKSUM
            if trouble is None:
                self.reset()
                self.trouble = None
                self._bids, self._asks, self.proof = now_bids, now_asks, proof
                self.timestamp_ms = timestamp_ms
                self.hash = (event.hash if last is None else last.hash) or ""
                return Taken.TAKEN
            first_trouble = first_trouble or trouble
        return self._refuse(first_trouble or Trouble.CHECKSUM)

    def _continuations(self, event: BookEvent) -> Iterator[Sequence[_Kept]]:
        """Which of the kept deltas a snapshot may lack; likeliest first, verified by the caller.

        Those of the very millisecond may be in it or not. One with its hash says so: what follows
        is lacking. Else their own hashes decide, where they have some that can be checked.
        """
        # Frames may have come out of order. Stable: within a millisecond arrival is all we have.
        kept = sorted(self._kept, key=itemgetter(0))
        newer = [each for each in kept if each[0] > event.timestamp]
        equal = [each for each in kept if each[0] == event.timestamp]
        same = [at for at, (_, change) in enumerate(equal) if change.hash == event.hash]
        if event.hash and same:
            equal = equal[same[-1] + 1 :]
        elif self._formula.unknown or not (equal + newer)[-1:] or not (equal + newer)[-1][1].hash:
            equal = []
        if equal:
            yield equal + newer
        yield newer

    def _refuse(self, trouble: Trouble) -> Taken:
        self.distrust(trouble)
        return Taken.REFUSED

    def change(self, change: PriceChange, timestamp_ms: int) -> bool:
        """Apply one delta; whether it was. An older one than the book is ignored, and in trouble
        it is kept for the snapshot.

        Raises ValueError naming an invalid price or size; the book is as before then.
        """
        level = rung(change.price, change.size)
        if self.trouble is not None:
            self._keep(change, timestamp_ms)
            return False
        if timestamp_ms < self.timestamp_ms:
            return False
        (self._bids if change.side == "BUY" else self._asks).put(level)
        self.timestamp_ms = timestamp_ms
        # Another version, of which nothing is proven until `check`.
        self.hash, self.proof, self._pending = "", Proof.TOP, None
        return True

    def _keep(self, change: PriceChange, timestamp_ms: int) -> None:
        _agrees(change.best_bid, None, "best_bid")
        _agrees(change.best_ask, None, "best_ask")
        if change.hash and len(change.hash) > _HASH_CHARACTERS_MAX:
            raise ValueError(f"hash: not a hash: {change.hash[:40]!r}")
        if len(self._kept) >= CHANGES_KEPT_MAX:
            self._floor_ms = max(self._floor_ms, max(self._kept, key=itemgetter(0))[0])
            self._kept.clear()
            self.trouble = Trouble.OVERFLOW
        self._kept.append((timestamp_ms, change))

    def check(self, last: PriceChange, received_at_ns: int) -> None:
        """Compare the book with what the venue says of it in a frame's last applied delta.

        Once a frame and not once a delta, because only what a frame leaves behind is published,
        and its last hash covers all of it. Best prices first, then the hash; if the last hash was
        compared less than a millisecond ago, that is put off to a later check or to `settle`.

        Sets a trouble on a difference and on a crossed book. Raises ValueError naming the field
        when the venue's word is not a price.
        """
        if self.trouble is not None:
            return
        trouble = _trouble_at_top(self._bids, self._asks, last)
        if trouble is not None:
            self._doubt(trouble, last)
            return
        self.hash = last.hash or ""
        if not last.hash or self._formula.unknown:
            return
        self._pending = last
        # A clock that was set back must not put it off for long.
        if not 0 <= received_at_ns - self._verified_at_ns < VERIFY_EVERY_NS:
            self._verified_at_ns = received_at_ns
            self.settle()

    def settle(self) -> None:
        """Do the verification that `check` put off, if there is one. Call it before publishing."""
        last = self._pending
        if last is None:
            return
        self._pending = None
        if self._formula.matches(
            self.token_id, self.timestamp_ms, self._bids.json(), self._asks.json(), self.hash
        ):
            self.proof = Proof.CHECKSUM
        else:
            self._doubt(Trouble.CHECKSUM, last)

    def _doubt(self, trouble: Trouble, last: PriceChange) -> None:
        # The delta itself is kept: a snapshot of the same millisecond is placed by its hash.
        timestamp_ms = self.timestamp_ms
        self.distrust(trouble)
        self._kept = [(timestamp_ms, last)]

    @property
    def best(self) -> tuple[int | None, int | None]:
        """Best bid and best ask in 1e-4 USD, None for an empty side."""
        return self._bids.best_e4, self._asks.best_e4

    @property
    def is_placeholder(self) -> bool:
        """Whether nobody trades here yet: nothing is bid above 0.01 nor asked below 0.99."""
        bid_e4, ask_e4 = self.best
        return (bid_e4 is None or bid_e4 <= _PLACEHOLDER_BID_E4) and (
            ask_e4 is None or ask_e4 >= _PLACEHOLDER_ASK_E4
        )

    def published(self) -> Book:
        """What may be published of a book without trouble: the best levels of each side."""
        return Book(
            token_id=self.token_id,
            bids=self._bids.published(),
            asks=self._asks.published(),
            timestamp_ms=self.timestamp_ms,
            hash=self.hash,
        )


def _put(bids: Ladder, asks: Ladder, change: PriceChange) -> None:
    (bids if change.side == "BUY" else asks).put(rung(change.price, change.size))


def _trouble_at_top(bids: Ladder, asks: Ladder, last: PriceChange | None) -> Trouble | None:
    """Whether the best prices contradict each other or the venue's word in its last delta.

    Raises ValueError naming the field when that is not a price.
    """
    bid_e4, ask_e4 = bids.best_e4, asks.best_e4
    if last is not None and not (
        _agrees(last.best_bid, bid_e4, "best_bid") and _agrees(last.best_ask, ask_e4, "best_ask")
    ):
        return Trouble.TOP_MISMATCH
    if bid_e4 is not None and ask_e4 is not None and bid_e4 >= ask_e4:
        return Trouble.CROSSED
    return None


def _agrees(theirs: str | None, ours_e4: int | None, field: str) -> bool:
    """Whether the venue's best price is ours. For an empty side it sends "", "0" or "1"."""
    if theirs is None:
        return True
    try:
        theirs_e4 = price_of(theirs) if theirs else 0
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    return theirs_e4 == ours_e4 if ours_e4 is not None else theirs_e4 in (0, PRICE_SCALE)
