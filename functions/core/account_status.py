"""An account at one moment, as a person or an alarm looks at it. Pure.

`executor status --json` and the control function print `Status` as it is, so its fields are what
scripts rely on: money in 1e-6 USD (`_e6`), times in milliseconds.
"""

from __future__ import annotations

from typing import Final

import msgspec

from functions.core.account import TRADING_ENABLED, Account, Limits
from functions.core.claim import UNRESOLVED, ClaimState
from functions.core.lifecycle import overdue, unsettled
from functions.core.winnings import markets_of, stuck

UNRESOLVED_ALARM_MS: Final = 30_000
"""A POST gives up after some seconds, and by then the first looks have been made: most claims that
are older than this are waiting for the venue's reads, and one that stays is for a person."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The account at one moment."""

    account: str
    trading: bool
    halt_reason: str
    pause_reason: str
    """Empty when the account is not paused."""
    pause_until_ms: int
    """0 when the account is not paused."""
    open: int
    unknown: int
    claimed: int
    ended: int
    """Claims that have ended and are not filed in the ledger yet; they still take a slot."""
    slots_used: int
    slots: int
    entries: int
    """Claims that were made in windows that last, less those that ended with nothing bought."""
    entries_max_in_a_market: int
    """The most of these that one window has."""
    max_entries_per_market: int | None
    """None: the cooldown and the slots alone limit them."""
    day: str
    """UTC."""
    pnl_e6: int
    daily_loss_limit_e6: int
    spent_e6: int
    daily_spend_cap_e6: int
    redemptions_waiting: int
    """Markets whose winnings were not seen paid yet."""
    cooldowns: int
    oldest_unresolved_ms: int | None
    """Age of the oldest claim of which nobody knows whether it bought something."""
    overdue: int
    """Claims that have been unresolved for so long that a person must look."""
    unsettled: list[str] = []
    """The markets' slugs, one for each claim that is live long after its market's end."""
    redemptions_stuck: int = 0
    """Markets whose winnings are not asked for any more, although they were not seen paid."""
    config_version: int = 0
    """The configuration whose limits these are; 0: there is none yet."""


def status_of(name: str, account: Account, limits: Limits, now_ms: int, today: str) -> Status:
    """The account `name` as it stands at `now_ms` on the UTC day `today`."""
    claims = list(account.claims.values())
    count = {state: sum(claim.state is state for claim in claims) for state in ClaimState}
    unresolved = [claim.claimed_at_ms for claim in claims if claim.state in UNRESOLVED]
    paused = account.pause.until_ms > now_ms
    lasting = f"{now_ms:015d}"
    entries = [made for window, made in account.entries.items() if window >= lasting]
    return Status(
        account=name,
        trading=account.trading == TRADING_ENABLED,
        halt_reason="" if account.trading == TRADING_ENABLED else account.halt_reason,
        pause_reason=account.pause.reason if paused else "",
        pause_until_ms=account.pause.until_ms if paused else 0,
        open=count[ClaimState.OPEN],
        unknown=count[ClaimState.UNKNOWN],
        claimed=count[ClaimState.CLAIMED],
        ended=sum(claim.ended for claim in claims),
        slots_used=len(claims),
        slots=limits.max_positions,
        entries=sum(entries),
        entries_max_in_a_market=max(entries, default=0),
        max_entries_per_market=limits.max_entries_per_market,
        day=today,
        pnl_e6=account.pnl_e6.get(today, 0),
        daily_loss_limit_e6=limits.daily_loss_limit_e6,
        spent_e6=account.spent_e6.get(today, 0),
        daily_spend_cap_e6=limits.daily_spend_cap_e6,
        redemptions_waiting=len(markets_of(account.redeem)),
        cooldowns=sum(until_ms > now_ms for until_ms in account.cooldowns.values()),
        oldest_unresolved_ms=max(0, now_ms - min(unresolved)) if unresolved else None,
        overdue=sum(overdue(claim, now_ms) for claim in claims),
        unsettled=[claim.slug for claim in claims if unsettled(claim, now_ms)],
        redemptions_stuck=len(markets_of(k for k, n in account.redeem.items() if stuck(n, now_ms))),
        config_version=limits.config_version,
    )


def unresolved_for(account: Account, age_ms: int, now_ms: int) -> int:
    """How many claims have been claimed or unknown for more than `age_ms`."""
    return sum(
        claim.state in UNRESOLVED and now_ms - claim.claimed_at_ms > age_ms
        for claim in account.claims.values()
    )
