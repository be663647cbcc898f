"""The best prices that the venue states with a delta, against those of a book."""

from __future__ import annotations

from feeder.core.book.ladder import Sides, price_of
from feeder.core.book.trouble import Trouble
from protocol.units import PRICE_SCALE
from venue.wire.market_channel import PriceChange


def names_top(last: PriceChange) -> bool:
    """Whether a delta says what a book has to agree with where no hash can be checked."""
    return last.best_bid is not None and last.best_ask is not None


def agrees(theirs: str | None, ours_e4: int | None, field: str) -> bool:
    """Whether the venue's best price is ours. For an empty side it sends "", "0" or "1"."""
    if theirs is None:
        return True
    try:
        theirs_e4 = price_of(theirs) if theirs else 0
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    return theirs_e4 == ours_e4 if ours_e4 is not None else theirs_e4 in (0, PRICE_SCALE)


def trouble_at_top(sides: Sides, last: PriceChange | None) -> Trouble | None:
    """Whether the best prices contradict the venue's word in its last delta, or each other.

    Raises ValueError naming the field when that is not a price.
    """
    bid_e4, ask_e4 = sides.bids.best_e4, sides.asks.best_e4
    if last is not None and not (
        agrees(last.best_bid, bid_e4, "best_bid") and agrees(last.best_ask, ask_e4, "best_ask")
    ):
        return Trouble.TOP_MISMATCH
    if bid_e4 is not None and ask_e4 is not None and bid_e4 >= ask_e4:
        return Trouble.CROSSED
    return None
