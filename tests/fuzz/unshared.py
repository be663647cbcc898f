"""A round once with what the lines share, and once without: nothing that can be seen may differ.

Two lines share what a frame has made of the same levels only where the same bytes are the same
event object (`feeder.core.market.shared_steps`). Decoded anew each time, nothing is shared: that
is the other way, which does all the work on each line.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from feeder.core.book.token_book import TokenBook
from feeder.core.market.book_request_schedule import RequestOutcome
from feeder.core.market.line_view import Troubles
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import Applied, BookRequest, Due, SessionTable
from protocol.series import parse_series
from protocol.snapshot import BookSnapshot
from tests.fuzz.play import Round, Score
from venue.wire.market_channel import BookEvent, KnownEvent, Malformed, decode_frame


class DifferenceError(AssertionError):
    """What the lines share has changed what they show."""


class WatchedTable(SessionTable):
    """Remembers all that it said, and how each book stood then."""

    def __init__(self) -> None:
        super().__init__([parse_series("btc-15m")])
        self.seen: list[object] = []

    def apply(self, line: int, event: KnownEvent, received_at_ns: int) -> Applied:
        applied = super().apply(line, event, received_at_ns)
        said = applied.updates, applied.ignored, applied.offer, applied.troubles, applied.malformed
        self._see(said, applied.session)
        return applied

    def distrust(self, line: int, malformed: Malformed, now_ms: int) -> Troubles:
        troubles = super().distrust(line, malformed, now_ms)
        self._see(troubles, *self)
        return troubles

    def take_due(self, now_ms: int) -> Due:
        due = super().take_due(now_ms)
        requests = [(each.token_id, each.urgent) for each in due.requests]
        sessions = [[s.info.condition_id for s in each] for each in (due.dark, due.offers)]
        self._see((requests, due.replace, sessions, due.troubles, due.adopted), *self)
        return due

    def take_answer(
        self, request: BookRequest, event: BookEvent, asked_at_ns: int, now_ms: int
    ) -> RequestOutcome:
        outcome = super().take_answer(request, event, asked_at_ns, now_ms)
        self._see(outcome, request.session)
        return outcome

    def snapshot(
        self, session: MarketSession, published_at_ns: int, epoch: int
    ) -> BookSnapshot | None:
        snapshot = super().snapshot(session, published_at_ns, epoch)
        self._see(snapshot, session)
        return snapshot

    def _see(self, said: object, *sessions: MarketSession | None) -> None:
        books: list[Any] = []
        for session in sessions:
            if session is not None:
                books += [
                    (v.versions, v.received_at_ns, v.usable, tuple(v.behind.items()))
                    for v in session.views
                ]
                books += [_state(book) for book in session.books]
        self.seen.append((said, books))


def _state(book: TokenBook) -> tuple[object, ...]:
    """All that a book is, but for what its levels are kept in."""
    kept = {name: getattr(book, name) for name in TokenBook.__slots__}
    sides, checksum = kept.pop("sides"), kept.pop("_checksum")
    kept["_buffered"], kept["_present"] = tuple(kept["_buffered"]), tuple(kept["_present"])
    known = tuple(checksum._known), checksum.unknown, checksum.confirmed
    return (*kept.values(), sides.bids.json(), sides.asks.json(), known)


def play_both(seed: int, number: int) -> Score:
    """Raises DifferenceError naming the first thing that was not the same."""
    shared, unshared = WatchedTable(), WatchedTable()
    score = Round(seed, number, table=shared).play()
    Round(seed, number, table=unshared, decode=decode_frame).play()
    if not shared.seen:
        raise DifferenceError("nothing was seen")
    for place, (one, other) in enumerate(zip_longest(shared.seen, unshared.seen)):
        if one != other:
            raise DifferenceError(f"{seed}/{number}, {place}\nshared: {one}\nelse:   {other}")
    return score
