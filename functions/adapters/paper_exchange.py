"""Paper execution: fills from the published book, no venue, no key.

Models the venue's hold before matching (`delay_ms`), the limit price and partial fills (and with
them the fee, which follows from the trades).
Does not model: the book changing during the hold, other takers, rejections, our own impact.
"""

from __future__ import annotations

import asyncio
import secrets
import time

import msgspec

from functions.core.claim import PAPER_ORDER
from functions.core.paper_fill import take_asks
from functions.core.strategy import Trade
from functions.ports import PreparedOrder
from protocol.book import Book
from protocol.fill import Fill, TradeStatus
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE, cost_e6
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason


class _PaperOrder(msgspec.Struct, frozen=True):
    condition_id: str
    book: Book
    max_price_e4: int


class PaperExchange:
    """`functions.ports.Exchange` without a venue."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_s = delay_ms / 1000

    async def warm(self, market: MarketInfo) -> None:
        """Nothing to warm."""

    async def prepare(self, trade: Trade, snapshot: BookSnapshot) -> PreparedOrder:
        """An order id of our own, and the book it will fill from."""
        book = next(book for book in snapshot.books if book.token_id == trade.token_id)
        salt = secrets.randbits(53)
        return PreparedOrder(
            order_id=f"{PAPER_ORDER}{secrets.token_hex(16)}",
            salt=str(salt),
            order_timestamp_ms=time.time_ns() // 1_000_000,
            spend_e6=trade.spend_e6,
            size_e6=trade.spend_e6 * PRICE_SCALE // trade.max_price_e4,
            payload=_PaperOrder(snapshot.market.condition_id, book, trade.max_price_e4),
        )

    async def post(self, order: PreparedOrder) -> Answer:
        """Wait as long as the venue would hold the order, then fill it (FAK)."""
        await asyncio.sleep(self._delay_s)
        paper: _PaperOrder = order.payload
        taken = take_asks(paper.book, order.spend_e6, paper.max_price_e4)
        if not taken:
            return Rejected(reason=RejectReason.NO_MATCH, text="no ask at or below the limit")
        spend_e6 = sum(cost_e6(price_e4, size_e6) for price_e4, size_e6 in taken)
        now_ms = time.time_ns() // 1_000_000
        return Accepted(
            # Whole cents are sent, but a share costs a fraction of one: a rest below that is full.
            status="matched" if order.spend_e6 - spend_e6 < 10_000 else "partly_matched",
            spend_e6=spend_e6,
            size_e6=sum(size_e6 for _, size_e6 in taken),
            fills=tuple(
                Fill(
                    trade_id=f"{order.order_id}-{number}",
                    order_id=order.order_id,
                    condition_id=paper.condition_id,
                    token_id=paper.book.token_id,
                    status=TradeStatus.CONFIRMED,
                    price_e4=price_e4,
                    size_e6=size_e6,
                    matched_at_ms=now_ms,
                )
                for number, (price_e4, size_e6) in enumerate(taken)
            ),
        )

    async def refresh_balance(self) -> None:
        """Paper money is never locked."""

    async def upkeep(self) -> None:
        """Nothing to keep up: waits until cancelled."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to release."""
