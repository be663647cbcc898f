"""The session table: which markets are followed, what their books are worth, what to do next.

1. A market can be published only while both its tokens have a book of *this* connection without
   trouble; `drop_books` takes every book away.
2. Of each series the current and the next window are wanted; a market is dropped a little after
   its end.
3. `sequence` of a market grows by one with each snapshot built, within the feeder's epoch.
4. A market whose books stay unusable is due for a re-subscription: at once after a doubt, after
   `SNAPSHOT_WAIT_MS` where the venue should send a book by itself, then at growing intervals; and
   once per such episode it asks for a new connection.

Time is an argument everywhere. The table sends nothing and counts nothing: `apply` and `distrust`
say what happened, `tokens` and `take_due` what should.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from feeder.core.book_builder import TokenBook, Trouble
from feeder.core.frames import (
    BookEvent,
    FrameError,
    FrameFault,
    KnownEvent,
    PriceChange,
    PriceChangeEvent,
    TickSizeChangeEvent,
)
from protocol.book import Proof
from protocol.market import MarketInfo
from protocol.series import Series
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE, parse_price_e4

# The venue closes connections at an undocumented number of assets, reported as about 500.
TOKENS_MAX: Final = 200
# Current, next, and for END_GRACE_MS the one that has just ended; two tokens each.
TOKENS_PER_SERIES_MAX: Final = 6
# Trades of the last moment still arrive just after the end, and clocks differ a little.
END_GRACE_MS: Final = 2_000
# How long a book may take that the venue should send by itself: it answers a subscription within
# a fraction of a second, but on a running connection not always (nautilus_trader#4635).
SNAPSHOT_WAIT_MS: Final = 5_000
RESYNC_WAIT_MAX_MS: Final = 60_000
# After so many re-subscriptions without a book the connection itself is in doubt.
RESYNCS_BEFORE_RECONNECT: Final = 2
# A market that was fine for so long starts a new episode with its next trouble.
RESYNC_FORGET_MS: Final = 30_000

Troubles: TypeAlias = tuple[Trouble, ...]


class MarketSession:
    """One followed market: facts, both books, and where its recovery stands."""

    __slots__ = (
        "_asked_to_reconnect",
        "_resync_at_ms",
        "_resyncs",
        "books",
        "info",
        "pair",
        "ready_since_ms",
        "received_at_ns",
        "sequence",
        "venue_timestamp_ms",
    )

    def __init__(self, info: MarketInfo, now_ms: int) -> None:
        first, second = info.outcomes
        self.info = info
        self.pair = (TokenBook(first.token_id), TokenBook(second.token_id))
        self.books = {book.token_id: book for book in self.pair}
        self.sequence = 0
        self.venue_timestamp_ms = 0
        self.received_at_ns = 0
        self.ready_since_ms: int | None = None
        self._resyncs = 0
        self._resync_at_ms = now_ms + SNAPSHOT_WAIT_MS
        self._asked_to_reconnect = False

    @property
    def ready(self) -> bool:
        """Whether both books can be used, as of the last event."""
        return self.ready_since_ms is not None

    def troubles(self) -> tuple[Trouble | None, Trouble | None]:
        """Of each book."""
        first, second = self.pair
        return first.trouble, second.trouble

    def drop_books(self, trouble: Trouble, now_ms: int) -> Troubles:
        """Doubt every usable book; returns one trouble for each that was."""
        doubted = [book for book in self.pair if book.trouble is None]
        for book in doubted:
            book.distrust(trouble)
        self.note_readiness(now_ms)
        return (trouble,) * len(doubted)

    def note_readiness(self, now_ms: int) -> None:
        """After a trouble came or went: is the market ready, and if not, when to resync?"""
        troubles = self.troubles()
        if troubles == (None, None):
            if self.ready_since_ms is None:
                self.ready_since_ms = now_ms
        elif self.ready_since_ms is not None:
            if now_ms - self.ready_since_ms > RESYNC_FORGET_MS:
                self._resyncs, self._asked_to_reconnect = 0, False
            self.ready_since_ms = None
            if Trouble.TICK_SIZE_CHANGE in troubles:  # the venue sends a fresh book by itself
                self.wait_for_books(now_ms)
            else:
                self._resync_at_ms = now_ms + self._back_off_ms()

    def wait_for_books(self, now_ms: int) -> None:
        """Books should come by themselves: do not resync before they had time to."""
        self._resync_at_ms = now_ms + max(SNAPSHOT_WAIT_MS, self._back_off_ms())

    def resync_due(self, now_ms: int) -> bool:
        """Whether to subscribe again now."""
        return not self.ready and self._resync_at_ms <= now_ms < self.info.end_ms

    def resync_begun(self, now_ms: int) -> None:
        """The tokens are being subscribed again."""
        self._resyncs += 1
        # What happens between the two operations is not sent, to either token.
        self.drop_books(Trouble.NO_SNAPSHOT, now_ms)
        self.wait_for_books(now_ms)

    def take_reconnect_wish(self, now_ms: int) -> bool:
        """Whether re-subscribing has failed often enough to blame the connection; once an episode.

        Never before the market's start: a freshly listed one may have no book for minutes.
        """
        wish = (
            self._resyncs >= RESYNCS_BEFORE_RECONNECT
            and self.info.start_ms <= now_ms
            and not self._asked_to_reconnect
        )
        self._asked_to_reconnect |= wish
        return wish

    def _back_off_ms(self) -> int:
        if not self._resyncs:
            return 0
        doublings = min(self._resyncs - 1, 10)  # bounded: an int shifted for ever grows for ever
        return min(SNAPSHOT_WAIT_MS << doublings, RESYNC_WAIT_MAX_MS)


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What one event did."""

    session: MarketSession | None = None
    """The market it belongs to, None when that is not followed."""
    updates: int = 0
    """Books replaced or levels changed."""
    ignored: int = 0
    """Changes of a book without a snapshot or in trouble, or of a token that is not followed."""
    troubles: Troubles = ()
    """One for each book that became unusable."""
    error: FrameError | None = None
    """Why the event was rejected; its market's books are unusable."""


class Due(msgspec.Struct, frozen=True):
    """What recovery asks for: a new connection, or these markets subscribed again."""

    reconnect: bool
    resync: Sequence[MarketSession]


class SessionTable:
    """All followed markets of the configured series."""

    def __init__(self, series: Sequence[Series], epoch: int) -> None:
        self._series = tuple(series)
        self._epoch = epoch
        self._sessions: dict[str, MarketSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[MarketSession]:
        return iter(self._sessions.values())

    def __contains__(self, condition_id: object) -> bool:
        return condition_id in self._sessions

    def wanted(self, now_s: float) -> list[tuple[Series, int]]:
        """(series, window start in epoch seconds) of every current and next window."""
        return [
            (series, series.window_start_s(now_s) + offset_s)
            for series in self._series
            for offset_s in (0, series.window_s)
        ]

    def tokens(self) -> set[str]:
        """Tokens that should be subscribed."""
        return {token_id for session in self for token_id in session.books}

    def follow(self, info: MarketInfo, now_ms: int) -> None:
        """Follow a market, or take the newer facts of one that is followed already.

        The tick size of a followed market stays: the market channel is the faster source of it.
        """
        known = self._sessions.get(info.condition_id)
        if known is not None and known.books.keys() == {each.token_id for each in info.outcomes}:
            known.info = msgspec.structs.replace(info, tick_size_e4=known.info.tick_size_e4)
        else:
            self._sessions[info.condition_id] = MarketSession(info, now_ms)

    def drop_ended(self, now_ms: int) -> list[MarketSession]:
        """Stop following what ended more than END_GRACE_MS ago; returns it."""
        ended = [each for each in self if each.info.end_ms + END_GRACE_MS < now_ms]
        for session in ended:
            del self._sessions[session.info.condition_id]
        return ended

    def drop_books(self, now_ms: int) -> None:
        """The connection is new or lost: whatever was known is history, books are awaited."""
        for session in self:
            session.drop_books(Trouble.NO_SNAPSHOT, now_ms)
            session.wait_for_books(now_ms)

    def take_due(self, now_ms: int) -> Due:
        """What recovery asks for now; each call moves the markets named to their next wait."""
        due = [session for session in self if session.resync_due(now_ms)]
        # Not any(): every market of this episode has made its wish then.
        if sum([session.take_reconnect_wish(now_ms) for session in due]):
            return Due(reconnect=True, resync=())
        for session in due:
            session.resync_begun(now_ms)
        return Due(reconnect=False, resync=due)

    def apply(self, event: KnownEvent, received_at_ns: int) -> Applied:
        """Apply one event of the market channel, received at `received_at_ns` (epoch)."""
        session = self._sessions.get(event.market)
        if session is None:
            return Applied(ignored=_size(event))
        first, second = session.pair
        before = first.trouble, second.trouble
        try:
            updates = _apply(session, event)
        except ValueError as reason:
            error = FrameError(str(reason), FrameFault.INVALID_NUMBER, frozenset((event.market,)))
            troubles = session.drop_books(Trouble.BAD_FRAME, received_at_ns // 1_000_000)
            return Applied(session, troubles=troubles, error=error)
        if updates:
            session.received_at_ns = received_at_ns
            session.venue_timestamp_ms = max(session.venue_timestamp_ms, event.timestamp)
        after = first.trouble, second.trouble
        if after == before:
            return Applied(session, updates, _size(event) - updates)
        session.note_readiness(received_at_ns // 1_000_000)
        new = tuple(
            now for was, now in zip(before, after, strict=True) if now is not None and now != was
        )
        return Applied(session, updates, _size(event) - updates, new)

    def distrust(self, markets: frozenset[str] | None, now_ms: int) -> Troubles:
        """A rejected frame may have changed these markets (None: any); returns the new troubles."""
        named = self if markets is None else filter(None, map(self._sessions.get, markets))
        return tuple(
            trouble
            for session in named
            for trouble in session.drop_books(Trouble.BAD_FRAME, now_ms)
        )

    def snapshot(self, session: MarketSession, published_at_ns: int) -> BookSnapshot:
        """Build the next snapshot of a ready market, to be published at `published_at_ns`."""
        session.sequence += 1
        first, second = session.pair
        return BookSnapshot(
            market=session.info,
            books=(first.published(), second.published()),
            proof=Proof.TOP,
            venue_timestamp_ms=session.venue_timestamp_ms,
            received_at_ns=session.received_at_ns,
            published_at_ns=published_at_ns,
            epoch=self._epoch,
            sequence=session.sequence,
        )


def _size(event: KnownEvent) -> int:
    """How many changes of books an event is."""
    if isinstance(event, PriceChangeEvent):
        return len(event.price_changes)
    return 1 if isinstance(event, BookEvent) else 0


def _apply(session: MarketSession, event: KnownEvent) -> int:
    """Returns how many changes were applied. Raises ValueError naming the field."""
    if isinstance(event, PriceChangeEvent):
        return _apply_changes(session, event.price_changes)
    if isinstance(event, BookEvent):
        return _apply_book(session, event)
    if isinstance(event, TickSizeChangeEvent):
        _take_tick_size(session, event.new_tick_size, "tick_size_change: new_tick_size")
        book = session.books.get(event.asset_id)
        if book is not None and book.trouble is None:
            book.distrust(Trouble.TICK_SIZE_CHANGE)
    return 0


def _apply_changes(session: MarketSession, changes: Sequence[PriceChange]) -> int:
    books = session.books
    last: dict[TokenBook, PriceChange] = {}
    updates = 0
    try:
        for change in changes:
            book = books.get(change.asset_id)
            if book is not None and book.trouble is None:
                book.change(change)
                last[book] = change
                updates += 1
        for book, change in last.items():
            book.check(change)
    except ValueError as error:
        index = next(i for i, each in enumerate(changes) if each is change)
        raise ValueError(f"price_change: price_changes[{index}]: {error}") from error
    return updates


def _apply_book(session: MarketSession, event: BookEvent) -> int:
    book = session.books.get(event.asset_id)
    if book is None:
        return 0
    try:
        book.replace(event)
    except ValueError as error:
        raise ValueError(f"book: {error}") from error
    if event.tick_size:
        _take_tick_size(session, str(event.tick_size), "book: tick_size")
    return 1


def _take_tick_size(session: MarketSession, text: str, field: str) -> None:
    try:
        tick_size_e4 = parse_price_e4(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    if not 0 < tick_size_e4 < PRICE_SCALE:
        raise ValueError(f"{field}: not a tick size: {text!r}")
    if tick_size_e4 != session.info.tick_size_e4:
        session.info = msgspec.structs.replace(session.info, tick_size_e4=tick_size_e4)
