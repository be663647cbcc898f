"""What the venue says about an order and about a market: the evidence that moves claims."""

from __future__ import annotations

import msgspec

from protocol.fill import Fill


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's record of one of our orders."""

    order_id: str
    status: str
    """An open set of the venue's words (`live`, `matched`, `unmatched`, `delayed`, `canceled`...),
    in lower case: never relied on to mean that nothing was bought."""
    size_matched_e6: int


class OrderLookup(msgspec.Struct, frozen=True, kw_only=True):
    """One complete lookup of an order: both questions were answered, at nearly the same time.

    `order is None` and no trades is "not found", which proves nothing by itself: reads lag.
    """

    order: OrderRecord | None
    trades: tuple[Fill, ...]


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What a market's tokens pay, final."""

    payouts_e6: dict[str, int]
    """token id -> USD a share in 1e-6: 1,000,000 for the winner, 500,000 each for a split."""
    source: str
    """Whose word it is: `clob` or `gamma`."""
