"""What must hold of several accounts together: their group's limits, and what their wallet has.

Used by `checks`. Where a group has limits, it had them before its first account claimed anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from functions.adapters.dynamodb.group_requests import GROUP_SK, state_of
from functions.adapters.dynamodb.items import account_of
from functions.core.account import Account, utc_day
from functions.core.claim import Claim
from functions.core.collective import CollectiveState, exposed_e6
from tests.simulation.tuning import CollectiveThen, collective_of_versions
from tests.simulation.world import World


def groups_always(world: World) -> Iterator[str]:
    """At every moment: what each group counts is what its accounts' claims say, and no claim was
    taken past the limits that were in force when it was."""
    for group, accounts in world.groups.items():
        yield from _always_of(world, group, accounts)


def _always_of(world: World, group: str, names: tuple[str, ...]) -> Iterator[str]:
    keys = {(f"STRATEGY#{name}", "ACCOUNT"): name for name in names}
    group_key = (f"GROUP#{group}", GROUP_SK)
    versions = collective_of_versions(world, group)
    now, state = dict[str, Account](), CollectiveState()
    exposed: dict[str, int] = {}
    changed = False
    # What is written in one transaction is written in one moment.
    for _, together in groupby(world.dynamodb.history, attrgetter("at_ns")):
        entered: list[Claim] = []
        in_force = versions.get(state.config_version)
        for change in together:
            if change.key == group_key and change.after is not None:
                state = state_of(change.after)
            elif (name := keys.get(change.key)) is not None and change.after is not None:
                before, now[name] = now.get(name), account_of(change.after)
                entered += _entered(before, now[name])
                exposed[name] = _at_stake_e6([now[name]])
            else:
                continue
            changed = True
        if not changed:
            continue
        changed = False
        at_stake_e6 = sum(exposed.values())
        for claim in entered:
            yield from _within(claim, in_force, at_stake_e6, group, now.values())
        if state.exposure_e6 != at_stake_e6:
            yield f"[group] {group} counts {state.exposure_e6}, its claims say {at_stake_e6}"
            return


def _entered(before: Account | None, after: Account) -> list[Claim]:
    known = () if before is None else {claim.intent_id for claim in before.claims.values()}
    return [
        claim
        for claim in after.claims.values()
        if claim.intent_id not in known and not claim.came_back
    ]


def _within(
    claim: Claim,
    limits: CollectiveThen | None,
    at_stake_e6: int,
    group: str,
    accounts: Iterable[Account],
) -> Iterator[str]:
    """What comes back by late evidence may be above the limit."""
    if claim.collective != group:
        yield f"[2] {claim.order_id} names the group {claim.collective}, not {group}"
    if limits is None:
        yield f"[2] {claim.order_id} was claimed before its group had limits"
        return
    most_e6, loss_e6 = limits.exposure_max_e6, limits.loss_limit_e6
    if most_e6 is not None and at_stake_e6 > most_e6:
        yield f"[2] {claim.order_id} was claimed above what the group may have at stake"
    day = utc_day(claim.claimed_at_ms)
    pnl_e6 = sum(account.pnl_e6.get(day, 0) for account in accounts)
    if loss_e6 is not None and pnl_e6 <= -loss_e6:
        yield f"[2] {claim.order_id} was claimed past what the group may lose"


def groups_at_rest(world: World) -> Iterator[str]:
    """Each group's item is the sum of its accounts' claims, and its P&L is theirs."""
    for group, names in world.groups.items():
        item = world.dynamodb.item(f"GROUP#{group}", GROUP_SK)
        state = CollectiveState() if item is None else state_of(item)
        items = [world.dynamodb.item(f"STRATEGY#{name}", "ACCOUNT") for name in names]
        accounts = [account_of(each) for each in items if each is not None]
        at_stake_e6 = _at_stake_e6(accounts)
        if state.exposure_e6 != at_stake_e6:
            yield f"[group] {group} counts {state.exposure_e6}, its claims say {at_stake_e6}"
        for day in sorted({*state.pnl_e6, *(day for each in accounts for day in each.pnl_e6)}):
            theirs_e6 = sum(each.pnl_e6.get(day, 0) for each in accounts)
            if state.pnl_e6.get(day, 0) != theirs_e6:
                booked_e6 = state.pnl_e6.get(day, 0)
                yield f"[group] {group}: its P&L of {day} is {booked_e6}, theirs {theirs_e6}"


def wallets_at_rest(world: World, claims: Iterable[Claim]) -> Iterator[str]:
    """What a wallet has bought of a token is what all accounts that trade with it have recorded."""
    bought: Counter[tuple[str, str]] = Counter()
    recorded: Counter[tuple[str, str]] = Counter()
    for order in world.venue.orders.values():
        bought[order.wallet, order.token_id] += order.live_size_e6
    for claim in claims:
        recorded[claim.trader.wallet, claim.token_id] += claim.filled_size_e6
    for wallet, token in sorted(bought.keys() | recorded.keys()):
        theirs_e6 = recorded[wallet, token]
        if bought[wallet, token] != theirs_e6:
            yield (
                f"[wallet] {wallet} has {bought[wallet, token]}e-6 shares of {token}, "
                f"its accounts say {theirs_e6}e-6"
            )


def _at_stake_e6(accounts: Iterable[Account]) -> int:
    return sum(exposed_e6(claim) for each in accounts for claim in each.claims.values())
