"""What a market BUY would get from a book: the fill that paper trading records."""

from __future__ import annotations

import msgspec

from protocol.book import Book
from protocol.market import FeeSchedule, taker_fee_e6
from protocol.units import PRICE_SCALE, cost_e6


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """Money in 1e-6 USD (the fee comes on top of the spend), shares in 1e-6."""

    spend_e6: int
    size_e6: int
    fee_e6: int


def take_asks(book: Book, spend_e6: int, max_price_e4: int, fee: FeeSchedule) -> Fill:
    """Walk the asks, best first, up to `max_price_e4` until `spend_e6` is spent (FAK).

    Does not model: the queue, others' orders, the venue's delay, or our own impact on the book.
    """
    left, size, fees = spend_e6, 0, 0
    for price_e4, level_size_e6 in book.asks:
        if price_e4 > max_price_e4:
            break
        taken = min(level_size_e6, left * PRICE_SCALE // price_e4)
        if taken == 0:
            break
        left -= cost_e6(price_e4, taken)
        size += taken
        fees += taker_fee_e6(fee, price_e4, taken)
    return Fill(spend_e6=spend_e6 - left, size_e6=size, fee_e6=fees)
