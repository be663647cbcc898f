"""What happened at the venue: the record that tests and the sandbox's final check trust.

It is the truth, whatever the caller was answered and whatever lagging reads show. Everything is
kept for as long as the venue lives; a run is minutes to hours, an entry is small.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from sandbox.simulator.matching import VenueFill
from sandbox.simulator.order import Order

Verdict: TypeAlias = Literal[
    "received", "pending", "matched", "unmatched", "refused", "unauthorized", "intercepted"
]
"""`received`: being looked at. `pending`: it may still match, later and by itself (delayed, or a
late landing). `unmatched`: it was delayed, and found nothing. `intercepted`: a fault or a hook
answered, or cut the connection, before the order was looked at. All but the first two are final."""


class Entry(msgspec.Struct, kw_only=True):
    """One POST /order, from the moment its body was read."""

    received_at_ns: int
    order_id: str = ""
    """Empty when the body was not an order."""
    verdict: Verdict = "received"
    text: str = ""
    """The error text that was answered (or would have been, had anybody been there to read it)."""
    faults: list[str] = []
    """What was done to this order, by the names of `sandbox.simulator.faults`."""
    condition_id: str = ""
    slug: str = ""
    token_id: str = ""
    outcome: str = ""
    order_type: str = ""
    amount_e6: int = 0
    """USD the order offered."""
    limit_e4: int = 0
    matched_at_ms: int = 0
    fills: list[VenueFill] = []
    spend_e6: int = 0
    size_e6: int = 0
    fee_e6: int = 0
    """As matched: these stay when a trade fails."""
    live_spend_e6: int = 0
    live_size_e6: int = 0
    live_fee_e6: int = 0
    """What still counts: as matched, less the trades that failed."""
    trade_ids: list[str] = []
    balance_after_e6: int = 0


class JournalTrade(msgspec.Struct, kw_only=True):
    """One fill on its way to the chain."""

    trade_id: str
    order_id: str
    owner: str
    maker_address: str
    condition_id: str
    token_id: str
    outcome: str
    fill: VenueFill
    transaction_hash: str
    status: str
    matched_at_ms: int
    updated_at_ms: int
    steps: list[tuple[int, str]] = []
    """(epoch ms, status) of every step so far."""
    redeemed_at_ms: int | None = None

    def advance(self, status: str, now_ms: int) -> None:
        """Take the next status."""
        self.status, self.updated_at_ms = status, now_ms
        self.steps.append((now_ms, status))

    def as_of(self, at_ms: int) -> JournalTrade | None:
        """The trade as it was then, None before its match."""
        known = [step for step in self.steps if step[0] <= at_ms]
        if not known:
            return None
        updated_at_ms, status = known[-1]
        return msgspec.structs.replace(self, status=status, updated_at_ms=updated_at_ms)

    def on_chain(self) -> bool:
        """Whether its shares are there to be redeemed."""
        return self.status in ("MINED", "CONFIRMED") and self.redeemed_at_ms is None

    def held(self) -> bool:
        """Whether its shares are in the wallet."""
        return self.status != "FAILED" and self.redeemed_at_ms is None


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that the venue keeps on record, as it stood from `since_ms` on."""

    order: Order
    status: str
    """MATCHED, DELAYED, UNMATCHED, or `CANCELED_` and why the order was killed."""
    since_ms: int
    condition_id: str
    outcome: str
    limit_e4: int
    size_matched_e6: int | None
    """None for a killed order: the venue writes nothing."""
    trade_ids: tuple[str, ...]
    created_at_ms: int


class VenueRedemption(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that paid out a wallet's shares of a resolved market."""

    transaction_hash: str
    address: str
    condition_id: str
    size_e6: int
    payout_e6: int
    at_ms: int


class Journal(msgspec.Struct, kw_only=True):
    """All POSTs in the order of their arrival, and what came of them."""

    entries: list[Entry] = []
    orders: dict[str, list[VenueOrder]] = {}
    """By order id: every state of the record, oldest first."""
    trades: dict[str, JournalTrade] = {}
    redemptions: list[VenueRedemption] = []
    seen: set[str] = set()
    """Ids that reached the matching engine: posting one again is a duplicate."""

    def matched(self) -> list[Entry]:
        """Entries that traded."""
        return [entry for entry in self.entries if entry.verdict == "matched"]

    def pending(self) -> list[Entry]:
        """Entries that may still trade."""
        return [entry for entry in self.entries if entry.verdict in ("received", "pending")]

    def unsettled(self) -> list[JournalTrade]:
        """Trades whose status is not final yet."""
        return [t for t in self.trades.values() if t.status not in ("CONFIRMED", "FAILED")]

    def order_as_of(self, order_id: str, at_ms: int) -> VenueOrder | None:
        """An order's record as it was then."""
        states = self.orders.get(order_id, ())
        return next((state for state in reversed(states) if state.since_ms <= at_ms), None)

    def shares_e6(self, address: str, token_id: str) -> int:
        """Shares of a token in a wallet: bought, not failed, not redeemed."""
        return sum(
            trade.fill.size_e6
            for trade in self.trades.values()
            if trade.maker_address == address and trade.token_id == token_id and trade.held()
        )
