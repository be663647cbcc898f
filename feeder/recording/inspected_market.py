"""One recorded market: its books built again, and what the venue's own words say of them.

1. Counted are *versions* of a book, (timestamp, hash), as their last frame leaves it: a trade sends
   several frames for one, and only the last of them makes the book that the hash is of. A `book`
   that does not have its own hash is wrong at once. Nothing is put off and nothing is given up: a
   book that does not match goes on being built, so what matches again later is seen, too.
2. Whether an unmatched hash is the book's fault or the formula's is known at the end: once any hash
   of a market has matched, the formula is right and the others are mismatches; until then they are
   `unknown`.
3. Deltas before a book's first snapshot are counted and not applied, nor are those older than it,
   nor those that come twice.
4. A market's silence counts from the start of its window to its end, or to the recording's.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import msgspec

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.ladder import Ladder, json_of, parse_level, parse_levels, price_of
from protocol.market import MarketInfo
from protocol.units import PRICE_SCALE
from venue.wire.market_channel import (
    BookEvent,
    KnownEvent,
    LastTradeEvent,
    PriceChange,
    PriceChangeEvent,
)

# A failed search for the trade price costs a millisecond; after so many the known ones must do.
_SEARCHES_MAX: Final = 50
# As in `TokenBook`: the venue repeats whole frames within a few milliseconds.
_PRESENT_MAX: Final = 32


class Checks(msgspec.Struct, kw_only=True):
    """What the venue's words said of the books: counts of versions."""

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

    matched: bool
    agrees: bool
    """Whether best bid and ask are the venue's."""
    crossed: bool
    at_ms: int


class _Token:
    """One token's book as far as its checksum goes."""

    __slots__ = (
        "asks",
        "bids",
        "hash",
        "known",
        "present",
        "timestamp_ms",
        "unmatched",
        "verdict",
    )

    def __init__(self) -> None:
        self.bids, self.asks = Ladder(ascending=True), Ladder(ascending=False)
        self.known = False
        self.timestamp_ms = 0
        self.hash = ""
        self.unmatched = 0
        """In a row."""
        self.verdict: _Verdict | None = None
        self.present: deque[PriceChange] = deque(maxlen=_PRESENT_MAX)
        """The newest deltas of the present millisecond."""

    def is_crossed(self) -> bool:
        bid_e4, ask_e4 = self.bids.best_e4, self.asks.best_e4
        return bid_e4 is not None and ask_e4 is not None and bid_e4 >= ask_e4


class InspectedMarket:
    """`apply` its events in order, `end` it for the report."""

    def __init__(self, info: MarketInfo) -> None:
        self.info = info
        self.checksum = BookChecksum(info)
        self.tokens = {outcome.token_id: _Token() for outcome in info.outcomes}
        self.report = MarketReport(slug=info.slug, condition_id=info.condition_id, checks=Checks())
        self.unmatched = 0
        self.heard_at_ms: int | None = None

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
        for token in self.tokens.values():
            self._close(token)
            token.known = False

    def apply(self, event: KnownEvent, at_ms: int) -> None:
        """Raises ValueError naming what is no number; some deltas may have been applied."""
        if isinstance(event, PriceChangeEvent):
            self._change(event, at_ms)
        elif isinstance(event, BookEvent):
            self._replace(event, at_ms)
        elif isinstance(event, LastTradeEvent):
            self.checksum.traded(event.asset_id, event.price)
        else:
            self.checksum.tick_size(event.new_tick_size, event.timestamp)

    def _replace(self, event: BookEvent, at_ms: int) -> None:
        report, token = self.report, self.tokens.get(event.asset_id)
        if token is None:
            return
        report.books += 1
        if token.known and event.timestamp < token.timestamp_ms:
            report.stale += 1
            return
        bids, asks = parse_levels(event.bids or (), "bids"), parse_levels(event.asks or (), "asks")
        matched = False
        if event.hash:
            self._spare_searches(token)
            matched = self.checksum.proves(event, json_of(bids), json_of(asks))
        if not matched or (event.timestamp, event.hash) != (token.timestamp_ms, token.hash):
            self._close(token)
        if matched or not self.checksum.confirmed:
            self.checksum.learn(event)
        token.bids = Ladder(ascending=True, levels=bids)
        token.asks = Ladder(ascending=False, levels=asks)
        token.known, token.timestamp_ms, token.hash = True, event.timestamp, event.hash or ""
        token.present.clear()
        token.verdict = _Verdict(matched, True, token.is_crossed(), at_ms)
        if not matched:
            self._close(token)

    def _change(self, event: PriceChangeEvent, at_ms: int) -> None:
        report, timestamp_ms = self.report, event.timestamp
        last: dict[str, PriceChange] = {}
        for change in event.price_changes:
            token = self.tokens.get(change.asset_id)
            if token is None:
                continue
            report.changes += 1
            level = parse_level(change.price, change.size)
            if not token.known:
                report.without_book += 1
                continue
            if timestamp_ms < token.timestamp_ms:
                report.stale += 1
                continue
            if timestamp_ms != token.timestamp_ms:
                token.present.clear()
            if change.hash and change in token.present:
                report.duplicates += 1
                continue
            if not change.hash or (timestamp_ms, change.hash) != (token.timestamp_ms, token.hash):
                self._close(token)
            token.present.append(change)
            (token.bids if change.side == "BUY" else token.asks).put(level)
            token.timestamp_ms, token.hash = timestamp_ms, change.hash or ""
            last[change.asset_id] = change
        for token_id, change in last.items():
            self._check(token_id, change, at_ms)

    def _check(self, token_id: str, change: PriceChange, at_ms: int) -> None:
        token = self.tokens[token_id]
        agrees = _agrees(change.best_bid, token.bids.best_e4) and _agrees(
            change.best_ask, token.asks.best_e4
        )
        matched = False
        if change.hash:
            self._spare_searches(token)
            bids, asks = token.bids.json(), token.asks.json()
            matched = self.checksum.matches(token_id, token.timestamp_ms, bids, asks, change.hash)
        token.verdict = _Verdict(matched, agrees, token.is_crossed(), at_ms)

    def _close(self, token: _Token) -> None:
        """No more frames of the present version will come: count it."""
        verdict, token.verdict = token.verdict, None
        if verdict is None:
            return
        checks = self.report.checks
        checks.top_mismatched += not verdict.agrees
        checks.crossed += verdict.crossed
        if token.hash:
            self._count(token, verdict.matched, verdict.at_ms)
        else:
            checks.no_hash += 1

    def _spare_searches(self, token: _Token) -> None:
        self.checksum.unknown = token.unmatched >= _SEARCHES_MAX

    def _count(self, token: _Token, matched: bool, at_ms: int) -> None:
        if matched:
            token.unmatched = 0
            self.report.checks.matched += 1
            return
        token.unmatched += 1
        self.unmatched += 1
        if self.report.first_mismatch_at_ms is None:
            self.report.first_mismatch_at_ms = at_ms

    def end(self, at_ms: int) -> MarketReport:
        """The verdict, as of now; the last call."""
        self.heard(at_ms)
        for token in self.tokens.values():
            self._close(token)
        checks = self.report.checks
        if self.checksum.confirmed:
            checks.mismatched, checks.unknown = self.unmatched, 0
        else:
            checks.mismatched, checks.unknown = 0, self.unmatched
            self.report.first_mismatch_at_ms = None
        return self.report


def _agrees(theirs: str | None, ours_e4: int | None) -> bool:
    """Whether the venue's best price is ours. For an empty side it sends "", "0" or "1"."""
    if theirs is None:
        return True
    theirs_e4 = price_of(theirs) if theirs else 0
    return theirs_e4 == ours_e4 if ours_e4 is not None else theirs_e4 in (0, PRICE_SCALE)
