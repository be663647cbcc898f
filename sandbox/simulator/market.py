"""One market of the simulated venue: its facts, its two books, and what the clock makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from eth_utils.crypto import keccak

from protocol.fee import FeeSchedule
from protocol.market import DOWN, UP
from sandbox.simulator.book import VenueBook

# Crypto markets: 0.07 x p(1-p) a share, taker only (the venue's fee page and `feeSchedule`).
CRYPTO_FEE: Final = FeeSchedule(rate=Decimal("0.07"), exponent=1)
HOLD_MS: Final = 250
SPLIT: Final = (Decimal("0.5"), Decimal("0.5"))
"""Payouts when nobody won: half and half."""


@dataclass(kw_only=True)
class Market:
    """Facts as listed; the tick size may become finer while the market lives."""

    slug: str
    condition_id: str
    outcomes: tuple[str, str]
    books: tuple[VenueBook, VenueBook]
    start_ms: int
    end_ms: int
    tick_size_e4: int
    min_order_size_e6: int
    fee: FeeSchedule
    neg_risk: bool
    accepting: bool
    """Set to False to refuse orders although the market is open."""
    itode: bool = False
    """Taker orders are held for HOLD_MS before they are matched; the answer waits for that."""
    delay_s: float = 0.0
    """`sd`: taker orders are answered `delayed` and matched this much later."""
    last_trade_e4: int | None = None
    """Of whichever token was traded last; it is in the hashes of both."""
    payouts: tuple[Decimal, Decimal] | None = None
    """What each outcome pays once resolved; a replay knows it from the start."""
    resolves_at_ms: int | None = None
    """From when on the payouts are public. At the real venue that lags by minutes."""
    recording: str = ""
    """Slug of the recorded market that is replayed, empty for a scripted market."""

    def token(self, outcome: str) -> str:
        """Token id of an outcome by name. Raises ValueError when there is none."""
        return self.books[self.outcomes.index(outcome)].token_id

    def outcome_of(self, token_id: str) -> str:
        """Name of the outcome a token pays for."""
        return self.outcomes[0 if self.books[0].token_id == token_id else 1]

    def open_at(self, now_ms: int) -> bool:
        """Whether there still is an order book: it disappears when the market ends."""
        return now_ms < self.end_ms and not self.resolved_at(now_ms)

    def resolved_at(self, now_ms: int) -> bool:
        """Whether the payouts are public."""
        return (
            self.payouts is not None
            and self.resolves_at_ms is not None
            and now_ms >= self.resolves_at_ms
        )

    def winner_at(self, now_ms: int) -> str | None:
        """The outcome that pays 1, None before the resolution and for a split."""
        if self.payouts is None or not self.resolved_at(now_ms):
            return None
        return next(
            (o for o, paid in zip(self.outcomes, self.payouts, strict=True) if paid == 1), None
        )


def condition_id_of(slug: str) -> str:
    """A condition id no other slug has."""
    return "0x" + keccak(text=slug).hex()


def token_ids_of(slug: str, outcomes: tuple[str, str] = (UP, DOWN)) -> tuple[str, str]:
    """Token ids (decimal uint256) no other slug has, outside the position-id namespace.

    A position id has bits 40-103 zero, so a hash is one with probability 2^-64.
    """
    first, second = (str(int.from_bytes(keccak(text=f"{slug}/{outcome}"))) for outcome in outcomes)
    return first, second


def position_ids_of(slug: str) -> tuple[str, str]:
    """Ids of the newer position-id form, whose orders are signed under domain version "3".

    Layout: module id (1) in the top byte, bits 40-103 zero, outcome index in the last byte.
    Source: `polymarket._internal.protocol`.
    """
    unique = int.from_bytes(keccak(text=slug)) >> 112  # 144 bits, for bits 104-247
    base = (1 << 248) | (unique << 104)
    return str(base), str(base | 1)
