"""What a claim and its later changes write: one transaction each, around the pure model.

`refusal_of` and `collective_refusal_of` decide, `functions.core.account_changes` writes; nothing is
decided here. Account, ledger and group are read and written in the same IMMEDIATE transaction, so
that nobody comes in between.
"""

from __future__ import annotations

import sqlite3

from functions.adapters.sqlite import accounts, groups
from functions.core.account import Account, ClaimRefusal, Limits, refusal_of, utc_day
from functions.core.account_changes import (
    as_seen,
    group_claimed,
    group_moved,
    has_attempt,
    put_back,
    put_claim,
    put_move,
)
from functions.core.claim import Claim
from functions.core.collective import CollectiveLimits, CollectiveState, collective_refusal_of
from functions.ports import Claimed, ClaimRefused, ClaimResult


def claim(
    sql: sqlite3.Connection,
    name: str,
    claim: Claim,
    limits: Limits,
    now_ms: int,
    collective: CollectiveLimits | None,
) -> ClaimResult:
    """See `Store.claim`."""
    account, today = accounts.find(sql, name), utc_day(now_ms)
    if account is None:
        return ClaimRefused(reason=ClaimRefusal.NO_ACCOUNT, account=None)
    if has_attempt(account, claim):
        return Claimed()  # our own success, whose answer was lost
    reason = refusal_of(account, claim, limits, now_ms, today)
    if reason is not None:
        return ClaimRefused(reason=reason, account=account)
    if collective is not None:
        group = groups.find(sql, collective.name)
        reason = collective_refusal_of(group, claim, collective, today)
        if reason is not None or group is None:
            reason = reason or ClaimRefusal.COLLECTIVE_CHANGED
            return ClaimRefused(reason=reason, account=account, collective=group)
        groups.put(sql, collective.name, group_claimed(group, claim))
    put_claim(account, claim, limits, now_ms)
    accounts.put(sql, name, account)
    return Claimed()


def move(sql: sqlite3.Connection, name: str, claim: Claim, seen: Claim, *, redeem: bool) -> bool:
    """See `Store.move`."""
    account = accounts.find(sql, name)
    if account is None or not as_seen(account, seen):
        return False
    put_move(account, claim, seen, redeem=redeem)
    _write(sql, name, account, claim, seen)
    return True


def reopen(sql: sqlite3.Connection, name: str, claim: Claim, seen: Claim) -> bool:
    """See `Store.reopen`."""
    row = accounts.row_of(sql, name, seen)
    account = accounts.opened(sql, name)
    if claim.slot in account.claims or row is None or row.version != seen.version:
        return False
    put_back(account, claim, seen)
    _write(sql, name, account, claim, seen)
    return True


def forget(sql: sqlite3.Connection, name: str, claim: Claim) -> None:
    """See `Store.forget`."""
    account = accounts.find(sql, name)
    if account is not None and as_seen(account, claim):
        del account.claims[claim.slot]
        accounts.put(sql, name, account)


def _write(sql: sqlite3.Connection, name: str, account: Account, claim: Claim, seen: Claim) -> None:
    """The account after a change from `seen` to `claim`, and its group's half of it."""
    accounts.put(sql, name, account)
    if not seen.collective:
        return
    group = groups.find(sql, seen.collective) or CollectiveState()
    changed = group_moved(group, claim, seen)
    if changed is not group:
        groups.put(sql, seen.collective, changed)
