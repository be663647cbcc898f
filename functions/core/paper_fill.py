"""What a market BUY would get from a book: the trades that paper trading records."""

from __future__ import annotations

from protocol.book import Book, Level
from protocol.units import PRICE_SCALE, cost_e6


def take_asks(book: Book, spend_e6: int, max_price_e4: int) -> tuple[Level, ...]:
    """(price, shares) taken of each ask, best first, up to `max_price_e4` and `spend_e6` (FAK).

    Does not model: the queue, others' orders, the venue's delay, or our own impact on the book.
    """
    taken: list[Level] = []
    left_e6 = spend_e6
    for price_e4, level_size_e6 in book.asks:
        size_e6 = min(level_size_e6, left_e6 * PRICE_SCALE // price_e4)
        if price_e4 > max_price_e4 or size_e6 == 0:
            break
        left_e6 -= cost_e6(price_e4, size_e6)
        taken.append((price_e4, size_e6))
    return tuple(taken)
