"""The strategy account: its limits, its pauses, and why it would refuse a claim."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from functions.core.claim import Claim
from protocol.bounds import Count, EpochMs
from venue.wire.order_answer import RejectReason

TRADING_ENABLED: Final = "enabled"
TRADING_HALTED: Final = "halted"


def utc_day(now_ms: int) -> str:
    """UTC date `YYYY-MM-DD` of epoch milliseconds: what an account's days are called."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the account may do; every one of these stands in the claim's condition."""

    max_positions: int
    """Live claims, of whichever markets."""
    cooldown_ms: int
    """After a claim its market takes no other for so long."""
    max_entries_per_market: int | None = None
    """Claims that a market's window takes, less those that ended with nothing bought. None: any."""
    daily_loss_limit_e6: int
    """A positive amount; trading stops once today's P&L is at or below minus this."""
    daily_spend_cap_e6: int
    """No claim takes the day's spending above this. What ends unspent is given back."""
    config_version: int = 0
    """Which configuration these are of, and the account must still be of; 0: of none, which only
    an account takes that has none yet."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The venue asked for patience; no entry before `until_ms`."""

    reason: str
    since_ms: EpochMs
    until_ms: EpochMs


NO_PAUSE: Final = Pause(reason="", since_ms=0, until_ms=0)


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """Winnings of one market that wait to be paid out to a wallet, in shares of one token."""

    token_id: str
    wallet: str = ""
    """Whose shares they are; empty in notes from before it was stored, until their shares are shown
    to somebody."""
    size_e6: int = 0
    """Shares of all claims that were settled into this note; 0 in notes from before it was
    stored. An older version, which does not know it, finds that the note is not what it has seen,
    and leaves it alone."""
    since_ms: EpochMs
    asked_at_ms: EpochMs = 0
    """When they were last asked for; 0: never yet."""
    tries: Count = 0
    """How often they were asked for; 0 in notes of before this field existed, asked for or not."""
    unseen: bool = False
    """Settled while trades were on their way, and not all shares have been seen since."""
    looks: Count = 0
    """Looks, apart from each other, that showed no shares."""
    looked_at_ms: EpochMs = 0
    """When the last of them was."""


REDEMPTIONS_MAX: Final = 200
"""More than these are not noted: the account is one item, and each claim pays for all of it."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account item as last seen: what a refused claim brings back (ALL_OLD)."""

    trading: str
    halt_reason: str = ""
    halt_id: str = ""
    """Names the last halt, so that only who has seen it can lift it."""
    claims: dict[str, Claim]
    """By slot: the condition id while nobody knows what became of the claim, else its intent id.
    A claim that is open or has ended under its condition id is of an older version."""
    cooldowns: dict[str, EpochMs]
    """condition id -> epoch milliseconds until which no entry is made."""
    pnl_e6: dict[str, int]
    """UTC date `YYYY-MM-DD` -> P&L of what settled that day."""
    spent_e6: dict[str, int]
    """UTC date -> USD claimed that day and not given back."""
    pause: Pause
    redeem: dict[str, Redemption]
    """`functions.core.winnings.key_of` -> winnings that wait to be paid out. Older versions have
    the condition id as the key."""
    entries: dict[str, int] = {}
    """`Claim.window` -> claims made in it, less those that have ended with nothing bought. Items of
    older versions have none."""
    config_version: Count | None = None
    """The configuration in force, 0 before the first one. None in items of older versions: whatever
    a claim says, it is another one's, until the account is opened again."""
    collective: str = ""
    """The group's item that counts this account's claims; empty: none does, as far as is known."""


def new_account() -> Account:
    """An account as it begins: enabled, and empty."""
    return Account(
        trading=TRADING_ENABLED,
        claims={},
        cooldowns={},
        pnl_e6={},
        spent_e6={},
        pause=NO_PAUSE,
        redeem={},
        entries={},
        config_version=0,
    )


class ClaimRefusal(StrEnum):
    """Why an account takes no claim; the closed set, in the order in which it is reported."""

    NO_ACCOUNT = "no_account"
    HALTED = "halted"
    PAUSED = "paused"
    CONFIG_CHANGED = "config_changed"
    """Decided under another configuration than the one in force."""
    MARKET_CLAIMED = "market_claimed"
    COOLDOWN = "cooldown"
    MAX_ENTRIES = "max_entries"
    MAX_POSITIONS = "max_positions"
    DAILY_LOSS = "daily_loss"
    DAILY_SPEND = "daily_spend"
    COLLECTIVE_CHANGED = "collective_changed"
    """Decided under other limits of the group than those in force, or as if it had none."""
    COLLECTIVE_LOSS = "collective_loss"
    COLLECTIVE_EXPOSURE = "collective_exposure"
    UNEXPLAINED = "unexplained"
    """The store's condition failed although `refusal_of` finds nothing in the item it brought back:
    the two have drifted apart, which is a defect, but still a refusal."""


def refusal_of(
    account: Account | None, claim: Claim, limits: Limits, now_ms: int, today: str
) -> ClaimRefusal | None:
    """Why `account` would refuse `claim` now, None when it would take it.

    The pure twin of the store's condition: tests hold the two against each other, and a refused
    claim is explained with it.
    """
    if account is None:
        return ClaimRefusal.NO_ACCOUNT
    market = claim.condition_id
    room_e6 = limits.daily_spend_cap_e6 - claim.spend_e6
    entries, entries_max = account.entries.get(claim.window, 0), limits.max_entries_per_market
    refused = {
        ClaimRefusal.HALTED: account.trading != TRADING_ENABLED,
        ClaimRefusal.PAUSED: account.pause.until_ms > now_ms,
        ClaimRefusal.CONFIG_CHANGED: account.config_version != limits.config_version,
        ClaimRefusal.MARKET_CLAIMED: market in account.claims,
        ClaimRefusal.COOLDOWN: account.cooldowns.get(market, 0) > now_ms,
        ClaimRefusal.MAX_ENTRIES: entries_max is not None and entries >= entries_max,
        ClaimRefusal.MAX_POSITIONS: len(account.claims) >= limits.max_positions,
        ClaimRefusal.DAILY_LOSS: account.pnl_e6.get(today, 0) <= -limits.daily_loss_limit_e6,
        ClaimRefusal.DAILY_SPEND: account.spent_e6.get(today, 0) > room_e6,
        ClaimRefusal.COLLECTIVE_CHANGED: account.collective not in ("", claim.collective),
    }
    return next((reason for reason, holds in refused.items() if holds), None)


# How long the account waits after what the venue said, first and at most. An engine restart takes
# about 90 s (venue docs); a rate limit is counted over 10 s; a phantom balance lock goes by itself
# or by refreshing the balance (py-clob-client#342), an empty wallet by a person.
_PAUSES_MS: Final[dict[RejectReason, tuple[int, int]]] = {
    RejectReason.ENGINE_RESTARTING: (5_000, 60_000),
    RejectReason.TRADING_DISABLED: (10_000, 120_000),
    RejectReason.RATE_LIMITED: (1_000, 60_000),
    RejectReason.NOT_ENOUGH_BALANCE: (5_000, 300_000),
    RejectReason.NOT_SENT: (1_000, 30_000),
    RejectReason.UNAUTHORIZED: (10_000, 300_000),
    RejectReason.GEOBLOCKED: (60_000, 600_000),
    # No time mends this: only another wallet.
    RejectReason.MAKER_NOT_ALLOWED: (300_000, 600_000),
}


def pauses(reason: RejectReason) -> bool:
    """Whether a rejection concerns the whole account, not only this order."""
    return reason in _PAUSES_MS


def next_pause(previous: Pause, reason: RejectReason, now_ms: int, *, asked_ms: int = 0) -> Pause:
    """The pause that `reason` calls for: twice the last one if that ended a short while ago, and at
    least as long as the venue has `asked_ms`; never longer than the longest for the reason.

    A short while is as long as the last pause was: whoever is refused again so soon after it has
    not waited long enough. Refusals of orders that were under way when a pause began neither
    lengthen it like that nor cut it short: with a long enough one it stays as it is. Raises
    KeyError for a reason that is not about the account.
    """
    first_ms, longest_ms = _PAUSES_MS[reason]
    first_ms = min(longest_ms, max(first_ms, asked_ms))
    if now_ms + first_ms <= previous.until_ms:
        return previous
    lasted_ms = previous.until_ms - previous.since_ms
    again = previous.reason == reason and 0 <= now_ms - previous.until_ms < lasted_ms
    length_ms = min(longest_ms, max(first_ms, 2 * lasted_ms)) if again else first_ms
    return Pause(reason=reason.value, since_ms=now_ms, until_ms=now_ms + length_ms)
