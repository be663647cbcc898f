"""Whether a group's item holds what its accounts' live claims have at stake.

Every claim, and every change of one, writes both in one transaction, so they differ only where
somebody else has written: an older version that moved a claim and dropped what it does not know, a
person, a backup. A difference is reported, never adopted: what it means only a person can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from functions.core.account import Account
from functions.core.collective import CollectiveState, exposed_e6
from functions.ports import GroupStore

LOOKS_MAX: Final = 3
"""Claims come and go: what is compared must have nothing between the two looks at the group."""
_log = structlog.get_logger()


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one comparison saw."""

    exposure_e6: int
    """As the group's item has it."""
    difference_e6: int
    """That less the sum over the accounts; 0 also where none was seen twice alike."""
    compared: bool
    """False: something was counted during each of the looks; the next run looks again."""
    state: CollectiveState


def at_stake_e6(accounts: Mapping[str, Account], group: str) -> int:
    """USD at stake in the accounts' live claims that the group counts."""
    return sum(
        exposed_e6(claim)
        for account in accounts.values()
        for claim in account.claims.values()
        if claim.collective == group
    )


async def compare_group(group: GroupStore, now_ms: int) -> GroupReport | None:
    """One comparison, and the past days pruned; None: the group has no item. Raises StoreError."""
    seen = await group.state()
    for _ in range(LOOKS_MAX):
        if seen is None:
            return None
        accounts = await group.accounts()
        after = await group.state()
        if after is not None and after.item_version == seen.item_version:
            await group.prune(after, now_ms)
            return _reported(group.name, after, accounts)
        seen = after
    if seen is None:
        return None
    return GroupReport(exposure_e6=seen.exposure_e6, difference_e6=0, compared=False, state=seen)


def _reported(name: str, state: CollectiveState, accounts: Mapping[str, Account]) -> GroupReport:
    claimed_e6 = at_stake_e6(accounts, name)
    difference_e6 = state.exposure_e6 - claimed_e6
    if difference_e6:
        _log.critical(
            "group_differs",
            group=name,
            exposure_e6=state.exposure_e6,
            claims_e6=claimed_e6,
            accounts=sorted(accounts),
            hint="executor config recount --group NAME",
        )
    return GroupReport(
        exposure_e6=state.exposure_e6,
        difference_e6=difference_e6,
        compared=True,
        state=state,
    )


async def recount_group(group: GroupStore) -> GroupReport | None:
    """By a person's order: the group's exposure becomes what the claims say. The report is of
    before, `compared` False where nothing was changed because claims kept coming."""
    for _ in range(LOOKS_MAX):
        seen = await group.state()
        if seen is None:
            return None
        claimed_e6 = at_stake_e6(await group.accounts(), group.name)
        done = await group.correct(claimed_e6, seen)
        report = GroupReport(
            exposure_e6=seen.exposure_e6,
            difference_e6=seen.exposure_e6 - claimed_e6,
            compared=done,
            state=seen,
        )
        if done:
            break
    return report
