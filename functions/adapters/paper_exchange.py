"""Paper execution: fills from the published books, no venue, no key.

When an order is filled, and from which book:

1. It is held as long as the venue holds a taker order of its market (`itode`, `sd` of the CLOB's
   record), and for `PAPER_DELAY_MS` where the market names no delay.
2. Then it meets the newest book of its market that this worker has, if that is another one than it
   was decided on, proven, fresh and not crossed.
3. The feeder publishes changes only. So where no other book has come by then, or none that can be
   used, the first one that comes fills it: the venue's would have been at least as old. It waits
   for that as long as a book may be old (`MAX_BOOK_AGE_MS`).
4. It gets nothing, as a FAK order that finds no match (`no_match`), when no such book comes, when
   the market was dark at any time since the decision, when it has ended, or takes no orders.

Models also the limit price, partial fills, and that shares are taken once: what a paper order has
taken is gone until the venue shows another size at that price.
Does not model: other takers, rejections, our own impact, books that other workers got.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

import msgspec

from functions.core.claim import PAPER_ORDER
from functions.core.gate import GateConfig, hold_reason_of
from functions.core.hold import HoldReason
from functions.core.paper_fill import Taken, accepted_of, left_of, take_asks, taken_with
from functions.core.trade import Trade
from functions.ports import PreparedOrder
from protocol.book import Book, Proof
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE
from runtime.instant import Instant
from venue.wire.order_answer import Answer, Rejected, RejectReason

DELAY_MAX_MS: Final = 30_000
"""A longer hold is cut to this: reconciliation gives an order up after 45 s."""
_FOR_GOOD: Final = (HoldReason.DARK, HoldReason.NOT_ACCEPTING, HoldReason.TOO_CLOSE_TO_END)
"""What no book that comes later makes good."""


class _PaperOrder(msgspec.Struct, frozen=True):
    decided_on: BookSnapshot
    token_id: str
    max_price_e4: int


class PaperBooks:
    """The newest book of each market, for all paper accounts of a worker."""

    def __init__(self) -> None:
        self.newest: dict[str, tuple[BookSnapshot, Instant]] = {}
        """With the moment when it came."""
        self.dark: dict[str, BookSnapshot] = {}
        """The last time that a market was dark."""
        self.news = asyncio.Event()

    def note(self, snapshot: BookSnapshot) -> None:
        """The market's newest book, from now on."""
        condition_id = snapshot.market.condition_id
        known = self.newest.get(condition_id)
        if known is not None and known[0] is snapshot:
            return  # another account has told
        self.newest[condition_id] = snapshot, Instant()
        if snapshot.proof is Proof.NONE:
            self.dark[condition_id] = snapshot
        self.news.set()

    def forget(self, condition_id: str) -> None:
        """A market that is not dealt with any more."""
        self.newest.pop(condition_id, None)
        self.dark.pop(condition_id, None)


class PaperExchange:
    """`functions.ports.Exchange` without a venue, of one account: what it has taken of a book it
    has taken from nobody else.

    `taker_delay_ms` says how long the venue holds a taker order of a market (by condition id), None
    where that is not known. `gate` says what a book must show now to be filled from. `books` are
    shared with the worker's other paper accounts.
    """

    def __init__(
        self,
        delay_ms: int,
        gate: Callable[[], GateConfig],
        taker_delay_ms: Callable[[str], int | None],
        books: PaperBooks | None = None,
    ) -> None:
        self._delay_ms = delay_ms
        # To the last millisecond: an order that is there may be filled until the market's end.
        self._gate = gate
        self._taker_delay_ms = taker_delay_ms
        self._books = books or PaperBooks()
        self._taken: dict[str, dict[str, Taken]] = {}
        """By condition id and token id."""

    async def warm(self, market: MarketInfo) -> None:
        """Nothing to warm."""

    def observe(self, snapshot: BookSnapshot) -> None:
        """See `Exchange.observe`."""
        self._books.note(snapshot)

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        """An order id of our own, and the book that it must not be filled from."""
        return PreparedOrder(
            order_id=f"{PAPER_ORDER}{secrets.token_hex(16)}",
            salt=str(secrets.randbits(53)),
            order_timestamp_ms=time.time_ns() // 1_000_000,
            spend_e6=trade.spend_e6,
            size_e6=trade.spend_e6 * PRICE_SCALE // trade.max_price_e4,
            payload=_PaperOrder(snapshot, trade.token_id, trade.max_price_e4),
        )

    async def post(self, order: PreparedOrder) -> Answer:
        """Hold the order as the venue would, then fill it (FAK)."""
        paper: _PaperOrder = order.payload
        await asyncio.sleep(self._hold_ms(paper.decided_on.market.condition_id) / 1000)
        book = await self._book_after_hold(paper)
        if isinstance(book, str):
            return Rejected(reason=RejectReason.NO_MATCH, text=book)
        of_market = self._taken.setdefault(paper.decided_on.market.condition_id, {})
        taken = of_market.get(book.token_id, {})
        bought = take_asks(left_of(book.asks, taken), order.spend_e6, paper.max_price_e4)
        if not bought:
            return Rejected(reason=RejectReason.NO_MATCH, text="no ask at or below the limit")
        of_market[book.token_id] = taken_with(taken, book.asks, bought)
        return accepted_of(
            bought,
            order_id=order.order_id,
            condition_id=paper.decided_on.market.condition_id,
            token_id=paper.token_id,
            spend_e6=order.spend_e6,
            at_ms=time.time_ns() // 1_000_000,
        )

    async def refresh_balance(self) -> None:
        """Paper money is never locked."""

    def forget(self, condition_id: str) -> None:
        """See `Exchange.forget`."""
        self._books.forget(condition_id)
        self._taken.pop(condition_id, None)

    def rehearsal(self) -> None:
        """A paper order is in no hurry: it is held."""

    def problem(self) -> str | None:
        """Paper is always there."""
        return None

    async def upkeep(self) -> None:
        """Nothing to do, until cancelled."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to release."""

    def _hold_ms(self, condition_id: str) -> int:
        named_ms = self._taker_delay_ms(condition_id)
        return min(self._delay_ms if named_ms is None else named_ms, DELAY_MAX_MS)

    async def _book_after_hold(self, paper: _PaperOrder) -> Book | str:
        """The book that fills the order, or why there is none."""
        refused = "no other book came"
        try:
            async with asyncio.timeout(self._gate().book_age_max_ms / 1000):
                while True:
                    self._books.news.clear()
                    found = self._usable(paper)
                    if isinstance(found, Book):
                        return found
                    refused = f"no book to be filled from: {found}"
                    if found in _FOR_GOOD:
                        return refused
                    await self._books.news.wait()
        except TimeoutError:
            return refused

    def _usable(self, paper: _PaperOrder) -> Book | HoldReason | str:
        """The bought token's book in the newest snapshot, or what is wrong with that."""
        decided_on = paper.decided_on
        condition_id = decided_on.market.condition_id
        dark = self._books.dark.get(condition_id)
        if dark is not None and _version(dark) > _version(decided_on):
            return HoldReason.DARK
        newest, came = self._books.newest.get(condition_id) or (decided_on, Instant())
        now_ms = came.now_ns() // 1_000_000
        if now_ms >= min(decided_on.market.end_ms, newest.market.end_ms):
            return HoldReason.TOO_CLOSE_TO_END
        book, before = (_book_of(each, paper.token_id) for each in (newest, decided_on))
        bids_max = min(newest.bids_max, decided_on.bids_max)
        if book is None or before is None or _shown(book, bids_max) == _shown(before, bids_max):
            return "no other book than it was decided on"
        # Such a book fills until its market's end, which is looked at above.
        gate = msgspec.structs.replace(self._gate(), time_to_close_min_ms=1)
        reason = hold_reason_of(newest, gate, now_ms)
        if reason is not None:
            return reason
        spread_e4 = book.spread_e4
        return HoldReason.CROSSED if spread_e4 is not None and spread_e4 <= 0 else book


def _version(snapshot: BookSnapshot) -> tuple[int, int]:
    return snapshot.epoch, snapshot.sequence


def _shown(book: Book, bids_max: int) -> Book:
    """What two feeders show of one book, of which one may publish fewer bids."""
    return msgspec.structs.replace(book, bids=book.bids[:bids_max])


def _book_of(snapshot: BookSnapshot, token_id: str) -> Book | None:
    return next((book for book in snapshot.books if book.token_id == token_id), None)
