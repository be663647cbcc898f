"""Limits over all accounts of a group: what they count, and why they would refuse a claim. Pure.

The group's item counts what live claims have at stake, and the day's P&L. Both follow from the
claims alone, as differences between a claim before and after a change, and are written in the same
transaction as that change. A claim says in whose item it is counted (`Claim.collective`), so that
whoever moves it later finds that item; one that says nothing is counted nowhere.
"""

from __future__ import annotations

import msgspec

from functions.core.account import ClaimRefusal
from functions.core.claim import UNRESOLVED, Claim
from functions.core.lifecycle import amount_is_known
from protocol.bounds import Count


class CollectiveLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What all accounts of a group may do together; each of these stands in the condition of the
    group's half of a claim."""

    name: str
    """Of the group's item: live and paper have one each."""
    config_version: int
    """Which version of the group's limits these are, and the group must still be of."""
    daily_loss_limit_e6: int | None = None
    """A positive amount; no account trades once today's P&L of all is at or below minus this."""
    exposure_max_e6: int | None = None
    """No claim takes what all live claims have at stake above this."""


class CollectiveState(msgspec.Struct, frozen=True, kw_only=True):
    """The group's item as last seen: what a refused claim brings back."""

    exposure_e6: int = 0
    """USD at stake in the group's live claims (`exposed_e6`)."""
    pnl_e6: dict[str, int] = {}
    """UTC date `YYYY-MM-DD` -> P&L of what settled that day."""
    config_version: Count = 0
    """Of the limits in force; 0: none have been set."""
    item_version: Count = 0
    """Counted up by each change of the two amounts: two looks that show the same have nothing
    between them."""


def exposed_e6(claim: Claim) -> int:
    """USD that `claim` has at stake: all that it may spend until it is known how much it has
    bought, then what that has cost, nothing once it has ended. Without fees."""
    if claim.ended:
        return 0
    if claim.state in UNRESOLVED or not amount_is_known(claim):
        return max(claim.spend_e6, claim.filled_spend_e6)
    return claim.filled_spend_e6


def exposure_difference(claim: Claim, seen: Claim) -> int:
    """What the change from `seen` to `claim` adds to the exposure of its group."""
    return exposed_e6(claim) - exposed_e6(seen)


def fits(claim: Claim, limits: CollectiveLimits) -> bool:
    """Whether the limits leave room for `claim` where nothing else is at stake."""
    return limits.exposure_max_e6 is None or claim.spend_e6 <= limits.exposure_max_e6


def collective_refusal_of(
    group: CollectiveState | None, claim: Claim, limits: CollectiveLimits, today: str
) -> ClaimRefusal | None:
    """Why `group` would refuse `claim` now, None when it would take it.

    The pure twin of the condition of the group's half, as `functions.core.account.refusal_of` is
    of the account's.
    """
    if group is None or group.config_version != limits.config_version:
        return ClaimRefusal.COLLECTIVE_CHANGED
    loss_e6, exposure_e6 = limits.daily_loss_limit_e6, limits.exposure_max_e6
    if loss_e6 is not None and group.pnl_e6.get(today, 0) <= -loss_e6:
        return ClaimRefusal.COLLECTIVE_LOSS
    if exposure_e6 is not None and group.exposure_e6 > exposure_e6 - claim.spend_e6:
        return ClaimRefusal.COLLECTIVE_EXPOSURE
    return None
