"""One market as one line shows it: both books, and what they have still to show.

1. Usable while both books are without trouble; only then can it be shown, and only while both are
   proven.
2. What was seen elsewhere has to come here in time; a book on which it does not is frozen.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeAlias

from feeder.core.book.book_step import BookStep
from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import NOT_PROVEN, TokenBook, Trouble
from feeder.core.book.version_order import NO_BOOK, Version, VersionOrder
from feeder.core.market.shared_steps import SharedSteps
from protocol.market import MarketInfo
from venue.wire.market_channel import (
    MALFORMED_MAX,
    FrameFault,
    Malformed,
    PriceChange,
    PriceChangeEvent,
)

Troubles: TypeAlias = tuple[Trouble, ...]

# How long a book may take that the venue should send by itself. It answers a subscription within
# a fraction of a second, but on a running connection not always (nautilus_trader#4635).
SNAPSHOT_WAIT_MS: Final = 1_000
TICK_SIZE_WAIT_MS: Final = 250
_WAIT_MS: Final = {
    Trouble.NO_SNAPSHOT: SNAPSHOT_WAIT_MS,
    Trouble.TICK_SIZE_CHANGE: TICK_SIZE_WAIT_MS,
}
Versions: TypeAlias = tuple[Version, Version]
_Expected: TypeAlias = tuple[Version, int]
"""(version that was seen elsewhere, until when it may be missing here)."""


class LineView:
    """Of one followed market."""

    __slots__ = (
        "_order",
        "behind",
        "blamed",
        "books",
        "line",
        "pair",
        "received_at_ns",
        "subscribed",
        "unusable_since_ms",
        "usable",
        "versions",
    )

    def __init__(
        self, line: int, info: MarketInfo, checksum: BookChecksum, order: VersionOrder, now_ms: int
    ) -> None:
        first, second = info.outcomes
        self.line = line
        self._order = order
        self.pair = (TokenBook(first.token_id, checksum), TokenBook(second.token_id, checksum))
        self.books = {book.token_id: book for book in self.pair}
        self.versions: Versions = (NO_BOOK, NO_BOOK)
        """Of both books; of one in trouble the last one that it had."""
        self.received_at_ns = 0
        """When the frame behind its newest change was received."""
        self.subscribed = False
        """Whether a connection of this line is to bring it."""
        self.usable = False
        self.unusable_since_ms = now_ms
        self.blamed = False
        """Whether a new connection was asked for, since it was last usable."""
        self.behind: dict[str, tuple[_Expected, _Expected]] = {}
        """Token -> what has to come here: the first that is missing, and the newest."""

    @property
    def proven(self) -> bool:
        """Whether both books may be shown."""
        first, second = self.pair
        return first.proven and second.proven

    def take_changes(
        self,
        event: PriceChangeEvent,
        received_at_ns: int,
        malformed: list[Malformed],
        shared: SharedSteps,
        other_usable: bool,
    ) -> int:
        """Apply the deltas of a frame, as `apply_changes` does, with what the other line has made
        of them if its books can be used; how many took effect."""
        if not other_usable:
            shared.clear()
            return self.apply_changes(event, received_at_ns, malformed)
        steps, pair, timestamp_ms = shared.take(event), self.pair, event.timestamp
        for at, step in steps:
            if not pair[at].may_follow(step, timestamp_ms):
                steps = ()
        if not steps:
            return self.apply_changes(event, received_at_ns, malformed, shared)
        for at, step in steps:
            pair[at].follow(step, timestamp_ms, received_at_ns)
        return len(event.price_changes)

    def apply_changes(
        self,
        event: PriceChangeEvent,
        received_at_ns: int,
        malformed: list[Malformed],
        shared: SharedSteps | None = None,
    ) -> int:
        """Apply the deltas of a frame; how many took effect. If all have, they are noted in
        `shared`.

        Entries that are no change are added to `malformed`, and their books are in doubt.
        """
        books, timestamp_ms = self.books, event.timestamp
        first, second = self.pair
        before = first.sides, second.sides
        applied: tuple[list[PriceChange], list[PriceChange]] = ([], [])
        for change in event.price_changes:
            book = books.get(change.asset_id)
            try:
                if book is not None and book.change(change, timestamp_ms):
                    applied[book is second].append(change)
            except ValueError as error:
                malformed.append(_not_a_change(event, change, error, len(malformed)))
        steps: list[tuple[int, BookStep]] = []
        for at, changes in enumerate(applied):
            if changes:
                book = self.pair[at]
                after = book.sides
                try:
                    difference = book.check(changes[-1], received_at_ns)
                except ValueError as error:
                    malformed.append(_not_a_change(event, changes[-1], error, len(malformed)))
                    continue
                steps.append((at, BookStep(before[at], tuple(changes), after, difference)))
        updates = len(applied[0]) + len(applied[1])
        if shared is not None and updates == len(event.price_changes) and not malformed:
            shared.note(event, steps)
        if malformed:
            for token_id in {each.token_id for each in malformed}:
                self.distrust_malformed(token_id, received_at_ns // 1_000_000)
        return updates

    def moved(self, whole: Collection[TokenBook] = ()) -> None:
        """The books have other versions now: find their places. Those in `whole` are new, and
        have not gone on from what was here before."""
        moved, (first, second), (one, other) = self._order.moved, self.pair, self.versions
        if first.trouble is None:
            one = moved(first.token_id, one, first.timestamp_ms, first.hash, first in whole)
        if second.trouble is None:
            other = moved(second.token_id, other, second.timestamp_ms, second.hash, second in whole)
        self.versions = one, other

    def troubles(self) -> tuple[Trouble | None, Trouble | None]:
        """Of each book."""
        first, second = self.pair
        return first.trouble, second.trouble

    def note(self, now_ms: int) -> None:
        """After books changed: is the view usable now?"""
        first, second = self.pair
        usable = first.trouble is None and second.trouble is None
        if usable != self.usable:
            self.usable = usable
            if usable:
                self.blamed = False
            else:
                self.unusable_since_ms = now_ms
                self.behind.clear()

    def distrust_malformed(self, token_id: str | None, now_ms: int) -> Troubles:
        """Doubt the token's book, both if it is none of this market; returns one trouble for each
        that was usable."""
        named = self.books.get(token_id or "")
        doubted = self.pair if named is None else (named,)
        usable = [book for book in doubted if book.trouble is None]
        # What is malformed leaves a gap in what a book in trouble has buffered, too.
        for book in doubted:
            book.distrust(Trouble.BAD_FRAME)
        self.note(now_ms)
        return (Trouble.BAD_FRAME,) * len(usable)

    def reset(self, subscribed: bool, now_ms: int) -> None:
        """A connection is new or lost: what it brought before is history."""
        for book in self.pair:
            book.reset()
        self.versions = (NO_BOOK, NO_BOOK)
        self.subscribed, self.usable = subscribed, False
        self.unusable_since_ms = now_ms
        self.behind.clear()

    def take_blame(self, now_ms: int, after_ms: int) -> bool:
        """Whether its connection is to blame from now on for books that cannot be used."""
        if not self.subscribed or self.usable or self.blamed:
            return False
        self.blamed = now_ms - self.unusable_since_ms >= after_ms
        return self.blamed

    def clock_set_back(self, now_ms: int) -> None:
        """How old its newest change is nobody knows any longer: not fresh."""
        self.unusable_since_ms = min(self.unusable_since_ms, now_ms)
        self.behind.clear()
        if self.received_at_ns > now_ms * 1_000_000:
            self.received_at_ns = 0

    def in_need(self, token_id: str, now_ms: int) -> bool:
        """Whether a book needs help: in trouble for longer than the venue takes to mend it."""
        trouble = self.books[token_id].trouble
        return (
            self.subscribed
            and trouble is not None
            and now_ms - self.unusable_since_ms >= _WAIT_MS.get(trouble, 0)
        )

    def mend_from(self, other: LineView, now_ms: int) -> int:
        """Take over the other line's books where that ends a doubt; how many.

        Not after a freeze: its connection is being replaced, and brings nothing to go on with.
        """
        adopted = []
        for token_id, book in self.books.items():
            if (
                self.in_need(token_id, now_ms)
                and book.trouble is not Trouble.FROZEN
                and book.adopt(other.books[token_id])
            ):
                adopted.append(book)
        if adopted:
            self.received_at_ns = other.received_at_ns
            self.moved(adopted)
            self.note(now_ms)
        return len(adopted)

    def expect(self, token_id: str, version: Version, until_ms: int) -> bool:
        """This version exists; whether it is missing here."""
        if not self._lacks(self.books[token_id], version):
            return False
        expected = version, until_ms
        known = self.behind.get(token_id)
        self.behind[token_id] = known[0] if known else expected, expected
        return True

    def expect_proven(self, other: LineView, until_ms: int) -> None:
        """What is proven of the other line's books has to come here."""
        for book, version in zip(other.pair, other.versions, strict=True):
            if book.proof is not NOT_PROVEN:
                self.expect(book.token_id, version, until_ms)

    def _lacks(self, book: TokenBook, version: Version) -> bool:
        here = self.versions[book is self.pair[1]]
        if here.timestamp_ms > version.timestamp_ms:
            return False  # this line is ahead
        return book.trouble is None and self._order.older(book.token_id, here, version)

    def nothing_due(self, now_ms: int) -> bool:
        """Whether time finds nothing: all is proven, and what has to come here is not late."""
        first, second = self.pair
        settled = self.usable and first.settled and second.settled
        return settled and not (self.behind and self.frozen(now_ms))

    def doubt_overdue(self, now_ms: int) -> list[TokenBook]:
        """Doubt the books whose version was not proven in time; returns them."""
        return [book for book in self.pair if book.doubt_if_overdue(now_ms * 1_000_000)]

    def frozen(self, now_ms: int) -> list[TokenBook]:
        """Books that have not shown in time what was seen elsewhere; forgets what came."""
        overdue = []
        for token_id, (first, newest) in tuple(self.behind.items()):
            book = self.books[token_id]
            if not self._lacks(book, newest[0]):
                del self.behind[token_id]
                continue
            if not self._lacks(book, first[0]):
                self.behind[token_id] = newest, newest
            if now_ms >= self.behind[token_id][0][1]:
                overdue.append(book)
        return overdue


def same_versions(versions: Versions, others: Versions) -> bool:
    """Whether the venue gives both pairs the same names."""
    one, other = versions
    its_one, its_other = others
    return (one is its_one or one.same_as(its_one)) and (
        other is its_other or other.same_as(its_other)
    )


def _not_a_change(
    event: PriceChangeEvent, change: PriceChange, error: ValueError, before: int
) -> Malformed:
    reason = f"price_change: {error}"
    if before < MALFORMED_MAX:  # each search reads the whole event
        index = next(i for i, each in enumerate(event.price_changes) if each is change)
        reason = f"price_change: price_changes[{index}]: {error}"
    return Malformed(FrameFault.INVALID_NUMBER, reason, event.market, change.asset_id)
