"""Our durable wish to buy (the *intent*), its claim on the account, and the account's limits.

The claim is the record that makes invariants 1-4 hold: it is written before the POST, under one
condition that holds every limit, and carries the order id that the venue will know the order by.

    claimed --> open       the venue accepted it (matched, partly matched, delayed)
    claimed --> released   the venue proved that it did not accept it
    claimed --> unknown    no proof either way: the exposure stays reserved

`TRANSITIONS` is the table that the code executes; a claim that is released leaves the account's
`claims` map and lives on as a ledger row.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class ClaimState(StrEnum):
    """Where an intent stands."""

    CLAIMED = "claimed"
    OPEN = "open"
    UNKNOWN = "unknown"
    RELEASED = "released"


TRANSITIONS: Final[dict[ClaimState, frozenset[ClaimState]]] = {
    ClaimState.CLAIMED: frozenset({ClaimState.OPEN, ClaimState.RELEASED, ClaimState.UNKNOWN}),
    # Resolving an unknown claim, and late evidence, need the venue's word: see reconciliation.
    ClaimState.UNKNOWN: frozenset(),
    ClaimState.OPEN: frozenset(),
    ClaimState.RELEASED: frozenset(),
}


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One intent as the account item and the ledger keep it.

    `intent_id` names the wish, `attempt_id` the one try to write it: when a conditional write
    fails and the stored claim shows our own attempt id, the write had succeeded and only its
    reply was lost.
    """

    intent_id: str
    attempt_id: str
    order_id: str
    condition_id: str
    slug: str
    token_id: str
    outcome: str
    state: ClaimState
    max_price_e4: int
    spend_e6: int
    salt: str
    order_timestamp_ms: int
    claimed_at_ms: int
    market_end_ms: int
    filled_spend_e6: int = 0
    filled_size_e6: int = 0
    fee_e6: int = 0
    resolved_at_ms: int = 0
    text: str = ""
    """The venue's own words, when it said something."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the account may do; every one of these stands in the claim's condition."""

    max_positions: int
    cooldown_ms: int
    daily_loss_limit_e6: int
    """A positive amount; trading stops once today's P&L is at or below minus this."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account item as last seen: what a refused claim brings back (ALL_OLD)."""

    trading: str
    halt_reason: str
    claims: dict[str, Claim]
    cooldowns: dict[str, int]
    """condition id -> epoch milliseconds until which no entry is made."""
    pnl_today_e6: int
    day: str
    """UTC date `YYYY-MM-DD` that `pnl_today_e6` belongs to."""


class ClaimRefusal(StrEnum):
    """Why an account takes no claim; the closed set, in the order in which it is reported."""

    NO_ACCOUNT = "no_account"
    HALTED = "halted"
    MARKET_CLAIMED = "market_claimed"
    COOLDOWN = "cooldown"
    MAX_POSITIONS = "max_positions"
    DAILY_LOSS = "daily_loss"
    UNEXPLAINED = "unexplained"
    """The store's condition failed although `refusal_of` finds nothing in the item it brought back:
    the two have drifted apart, which is a defect, but still a refusal."""


def refusal_of(
    account: Account | None, condition_id: str, limits: Limits, now_ms: int, today: str
) -> ClaimRefusal | None:
    """Why `account` would refuse a claim on `condition_id` now, None when it would take it.

    The pure twin of the store's condition: tests hold the two against each other, hints use it,
    and a refused claim is explained with it.
    """
    if account is None:
        return ClaimRefusal.NO_ACCOUNT
    refused = {
        ClaimRefusal.HALTED: account.trading != "enabled",
        ClaimRefusal.MARKET_CLAIMED: condition_id in account.claims,
        ClaimRefusal.COOLDOWN: account.cooldowns.get(condition_id, 0) > now_ms,
        ClaimRefusal.MAX_POSITIONS: len(account.claims) >= limits.max_positions,
        ClaimRefusal.DAILY_LOSS: account.day > today
        or (account.day == today and account.pnl_today_e6 <= -limits.daily_loss_limit_e6),
    }
    return next((reason for reason, holds in refused.items() if holds), None)
