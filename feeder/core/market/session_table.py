"""The session table: which markets are followed, whether their books can be used, what to do next.

1. Of each series the current and the next window are wanted; a market is dropped a little after
   its end. Whether one market's books can be used is for `feeder.core.market.market_session`.
2. A book belongs to the connection that brings it: `connected` and `lost` take it away.
3. `sequence` of a market grows by one with each snapshot built; when it is followed anew, it goes
   on above every sequence that was ever reached, for the epoch may still be the same.

Time is an argument everywhere. The table sends nothing and counts nothing: `apply`, `distrust` and
`take_answer` say what happened, `tokens` and `take_due` what should.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from feeder.core.book.token_book import Trouble
from feeder.core.market.book_request_schedule import RequestOutcome
from feeder.core.market.line_view import Troubles
from feeder.core.market.market_session import MarketSession
from protocol.market import MarketInfo
from protocol.series import Series
from protocol.snapshot import BookSnapshot
from venue.wire.market_channel import (
    BookEvent,
    FrameFault,
    KnownEvent,
    LastTradeEvent,
    Malformed,
    PriceChangeEvent,
)

# Trades of the last moment still arrive just after the end, and clocks differ a little.
END_GRACE_MS: Final = 2_000
# A clock that is set back by more than this is noticed.
CLOCK_BACK_MAX_MS: Final = 500
# Workers refuse books older than a second by default.
BOOK_AGE_MAX_MS: Final = 1_000


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What one event did."""

    session: MarketSession | None = None
    """The market it belongs to, None when that is not followed."""
    updates: int = 0
    """Books replaced or levels changed."""
    ignored: int = 0
    """Changes of a book in trouble (buffered for its resync), late ones, and those of a
    token that is not followed."""
    offer: bool = False
    """Whether the market has something new to publish."""
    troubles: Troubles = ()
    """One for each book that became unusable."""
    malformed: tuple[Malformed, ...] = ()
    """What of the event was rejected; the books of that line that it is about are unusable."""


class BookRequest(msgspec.Struct, frozen=True):
    """A token to be looked up with `GET /book`; ends with `take_answer` or `request_failed`."""

    session: MarketSession
    token_id: str
    urgent: bool
    """Whether books wait for it; otherwise it only checks a silent market."""


class Due(msgspec.Struct, frozen=True):
    """What time asks for."""

    requests: Sequence[BookRequest]
    replace: Sequence[tuple[int, frozenset[str]]]
    """(line, tokens): whatever connections bring these are to be replaced."""
    dark: Sequence[MarketSession]
    """Markets that are dark from now on."""
    troubles: Troubles
    adopted: int
    """Books in trouble that took over the other line's."""
    offers: Sequence[MarketSession]
    """Markets that have something new to publish by this."""


class SessionTable:
    """All followed markets of the configured series."""

    def __init__(self, series: Sequence[Series], book_age_max_ms: int = BOOK_AGE_MAX_MS) -> None:
        self.series = tuple(series)
        """Which are followed."""
        self._late_max_ms = book_age_max_ms
        self._now_ms = 0
        self._sessions: dict[str, MarketSession] = {}
        self._troubles: list[Trouble] = []
        """Found while building a snapshot, not reported yet; one a book at most, so bounded."""
        self._sequence = 0
        """The highest of the markets that are no longer followed."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[MarketSession]:
        return iter(self._sessions.values())

    def __contains__(self, condition_id: object) -> bool:
        return condition_id in self._sessions

    def get(self, condition_id: str) -> MarketSession | None:
        """The market as it is followed now; None when it is not."""
        return self._sessions.get(condition_id)

    def wanted(self, now_s: float) -> list[tuple[Series, int]]:
        """(series, window start in epoch seconds) of every current and next window."""
        current = [(series, series.window_start_s(now_s)) for series in self.series]
        return [
            (series, start_s)
            for series, current_s in current
            for start_s in (current_s, series.next_start_s(current_s))
        ]

    def tokens(self) -> set[str]:
        """Tokens that should be subscribed, on every line."""
        return {token_id for session in self for token_id in session.views[0].books}

    def follow(self, info: MarketInfo, now_ms: int) -> None:
        """Follow a market, or take the newer facts of one that is followed already.

        The tick size of a followed market stays: the market channel is the faster source of it.
        """
        known = self._sessions.get(info.condition_id)
        if known is not None and known.views[0].books.keys() == {o.token_id for o in info.outcomes}:
            known.info = msgspec.structs.replace(info, tick_size_e4=known.info.tick_size_e4)
        else:
            if known is not None:
                self._sequence = max(self._sequence, known.sequence)
            session = MarketSession(info, self._late_max_ms, now_ms)
            session.sequence = self._sequence
            self._sessions[info.condition_id] = session

    def drop_ended(self, now_ms: int) -> list[MarketSession]:
        """Stop following what ended more than END_GRACE_MS ago; returns it."""
        ended = [each for each in self if each.info.end_ms + END_GRACE_MS < now_ms]
        for session in ended:
            del self._sessions[session.info.condition_id]
            self._sequence = max(self._sequence, session.sequence)
        return ended

    # ---- connections ---------------------------------------------------------------------------

    def connected(self, line: int, tokens: Collection[str], now_ms: int) -> None:
        """These tokens are subscribed on a connection of this line from now on."""
        for session in self._with(tokens):
            session.views[line].reset(True, now_ms)
            session.note(now_ms)

    def lost(self, line: int, tokens: Collection[str], now_ms: int) -> list[MarketSession]:
        """Their connection is gone; returns markets whose other line has something new to show."""
        touched = self._with(tokens)
        for session in touched:
            session.views[line].reset(False, now_ms)
            session.note(now_ms)
        return [session for session in touched if session.has_unpublished_view()]

    def spared(self, line: int, tokens: Collection[str]) -> bool:
        """Whether no market would be lost with this line's connection: what is usable on it is
        usable on another line, too."""
        return all(
            not session.views[line].usable
            or any(view.usable for view in session.views if view.line != line)
            for session in self._with(tokens)
        )

    def apply(self, line: int, event: KnownEvent, received_at_ns: int) -> Applied:
        """Apply one event of the market channel, received on `line` at `received_at_ns` (epoch)."""
        session = self._sessions.get(event.market)
        if session is None:
            return Applied(ignored=_size(event))
        now_ms = received_at_ns // 1_000_000
        before = _troubles(session)
        malformed: list[Malformed] = []
        try:
            updates = session.apply(line, event, received_at_ns, malformed)
        except ValueError as error:
            updates = 0
            token_id = event.asset_id if isinstance(event, BookEvent) else None
            fault = FrameFault.INVALID_NUMBER
            malformed.append(Malformed(fault, str(error), event.market, token_id))
            if not isinstance(event, LastTradeEvent):  # which changes no book
                session.distrust(line, malformed[0], now_ms)
        after = _troubles(session)
        new: Troubles = ()
        if after != before:
            for view in session.views:
                view.note(now_ms)
            session.note(now_ms)
            new = _new(before, after)
        offer = updates > 0 and session.take_offer(line, now_ms)
        return Applied(session, updates, _size(event) - updates, offer, new, tuple(malformed))

    def distrust(self, line: int, malformed: Malformed, now_ms: int) -> Troubles:
        """Doubt the books of this line that a malformed event may have changed."""
        market = malformed.market
        named = self if market is None else filter(None, [self._sessions.get(market)])
        return tuple(
            trouble for session in named for trouble in session.distrust(line, malformed, now_ms)
        )

    # ---- recovery ------------------------------------------------------------------------------

    def take_due(self, now_ms: int) -> Due:
        """What is to be done now; each request begins with this, each wish is made once."""
        requests: list[BookRequest] = []
        dark: list[MarketSession] = []
        offers: list[MarketSession] = []
        replace: list[tuple[int, frozenset[str]]] = []
        troubles, self._troubles = self._troubles, []
        adopted = 0
        set_back = now_ms < self._now_ms - CLOCK_BACK_MAX_MS
        self._now_ms = now_ms
        for session in self:
            if set_back:
                session.clock_set_back(now_ms)
            elif session.nothing_due(now_ms):  # of most markets nearly always
                continue
            before = _troubles(session)
            unproven = [view for view in session.views if not view.proven]
            session.doubt_overdue(now_ms)
            troubles.extend(_new(before, _troubles(session)))
            frozen = [view for view, _ in session.take_frozen(now_ms)]
            troubles.extend([Trouble.FROZEN] * len(frozen))
            doubted = (*frozen, *session.mark_blamed(now_ms))
            replace.extend((view.line, frozenset(view.books)) for view in doubted)
            adopted += session.adopt_books(now_ms)
            # No frame brings what a search or another line has just proven.
            if any(view.proven and session.take_offer(view.line, now_ms) for view in unproven):
                offers.append(session)
            if session.take_dark(now_ms):
                dark.append(session)
            requests.extend(
                BookRequest(session, token_id, session.in_need(token_id, now_ms))
                for token_id in session.views[0].books
                if session.begin_request_if_due(token_id, now_ms)
            )
        requests.sort(key=lambda request: not request.urgent)
        return Due(requests, replace, dark, tuple(troubles), adopted, offers)

    def take_answer(
        self, request: BookRequest, event: BookEvent, asked_at_ns: int, now_ms: int
    ) -> RequestOutcome:
        """The answer to a request that was sent at `asked_at_ns` (epoch). Raises ValueError."""
        before = _troubles(request.session)
        outcome = request.session.take_answer(request.token_id, event, asked_at_ns, now_ms)
        return msgspec.structs.replace(outcome, troubles=_new(before, _troubles(request.session)))

    def request_failed(self, request: BookRequest, now_ms: int) -> None:
        """A request brought no book."""
        request.session.request_failed(request.token_id, now_ms)

    # ---- what is shown -------------------------------------------------------------------------

    def snapshot(
        self, session: MarketSession, published_at_ns: int, epoch: int
    ) -> BookSnapshot | None:
        """Build the next snapshot of a market; None when it has nothing to show after all."""
        before = _troubles(session)
        snapshot = session.snapshot(published_at_ns, epoch)
        after = _troubles(session)
        if after != before:
            session.note(published_at_ns // 1_000_000)
            self._troubles.extend(_new(before, after))
        return snapshot

    def _with(self, tokens: Collection[str]) -> list[MarketSession]:
        return [session for session in self if not session.views[0].books.keys().isdisjoint(tokens)]


def _troubles(session: MarketSession) -> Sequence[Trouble | None]:
    one, other, its_one, its_other = session.books
    return one.trouble, other.trouble, its_one.trouble, its_other.trouble


def _new(before: Sequence[Trouble | None], after: Sequence[Trouble | None]) -> Troubles:
    return tuple(
        now for was, now in zip(before, after, strict=True) if now is not None and now != was
    )


def _size(event: KnownEvent) -> int:
    """How many changes of books an event is."""
    if isinstance(event, PriceChangeEvent):
        return len(event.price_changes)
    return 1 if isinstance(event, BookEvent) else 0
