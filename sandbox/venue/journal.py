"""What happened at the venue: the record that tests and the sandbox's final check trust.

Everything is kept for as long as the venue lives; a run is minutes to hours, an entry is small.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sandbox.venue.matching import Fill
from sandbox.venue.order import Order


class Entry(msgspec.Struct, kw_only=True):
    """One POST /order, from the moment its body was read."""

    received_at_ns: int
    order_id: str = ""
    """Empty when the body was not an order."""
    verdict: Literal["received", "matched", "refused", "unauthorized", "intercepted"] = "received"
    """`intercepted`: a fault hook answered, or cut, before the order was looked at."""
    text: str = ""
    """The error text that was answered."""
    condition_id: str = ""
    slug: str = ""
    token_id: str = ""
    outcome: str = ""
    order_type: str = ""
    amount_e6: int = 0
    """USD the order offered."""
    limit_e4: int = 0
    fills: list[Fill] = []
    spend_e6: int = 0
    size_e6: int = 0
    fee_e6: int = 0
    trade_ids: list[str] = []
    balance_after_e6: int = 0


class Trade(msgspec.Struct, kw_only=True):
    """One fill on its way to the chain."""

    trade_id: str
    order_id: str
    owner: str
    maker_address: str
    condition_id: str
    token_id: str
    outcome: str
    fill: Fill
    transaction_hash: str
    status: str
    matched_at_ms: int
    updated_at_ms: int


class MatchedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that traded."""

    order: Order
    condition_id: str
    outcome: str
    limit_e4: int
    size_matched_e6: int
    trade_ids: tuple[str, ...]
    created_at_ms: int


class Journal(msgspec.Struct, kw_only=True):
    """All POSTs in the order of their arrival, and what came of them."""

    entries: list[Entry] = []
    orders: dict[str, MatchedOrder] = {}
    trades: dict[str, Trade] = {}
    seen: set[str] = set()
    """Ids that reached the matching engine: posting one again is a duplicate."""

    def matched(self) -> list[Entry]:
        """Entries that traded."""
        return [entry for entry in self.entries if entry.verdict == "matched"]
