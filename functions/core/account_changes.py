"""What each write does to an account, and to its group: in place, in the dictionaries given. Pure.

Whoever calls has looked before: `refusal_of`, `as_seen`. On DynamoDB the same changes are update
expressions (`functions/adapters/dynamodb/claim_requests.py`); the stores' contract holds the two
against each other.
"""

from __future__ import annotations

import msgspec

from functions.core.account import Account, Limits, utc_day
from functions.core.claim import Claim, entries_difference
from functions.core.collective import CollectiveState, exposed_e6, exposure_difference
from functions.core.winnings import key_of, note_of


def as_seen(account: Account, seen: Claim) -> bool:
    """Whether the account still has `seen`: nobody else's claim, and no other version."""
    stored = account.claims.get(seen.slot)
    return stored is not None and (stored.attempt_id, stored.version) == (
        seen.attempt_id,
        seen.version,
    )


def has_attempt(account: Account, claim: Claim) -> bool:
    """Whether this very attempt is in the account already, under its market or moved since."""
    stored = map(account.claims.get, (claim.condition_id, claim.intent_id))
    return any(each is not None and each.attempt_id == claim.attempt_id for each in stored)


def put_claim(account: Account, claim: Claim, limits: Limits, now_ms: int) -> None:
    """Reserve what `claim` may spend; its market cools down, and its window has one entry more."""
    account.claims[claim.slot] = claim
    # At least a millisecond: without any, a late try of this very claim would pass.
    account.cooldowns[claim.condition_id] = now_ms + max(limits.cooldown_ms, 1)
    add(account.entries, claim.window, 1)
    add(account.spent_e6, utc_day(now_ms), claim.spend_e6)


def put_move(account: Account, claim: Claim, seen: Claim, *, redeem: bool = False) -> None:
    """Replace `seen` by `claim`, and book the difference; with `redeem` its winnings are noted."""
    del account.claims[seen.slot]
    account.claims[claim.slot] = claim
    book(account, claim, seen)
    if redeem:
        key = key_of(claim)
        noted = account.redeem.get(key)
        account.redeem[key] = note_of(claim, seen, claim.booked_at_ms, noted)


def put_back(account: Account, claim: Claim, seen: Claim) -> None:
    """Put `claim`, which was `seen` in the ledger, among the live ones, and close its market."""
    account.claims[claim.slot] = claim
    account.cooldowns[claim.condition_id] = claim.market_end_ms
    book(account, claim, seen)


def book(account: Account, claim: Claim, seen: Claim) -> None:
    """Add to the days and to the market's window what the change from `seen` to `claim` makes."""
    add(account.pnl_e6, utc_day(claim.booked_at_ms), claim.pnl_e6 - seen.pnl_e6)
    add(account.spent_e6, utc_day(claim.claimed_at_ms), claim.reserved_e6 - seen.reserved_e6)
    add(account.entries, claim.window, entries_difference(claim, seen))


def group_claimed(group: CollectiveState, claim: Claim) -> CollectiveState:
    """The group once it counts `claim`."""
    return _counted(group, exposed_e6(claim))


def group_moved(group: CollectiveState, claim: Claim, seen: Claim) -> CollectiveState:
    """The group after the change from `seen` to `claim`; the same object where nothing changes."""
    exposed, pnl_e6 = exposure_difference(claim, seen), claim.pnl_e6 - seen.pnl_e6
    if not exposed and not pnl_e6:
        return group
    add(group.pnl_e6, utc_day(claim.booked_at_ms), pnl_e6)
    return _counted(group, exposed)


def _counted(group: CollectiveState, exposed: int) -> CollectiveState:
    return msgspec.structs.replace(
        group,
        exposure_e6=group.exposure_e6 + exposed,
        item_version=group.item_version + 1,
    )


def add(amounts: dict[str, int], key: str, amount: int) -> None:
    """Add to one of some amounts; a difference of nothing makes no key."""
    if amount:
        amounts[key] = amounts.get(key, 0) + amount
