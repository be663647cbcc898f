"""One followed market: both lines' books of both tokens, and what may be shown of them.

1. A line's view of the market is usable while both its books are without trouble, and can be shown
   while both are proven. What is shown is the newest such view, by the venue's own versions, and
   of no token ever an older one than was shown.
2. The lines watch each other: what one has, the other has to have within `late_max_ms`; what
   `GET /book` has, within `REST_LATE_MAX_MS`. A book that has not is frozen, whatever its
   connection answers.
3. A book in trouble takes over the other line's where that is proven. Else it is asked for: at once
   after a doubt, a little later where the venue should send a fresh book by itself, then at growing
   intervals, never two requests of a token at a time.
4. A market that is silent for longer than its usual pauses explain is asked for as well; as long as
   nothing has changed, more and more rarely.
5. A market without a usable view for `DARK_AFTER_MS` is dark.
6. A market of which neither line nor request tells anything is unseen: nobody knows whether its
   books are still the venue's. Its connections are replaced, now and then.
7. A tick-size change makes every book of the market unusable until a snapshot that came after it.

Time is an argument everywhere; nothing is sent or counted here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import SnapshotResult, TokenBook, Trouble
from feeder.core.book.version_order import VersionOrder
from feeder.core.market.book_request_schedule import BookRequestSchedule, RequestOutcome
from feeder.core.market.line_view import LineView, Troubles, same_versions
from feeder.core.market.shared_steps import SharedSteps
from feeder.core.market.shown_versions import ShownVersions
from protocol.book import Book, Proof
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE, parse_price_e4
from venue.wire.market_channel import (
    BookEvent,
    KnownEvent,
    LastTradeEvent,
    Malformed,
    PriceChangeEvent,
    TickSizeChangeEvent,
)

LINES: Final = 2
# The other line has usually caught up by then.
ADOPTION_WAIT_MS: Final = 250
# Five requests fit into this; a market without a usable book for so long is published as dark.
DARK_AFTER_MS: Final = 5_000
# `GET /book` may be ahead of the channel: by 0.26 s usually, 1.08 s at most (34 of 456 requests of
# Bitcoin's markets, source-behavior notes of polymarket-market-data-client, 2026-10-04).
REST_LATE_MAX_MS: Final = 1_300
# The venue's clock and ours differ by less; beyond it a timestamp would block all later ones.
FUTURE_MAX_MS: Final = 5_000


class MarketSession:
    """Facts, both lines' views, and where recovery stands."""

    __slots__ = (
        "_late_max_ms",
        "_order",
        "_requests",
        "_shared",
        "_shown",
        "_tick_changed_ms",
        "books",
        "checksum",
        "dark_since_ms",
        "info",
        "sequence",
        "unusable_since_ms",
        "views",
    )

    def __init__(self, info: MarketInfo, late_max_ms: int, now_ms: int) -> None:
        self.info = info
        self.checksum = BookChecksum(info)
        self._order = VersionOrder(outcome.token_id for outcome in info.outcomes)
        self.views = tuple(
            LineView(line, info, self.checksum, self._order, now_ms) for line in range(LINES)
        )
        first_line, second_line = self.views
        self.books = (*first_line.pair, *second_line.pair)
        """Of both tokens on the first line, then on the second."""
        self._shared = SharedSteps()
        self.sequence = 0
        self.unusable_since_ms: int | None = now_ms
        self.dark_since_ms: int | None = None
        self._late_max_ms = late_max_ms
        first, second = info.outcomes
        tokens = first.token_id, second.token_id
        self._requests = BookRequestSchedule(tokens, late_max_ms, now_ms)
        self._shown = ShownVersions(tokens, self._order)
        self._tick_changed_ms = 0

    @property
    def ready(self) -> bool:
        """Whether there is a book to show: proven, no placeholder, not older than shown before."""
        return any(self._shown.may_show(view) for view in self.views)

    @property
    def dark(self) -> bool:
        """Whether the market cannot be had at present."""
        return self.dark_since_ms is not None

    def unseen(self, now_ms: int) -> bool:
        """Whether nothing tells how the market stands."""
        return self._requests.unseen(now_ms)

    @property
    def received_at_ns(self) -> int:
        """When the frame behind the newest usable book was received."""
        return max((v.received_at_ns for v in self.views if v.proven), default=0)

    # ---- what the lines bring ------------------------------------------------------------------

    def apply(
        self, line: int, event: KnownEvent, received_at_ns: int, malformed: list[Malformed]
    ) -> int:
        """Apply an event of this market; how many changes took effect.

        Entries of a `price_change` that are no change are added to `malformed`, and their books are
        in doubt. Raises ValueError naming the field when the whole event cannot be used.
        """
        view, now_ms = self.views[line], received_at_ns // 1_000_000
        if event.timestamp > now_ms + FUTURE_MAX_MS:
            raise _from_the_future(event)
        self._requests.heard()
        if isinstance(event, PriceChangeEvent):
            shared, followed = self._shared, self.views[1 - line].usable
            updates = view.take_changes(event, received_at_ns, malformed, shared, followed)
            if updates:
                self._moved(view, now_ms)
        elif isinstance(event, BookEvent):
            updates = self._apply_book(view, event, now_ms)
        elif isinstance(event, LastTradeEvent):
            if event.price and event.asset_id in view.books:
                self.checksum.traded(event.asset_id, event.price)
            return 0
        else:
            self._apply_tick_size(view, event, now_ms)
            return 0
        if updates:
            view.received_at_ns = received_at_ns
        return updates

    def take_offer(self, line: int, now_ms: int) -> bool:
        """Whether this line now shows something newer than was offered before."""
        changed = self._shown.offer(self.views[line])
        if changed is None:
            return False
        self._requests.changed(changed, now_ms)
        return True

    def has_unpublished_view(self) -> bool:
        """Whether a view can show what was not published yet; asked when another one was lost."""
        return any(self._shown.has_news(view) for view in self.views)

    # ---- book requests -------------------------------------------------------------------------

    def begin_request_if_due(self, token_id: str, now_ms: int) -> bool:
        """Begin a request for this token if it is to be looked up now; whether it has begun."""
        if not self._requests.may_begin(token_id, now_ms) or now_ms >= self.info.end_ms:
            return False
        needed, usable = self.in_need(token_id, now_ms), any(view.usable for view in self.views)
        return self._requests.begin(token_id, now_ms, needed=needed, usable=usable)

    def take_answer(
        self, token_id: str, event: BookEvent, asked_at_ns: int, now_ms: int
    ) -> RequestOutcome:
        """Apply the answer to a book request that was sent at `asked_at_ns`.

        Raises ValueError when it is not a book of this token: call `request_failed` then.
        """
        if event.asset_id != token_id or event.market != self.info.condition_id:
            raise ValueError(f"a book of another token: {event.asset_id[:80]!r}")
        if event.timestamp > now_ms + FUTURE_MAX_MS:
            raise _from_the_future(event)
        taken = refused = behind = 0
        told = False
        for view in self.views:
            book = view.books[token_id]
            if book.trouble is None:
                told |= event.timestamp >= book.timestamp_ms or book.sides.same_levels(event)
                behind += self._expect_of_rest(view, event, now_ms)
            elif view.subscribed:
                if book.replace(event, from_rest=True) is SnapshotResult.TAKEN:
                    taken += 1
                    view.received_at_ns = asked_at_ns
                    view.moved([book])
                    self._take_tick_size(event)
                else:
                    refused += 1
                view.note(now_ms)
        if told or taken:
            self._requests.heard()
        else:
            self._requests.told_nothing(token_id, now_ms)
        self._requests.ended(token_id, not refused and (told or taken > 0), now_ms)
        self.note(now_ms)
        offer = any(self.take_offer(view.line, now_ms) for view in self.views if taken)
        return RequestOutcome(taken=taken, refused=refused, behind=behind, offer=offer)

    def _expect_of_rest(self, view: LineView, event: BookEvent, now_ms: int) -> bool:
        """Whether a book without trouble lacks what `GET /book` shows; then it has to come here."""
        book = view.books[event.asset_id]
        unknown = event.timestamp == book.timestamp_ms and not (event.hash and book.hash)
        if unknown or book.sides.same_levels(event):
            return False
        version = self._order.seen(book.token_id, event.timestamp, event.hash or "")
        return view.expect(book.token_id, version, now_ms + REST_LATE_MAX_MS)

    def request_failed(self, token_id: str, now_ms: int) -> None:
        """A book request brought no book."""
        self._requests.told_nothing(token_id, now_ms)
        self._requests.ended(token_id, False, now_ms)

    # ---- what time shows ----------------------------------------------------------------------

    def nothing_due(self, now_ms: int) -> bool:
        """Whether all of the following would find nothing; cheap. False tells nothing."""
        if self.unusable_since_ms is not None or not self._requests.nothing_due(now_ms):
            return False
        first, second = self.views
        return first.nothing_due(now_ms) and second.nothing_due(now_ms)

    def doubt_overdue(self, now_ms: int) -> None:
        """Doubt what stayed unproven for too long."""
        for view in self.views:
            if view.doubt_overdue(now_ms):
                view.note(now_ms)
                self.note(now_ms)

    def adopt_books(self, now_ms: int) -> int:
        """Take over the other line's books where that helps, which costs no request; how many."""
        first, second = self.views
        return first.mend_from(second, now_ms) + second.mend_from(first, now_ms)

    def take_frozen(self, now_ms: int) -> list[tuple[LineView, TokenBook]]:
        """Books that are found frozen now, and are in doubt from now on."""
        found = []
        for view in self.views:
            if view.behind:
                for book in view.frozen(now_ms):
                    book.distrust(Trouble.FROZEN)
                    found.append((view, book))
                view.note(now_ms)
        if found:
            self.note(now_ms)
        return found

    def mark_blamed(self, now_ms: int) -> list[LineView]:
        """Views whose connections are to be replaced: those that no request has mended, once an
        episode, and those of an unseen market.

        Never before the market's start: a freshly listed one may have no book for minutes.
        """
        if not self.info.start_ms <= now_ms < self.info.end_ms:
            return []
        unseen = self._requests.take_unseen(now_ms, DARK_AFTER_MS)
        return [
            view
            for view in self.views
            if view.take_blame(now_ms, DARK_AFTER_MS) or (unseen and view.usable)
        ]

    def take_dark(self, now_ms: int, *, at_once: bool = False) -> bool:
        """Whether the market is found dark now; `at_once`: nobody looks for help first."""
        self.note(now_ms)
        since_ms, after_ms = self.unusable_since_ms, 0 if at_once else DARK_AFTER_MS
        if self.dark or since_ms is None or now_ms - since_ms < after_ms:
            return False
        self.dark_since_ms = now_ms
        return True

    def distrust(self, line: int, malformed: Malformed, now_ms: int) -> Troubles:
        """Doubt a line's books that a malformed event may have changed."""
        troubles = self.views[line].distrust_malformed(malformed.token_id, now_ms)
        self.note(now_ms)
        return troubles

    def clock_set_back(self, now_ms: int) -> None:
        """What was noted of the future would hold recovery up until then."""
        for view in self.views:
            view.clock_set_back(now_ms)
        self._requests.clock_set_back(now_ms)
        if self.unusable_since_ms is not None:
            self.unusable_since_ms = min(self.unusable_since_ms, now_ms)

    # ---- what is shown -------------------------------------------------------------------------

    def show_nothing(self) -> None:
        """There was nothing to show after all: what comes next is offered, also the same again."""
        self._shown.show_nothing()

    def snapshot(self, published_at_ns: int, epoch: int) -> BookSnapshot | None:
        """The next snapshot; None when there is nothing to show. Verifies what was deferred."""
        (first, second), shown = self.views, self._shown
        second_first = shown.older(first.versions, second.versions)
        for view in (second, first) if second_first else (first, second):
            if not shown.may_show(view):
                continue
            one, other = view.pair
            if not (one.settled and other.settled):
                one.verify_deferred()
                other.verify_deferred()
                view.note(published_at_ns // 1_000_000)
                if not shown.may_show(view):
                    continue
            shown.show(view)
            proof = one.proof
            if proof is not other.proof:
                proof = min(proof, other.proof, key=lambda each: each.rank)
            books = one.published(), other.published()
            return self._message(books, proof, view.received_at_ns, published_at_ns, epoch)
        shown.show_nothing()
        if self.dark_since_ms is None:
            return None
        nothing = [Book(token_id=o.token_id, bids=(), asks=()) for o in self.info.outcomes]
        books = nothing[0], nothing[1]
        # It is so now: dated back, it would be too old to be sent when the first try fails.
        return self._message(books, Proof.NONE, published_at_ns, published_at_ns, epoch)

    def _message(
        self,
        books: tuple[Book, Book],
        proof: Proof,
        received_at_ns: int,
        published_at_ns: int,
        epoch: int,
    ) -> BookSnapshot:
        self.sequence += 1
        one, other = self._shown.shown
        return BookSnapshot(
            market=self.info,
            books=books,
            proof=proof,
            venue_timestamp_ms=max(one.timestamp_ms, other.timestamp_ms),
            received_at_ns=received_at_ns,
            published_at_ns=published_at_ns,
            epoch=epoch,
            sequence=self.sequence,
        )

    # ---- events --------------------------------------------------------------------------------

    def _apply_book(self, view: LineView, event: BookEvent, now_ms: int) -> int:
        book = view.books.get(event.asset_id)
        if book is None:
            return 0
        whole = [] if book.trouble is None else [book]  # one that was usable only goes on
        try:
            if book.replace(event, from_rest=False) is not SnapshotResult.TAKEN:
                return 0
        except ValueError as error:
            raise ValueError(f"book: {error}") from error
        self._take_tick_size(event)
        self._moved(view, now_ms, whole)
        return 1

    def _moved(self, view: LineView, now_ms: int, whole: Collection[TokenBook] = ()) -> None:
        """A line has gone on: the other line has to, too."""
        view.moved(whole)
        other = self.views[1 - view.line]
        if other.usable and not same_versions(view.versions, other.versions):
            other.expect_proven(view, now_ms + self._late_max_ms)

    def _apply_tick_size(self, view: LineView, event: TickSizeChangeEvent, now_ms: int) -> None:
        """The first news of a new grid stops every book of the market, those of the other line too;
        after that only books that are older than it."""
        tick_size_e4 = _tick_size_e4(event.new_tick_size, "tick_size_change: new_tick_size")
        if event.timestamp < self._tick_changed_ms:
            return
        if tick_size_e4 != self.info.tick_size_e4:
            self._tick_changed_ms = event.timestamp
            self.info = msgspec.structs.replace(self.info, tick_size_e4=tick_size_e4)
            self.checksum.tick_size(event.new_tick_size, event.timestamp)
            doubted = [(each, book) for each in self.views for book in each.pair]
        else:
            doubted = [(view, book) for book in view.pair if book.token_id == event.asset_id]
        for each, book in doubted:
            if book.trouble is None and (book.timestamp_ms < event.timestamp or len(doubted) > 1):
                book.distrust(Trouble.TICK_SIZE_CHANGE)
            each.note(now_ms)

    def _take_tick_size(self, event: BookEvent) -> None:
        """What the checksum has learnt of a book that was taken: nothing if that is unproven."""
        tick_size_e4 = self.checksum.tick_size_e4
        if tick_size_e4 != self.info.tick_size_e4:
            self._tick_changed_ms = event.timestamp
            self.info = msgspec.structs.replace(self.info, tick_size_e4=tick_size_e4)

    # ---- schedules -----------------------------------------------------------------------------

    def in_need(self, token_id: str, now_ms: int) -> bool:
        """Whether a book of this token waits for a book request."""
        for view in self.views:
            if view.in_need(token_id, now_ms):
                other = self.views[1 - view.line].books[token_id]
                waited_ms = now_ms - view.unusable_since_ms
                if other.proof is not Proof.CHECKSUM or waited_ms >= ADOPTION_WAIT_MS:
                    return True
        return False

    def note(self, now_ms: int) -> None:
        """After books changed: can the market be had?"""
        if any(view.usable for view in self.views):
            self.unusable_since_ms = self.dark_since_ms = None
        elif self.unusable_since_ms is None:
            self.unusable_since_ms = now_ms


def _from_the_future(event: KnownEvent) -> ValueError:
    return ValueError(f"timestamp: {event.timestamp} is in the future")


def _tick_size_e4(text: str, field: str) -> int:
    try:
        tick_size_e4 = parse_price_e4(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    if not 0 < tick_size_e4 < PRICE_SCALE:
        raise ValueError(f"{field}: not a tick size: {text!r}")
    return tick_size_e4
