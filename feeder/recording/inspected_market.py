"""One recorded market: its books built again, and compared with what the venue states of them.

1. Counted are *versions* of a book, (timestamp, hash), as their last frame leaves it: a trade sends
   several frames for one, and only the last of them makes the book that the hash is of. A `book`
   that does not have its own hash is wrong at once.
2. Books are the feeder's own (`TokenBook`), but never given up: one that does not match goes on, so
   what matches again later is seen, too, and every `book` starts anew where the last one failed.
3. Whether an unmatched hash is the book's fault or the formula's is known at the end: once any hash
   of a market has matched, the formula is right and the others are mismatches; until then they are
   `unknown`.
4. Deltas before a book's first snapshot are counted, and so are those older than it and those that
   come twice; none of them is applied.
5. A market's silence counts from the start of its window to its end, or to the recording's.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.stated_best import agrees
from feeder.core.book.token_book import SnapshotResult, TokenBook
from protocol.book import Proof
from protocol.market import MarketInfo
from venue.wire.market_channel import (
    BookEvent,
    KnownEvent,
    LastTradeEvent,
    PriceChange,
    PriceChangeEvent,
)

# A failed search for the trade price costs a millisecond; after so many the known ones must do.
_SEARCHES_MAX: Final = 50


class Checks(msgspec.Struct, kw_only=True):
    """Comparisons with what the venue states: counts of versions."""

    matched: int = 0
    mismatched: int = 0
    unknown: int = 0
    """Hashes of a market of which none ever matched: its inputs are not known."""
    no_hash: int = 0
    """Books and deltas without one."""
    top_mismatched: int = 0
    """Best bid or ask differs from the venue's word."""
    crossed: int = 0

    @property
    def proven_share(self) -> float | None:
        """Of everything that could have carried a hash, None when there was nothing."""
        total = self.matched + self.mismatched + self.unknown + self.no_hash
        return self.matched / total if total else None


class MarketReport(msgspec.Struct, kw_only=True):
    """One market."""

    slug: str
    condition_id: str
    frames: int = 0
    books: int = 0
    changes: int = 0
    stale: int = 0
    """Books and deltas that are older than the book they are for."""
    duplicates: int = 0
    """Deltas that came twice within their millisecond."""
    without_book: int = 0
    """Deltas before the first `book` of a connection."""
    checks: Checks
    first_mismatch_at_ms: int | None = None
    longest_silence_ms: int | None = None
    """Within its window; None when nothing of it was recorded."""
    silent_since_ms: int = 0


class _Verdict(NamedTuple):
    """On the present version, as of its newest frame."""

    hashed: bool
    """Whether the venue named a hash."""
    matched: bool
    agrees: bool
    """Whether best bid and ask are the venue's."""
    crossed: bool
    at_ms: int


class _Token:
    """One token's book, and the verdict on its present version while more frames may come."""

    __slots__ = ("book", "unmatched", "verdict")

    def __init__(self, token_id: str, checksum: BookChecksum) -> None:
        self.book = TokenBook(token_id, checksum)
        self.unmatched = 0
        """In a row."""
        self.verdict: _Verdict | None = None


class InspectedMarket:
    """`apply` its events in order, `end` it for the report."""

    def __init__(self, info: MarketInfo) -> None:
        self.info = info
        self.report = MarketReport(slug=info.slug, condition_id=info.condition_id, checks=Checks())
        self.heard_at_ms: int | None = None
        self._checksum = BookChecksum(info)
        self._tokens = {
            outcome.token_id: _Token(outcome.token_id, self._checksum) for outcome in info.outcomes
        }
        self._unmatched = 0

    @property
    def token_ids(self) -> set[str]:
        """Both tokens."""
        return set(self._tokens)

    def heard(self, at_ms: int) -> None:
        """Something of this market came, or the recording ends."""
        if self.heard_at_ms is not None:
            since_ms = max(self.heard_at_ms, self.info.start_ms)
            silence_ms = max(min(at_ms, self.info.end_ms) - since_ms, 0)
            report = self.report
            if report.longest_silence_ms is None or silence_ms > report.longest_silence_ms:
                report.longest_silence_ms, report.silent_since_ms = silence_ms, since_ms
        self.heard_at_ms = at_ms

    def forget_books(self) -> None:
        """Something may have been missed: until their next snapshot nothing is known of them."""
        for token in self._tokens.values():
            self._close(token)
            token.book.reset()

    def apply(self, event: KnownEvent, at_ms: int) -> None:
        """Raises ValueError naming what is no number; some deltas may have been applied."""
        if isinstance(event, PriceChangeEvent):
            self._change(event, at_ms)
        elif isinstance(event, BookEvent):
            self._replace(event, at_ms)
        elif isinstance(event, LastTradeEvent):
            if event.price:
                self._checksum.traded(event.asset_id, event.price)
        else:
            self._checksum.tick_size(event.new_tick_size, event.timestamp)

    def _replace(self, event: BookEvent, at_ms: int) -> None:
        report, token = self.report, self._tokens.get(event.asset_id)
        if token is None:
            return
        report.books += 1
        book = token.book
        before = book.timestamp_ms, book.hash
        self._limit_searches(token)
        result = book.replace(event, from_rest=False)
        if book.trouble is not None:  # refused, or given up after mismatches
            book.reset()
            result = book.replace(event, from_rest=False)
        if result is not SnapshotResult.TAKEN:
            report.stale += (event.timestamp, event.hash or "") != before
            return
        same = (book.timestamp_ms, book.hash) == before
        verdict = self._verdict(token, None, at_ms)
        if not (verdict.matched and same):
            self._close(token)
        token.verdict = verdict
        if not verdict.matched:
            self._close(token)

    def _change(self, event: PriceChangeEvent, at_ms: int) -> None:
        report, timestamp_ms = self.report, event.timestamp
        last: dict[str, PriceChange] = {}
        for change in event.price_changes:
            token = self._tokens.get(change.asset_id)
            if token is None:
                continue
            report.changes += 1
            book = token.book
            before = book.timestamp_ms, book.hash
            if book.change(change, timestamp_ms):
                if not change.hash or (timestamp_ms, change.hash) != before:
                    self._close(token)
                last[change.asset_id] = change
            elif book.trouble is not None:
                report.without_book += 1
            elif timestamp_ms < book.timestamp_ms:
                report.stale += 1
            else:
                report.duplicates += 1
        for token_id, change in last.items():
            token = self._tokens[token_id]
            self._limit_searches(token)
            token.verdict = self._verdict(token, change, at_ms)

    def _verdict(self, token: _Token, last: PriceChange | None, at_ms: int) -> _Verdict:
        """`last` is the delta that made the version, None for a `book`."""
        book = token.book
        bid_e4, ask_e4 = book.best
        return _Verdict(
            hashed=bool(book.hash),
            matched=book.proof is Proof.CHECKSUM or (bool(book.hash) and book.matches_hash()),
            agrees=last is None
            or (
                agrees(last.best_bid, bid_e4, "best_bid")
                and agrees(last.best_ask, ask_e4, "best_ask")
            ),
            crossed=bid_e4 is not None and ask_e4 is not None and bid_e4 >= ask_e4,
            at_ms=at_ms,
        )

    def _close(self, token: _Token) -> None:
        """No more frames of the present version will come: count it."""
        verdict, token.verdict = token.verdict, None
        if verdict is None:
            return
        checks = self.report.checks
        checks.top_mismatched += not verdict.agrees
        checks.crossed += verdict.crossed
        if not verdict.hashed:
            checks.no_hash += 1
        elif verdict.matched:
            checks.matched += 1
            token.unmatched = 0
        else:
            token.unmatched += 1
            self._unmatched += 1
            if self.report.first_mismatch_at_ms is None:
                self.report.first_mismatch_at_ms = verdict.at_ms

    def _limit_searches(self, token: _Token) -> None:
        self._checksum.unknown = token.unmatched >= _SEARCHES_MAX

    def end(self, at_ms: int) -> MarketReport:
        """The verdict, as of now; the last call."""
        self.heard(at_ms)
        for token in self._tokens.values():
            self._close(token)
        checks = self.report.checks
        if self._checksum.confirmed:
            checks.mismatched, checks.unknown = self._unmatched, 0
        else:
            checks.mismatched, checks.unknown = 0, self._unmatched
            self.report.first_mismatch_at_ms = None
        return self.report
