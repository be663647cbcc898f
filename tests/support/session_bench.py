"""A session table with two lines, one market of a naive venue, and a clock that a test moves."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from feeder.core.market.book_request_schedule import RequestOutcome
from feeder.core.market.market_session import LINES, MarketSession
from feeder.core.market.session_table import Applied, BookRequest, Due, SessionTable
from protocol.book import PUBLISHED_LEVELS_MAX, Book, Proof
from protocol.fee import NO_FEE
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from protocol.snapshot import BookSnapshot
from tests.fuzz.venue import START_MS, Market, Token
from venue.wire.market_channel import (
    FrameFault,
    Malformed,
    Pong,
    UnknownEvent,
    decode_book,
    decode_frame,
)

SERIES = parse_series("btc-15m")
CENTS = 2
"""Number of a market with a tick of 0.01."""
ANY_MARKET = Malformed(FrameFault.NOT_JSON, "truncated", None)
"""What may have changed any book of its line."""


def info_of(market: Market, **more: Any) -> MarketInfo:
    """As it is listed; running since a minute."""
    first, second = market.tokens
    info = MarketInfo(
        condition_id=market.condition_id,
        slug=f"btc-updown-15m-{market.condition_id[-4:]}",
        series=SERIES.name,
        outcomes=(
            Outcome(name="Up", token_id=first.token_id),
            Outcome(name="Down", token_id=second.token_id),
        ),
        start_ms=START_MS - 60_000,
        end_ms=START_MS + 840_000,
        tick_size_e4=market.tick_e4,
        min_order_size_e6=5_000_000,
        fee=NO_FEE,
        neg_risk=False,
        accepting=True,
    )
    return msgspec.structs.replace(info, **more)


class Bench:
    """See above. Frames reach a line when the test hands them over, and not otherwise."""

    def __init__(self, market: Market | None = None) -> None:
        self.market = market or Market(CENTS, Random(1), hidden_inputs=False)
        self.now_ms = START_MS
        self.table = SessionTable([SERIES])
        self.table.follow(info_of(self.market), self.now_ms)

    @property
    def session(self) -> MarketSession:
        return next(s for s in self.table if s.info.condition_id == self.market.condition_id)

    @property
    def tokens(self) -> frozenset[str]:
        return frozenset(token.token_id for token in self.market.tokens)

    # ---- the venue

    def change(self, size: int = 7, *, price_e4: int | None = None, side: str = "BUY") -> bytes:
        """The next version: one level of the first token has another size; its frame."""
        first, _ = self.market.tokens
        if price_e4 is None:
            price_e4 = max(first.bids) - 200 if side == "BUY" else min(first.asks) + 200
        change = side, price_e4, size * 1_000_000
        self.market.put(*change)
        self.market.commit(self.now_ms)
        return self.market.price_change(self.market.entries(*change), self.now_ms)

    def opening(self) -> bytes:
        books = [self.market.opening_book(token) for token in self.market.tokens]
        return f"[{','.join(books)}]".encode()

    # ---- the feeder

    def send(self, line: int, *frames: bytes) -> Applied:
        """A line receives frames; returns what their last event did."""
        applied = Applied()
        for each in [event for frame in frames for event in decode_frame(frame)]:
            assert not isinstance(each, UnknownEvent | Pong | Malformed)
            applied = self.table.apply(line, each, self.now_ms * 1_000_000)
        return applied

    def open(self, *lines: int) -> None:
        """Connect lines, by default both, and let them have the books."""
        for line in lines or range(LINES):
            self.table.connected(line, self.tokens, self.now_ms)
            self.send(line, self.opening())

    def pass_ms(self, ms: int) -> Due:
        """Let time pass; what is due then."""
        self.now_ms += ms
        return self.table.take_due(self.now_ms)

    def answer(self, request: BookRequest, body: bytes | None = None) -> RequestOutcome:
        """Answer a request, by default with the book as it is."""
        (token,) = [each for each in self.market.tokens if each.token_id == request.token_id]
        event = decode_book(body or self.market.rest_book(token))
        return self.table.take_answer(request, event, self.now_ms * 1_000_000, self.now_ms)

    def show(self) -> BookSnapshot | None:
        """What would be published now; it is compared with the venue's books."""
        snapshot = self.table.snapshot(self.session, self.now_ms * 1_000_000, epoch=7)
        if snapshot is not None and snapshot.proof is not Proof.NONE:
            for token, book in zip(self.market.tokens, snapshot.books, strict=True):
                assert levels_of(book) == levels_at(token, book)
        return snapshot

    def is_up_to_date(self) -> bool:
        """Whether what would be published now are the venue's newest books."""
        snapshot = self.show()
        return snapshot is not None and [
            (book.timestamp_ms, book.hash) for book in snapshot.books
        ] == [token.version for token in self.market.tokens]


def levels_of(book: Book) -> list[list[tuple[int, int]]]:
    return [list(book.bids), list(book.asks)]


def levels_at(token: Token, book: Book) -> list[list[tuple[int, int]]]:
    """The token's levels at the version that the book says it is; KeyError if there was none."""
    bids, asks = token.versions[book.timestamp_ms, book.hash]
    sides = [(bids, sorted(bids, reverse=True)), (asks, sorted(asks))]
    return [[(p, side[p][0]) for p in prices[:PUBLISHED_LEVELS_MAX]] for side, prices in sides]
