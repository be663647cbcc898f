"""What must hold of limits over all accounts of a group, each as a sentence when it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from functions.adapters.dynamodb.group_requests import GROUP_SK, state_of
from functions.adapters.dynamodb.items import account_of
from functions.core.account import Account
from functions.core.collective import CollectiveState, exposed_e6
from protocol.units import to_usd_e6
from tests.simulation.world import World


def collective_limits(world: World) -> Iterator[str]:
    """At every moment, by the accounts themselves: no claim was taken that brought what all of them
    have at stake above the limit. What comes back by late evidence may."""
    if world.faults.exposure_max_usd is None:
        return
    most_e6 = to_usd_e6(world.faults.exposure_max_usd)
    keys = {(f"STRATEGY#{name}", "ACCOUNT"): name for name in world.accounts}
    now: dict[str, Account] = {}
    for change in world.dynamodb.history:
        name = keys.get(change.key)
        if name is None or change.after is None:
            continue
        before, now[name] = now.get(name), account_of(change.after)
        known = () if before is None else {each.intent_id for each in before.claims.values()}
        for claim in now[name].claims.values():
            if claim.intent_id in known or claim.came_back:
                continue
            if not claim.collective:
                yield f"[2] {claim.order_id} names no group"
            if _at_stake_e6(now.values()) > most_e6:
                yield f"[2] {claim.order_id} was claimed above what the group may have at stake"


def group_at_rest(world: World) -> Iterator[str]:
    """The group's item is the sum of its accounts' claims, and its P&L is theirs."""
    if world.faults.exposure_max_usd is None:
        return
    item = world.dynamodb.item(f"GROUP#{world.settings().group_item}", GROUP_SK)
    state = CollectiveState() if item is None else state_of(item)
    items = [world.dynamodb.item(f"STRATEGY#{name}", "ACCOUNT") for name in world.accounts]
    accounts = [account_of(each) for each in items if each is not None]
    at_stake_e6 = _at_stake_e6(accounts)
    if state.exposure_e6 != at_stake_e6:
        yield f"[group] it counts {state.exposure_e6}, its accounts have {at_stake_e6} at stake"
    for day in {*state.pnl_e6, *(day for each in accounts for day in each.pnl_e6)}:
        theirs_e6 = sum(each.pnl_e6.get(day, 0) for each in accounts)
        if state.pnl_e6.get(day, 0) != theirs_e6:
            yield f"[group] its P&L of {day} is {state.pnl_e6.get(day, 0)}, theirs {theirs_e6}"


def _at_stake_e6(accounts: Iterable[Account]) -> int:
    return sum(exposed_e6(claim) for each in accounts for claim in each.claims.values())
