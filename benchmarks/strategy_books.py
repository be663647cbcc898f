"""Books for the benchmark of strategies: one market's random changes, shown as 50 markets.

40 levels a side, both outcomes, encoded as a feeder does it (`benchmarks.book_updates` says how the
changes are made). A book is stamped when it is made, as if the venue had sent it just now.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from benchmarks.book_updates import _BEGIN_MS, _Feed
from protocol.book import Book
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot, encode_snapshot
from protocol.subjects import book_subject

MARKETS: Final = 50
_WINDOW_MS: Final = 3_600_000


class Books:
    """Ever newer books of `MARKETS` markets, which take turns; none ends within half an hour."""

    def __init__(self) -> None:
        feed, self._shown = _Feed(hashed=False), []
        table = feed.begun()
        (session,) = table
        for number, event in enumerate(feed._changes):
            table.apply(0, event, event.timestamp * 1_000_000)
            shown = table.snapshot(session, _BEGIN_MS * 1_000_000, number)
            assert shown is not None
            self._shown.append(shown)
        start_ms = time.time_ns() // 1_000_000 - _WINDOW_MS // 4
        info = self._shown[0].market
        self._markets = [_market(info, number, start_ms) for number in range(MARKETS)]
        self._turn = 0

    @property
    def condition_ids(self) -> list[str]:
        """Of all markets."""
        return [each.condition_id for each in self._markets]

    @property
    def made(self) -> int:
        """How many there were so far: the sequence of the last one."""
        return self._turn

    def subject(self, number: int) -> str:
        """Where the books of a market are published."""
        market = self._markets[number]
        return book_subject(market.series, market.condition_id)

    def next(self) -> tuple[int, bytes]:
        """The next market's number and its new book."""
        number, round_ = self._turn % MARKETS, self._turn // MARKETS
        self._turn += 1
        # Each market has got somewhere else, so that not all of them say the same at once.
        shown = self._shown[(round_ + number * 37) % len(self._shown)]
        return number, encode_snapshot(_as_of(shown, self._markets[number], self._turn))


def _as_of(shown: BookSnapshot, market: MarketInfo, sequence: int) -> BookSnapshot:
    now_ns = time.time_ns()
    up, down = market.outcomes
    token_ids = dict(
        zip((each.token_id for each in shown.market.outcomes), (up, down), strict=True)
    )

    def of(book: Book) -> Book:
        token_id = token_ids[book.token_id].token_id
        return msgspec.structs.replace(book, token_id=token_id, timestamp_ms=now_ns // 1_000_000)

    return msgspec.structs.replace(
        shown,
        market=market,
        books=(of(shown.books[0]), of(shown.books[1])),
        venue_timestamp_ms=now_ns // 1_000_000,
        received_at_ns=now_ns,
        published_at_ns=now_ns,
        epoch=1,
        sequence=sequence,
    )


def _market(info: MarketInfo, number: int, start_ms: int) -> MarketInfo:
    outcomes = tuple(
        msgspec.structs.replace(each, token_id=f"{each.token_id[:-3]}{number:03d}")
        for each in info.outcomes
    )
    return msgspec.structs.replace(
        info,
        condition_id=f"0x{number:064x}",
        slug=f"{info.slug}-{number}",
        outcomes=outcomes,
        start_ms=start_ms,
        end_ms=start_ms + _WINDOW_MS,
    )
