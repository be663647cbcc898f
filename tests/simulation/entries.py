"""Invariant 2: what must hold of each claim that enters an account. Used by `checks`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from functions.core.account import Account, utc_day
from functions.core.claim import Claim, ClaimState
from tests.simulation.tuning import LimitsThen, entered_under
from tests.simulation.world import COOLDOWN_S, World

States: TypeAlias = list[tuple[int, Account]]
"""(epoch ns, the account from then on)."""


def by_intent(account: Account) -> dict[str, Claim]:
    """A claim is itself wherever it stands: it moves when it is resolved."""
    return {claim.intent_id: claim for claim in account.claims.values()}


def entries(
    world: World,
    before: Account,
    after: Account,
    at_ns: int,
    account: str,
    versions: dict[int, LimitsThen],
) -> Iterator[str]:
    """Invariant 2, for each claim that entered the account."""
    known, entries_max = by_intent(before), world.faults.max_entries
    for claim in after.claims.values():
        if claim.intent_id in known or claim.came_back:
            continue
        name = f"[2] {claim.order_id} entered"
        then = versions[before.config_version or 0]
        yield from entered_under(claim, before, then, at_ns, world.tuned[account])
        day = utc_day(claim.claimed_at_ms)
        if before.trading != "enabled":
            yield f"{name} a halted account"
        if any(since < at_ns < until for since, until in world.halted[account]):
            yield f"{name} after halt had returned"
        rivals = [c for c in before.claims.values() if c.condition_id == claim.condition_id]
        if any(rival.state in (ClaimState.CLAIMED, ClaimState.UNKNOWN) for rival in rivals):
            yield f"{name} a market that was taken"
        if len(before.claims) >= then.max_positions:
            yield f"{name} as number {len(before.claims) + 1}"
        if before.cooldowns.get(claim.condition_id, 0) > claim.claimed_at_ms:
            yield f"{name} inside a cooldown"
        if before.entries.get(claim.window, 0) >= (entries_max or 1_000):
            yield f"{name} a window that has had its entries"
        if before.pause.until_ms > claim.claimed_at_ms:
            yield f"{name} a paused account"
        if before.pnl_e6.get(day, 0) <= -then.loss_limit_e6:
            yield f"{name} past the daily loss limit"
        if after.spent_e6.get(day, 0) > then.spend_cap_e6:
            yield f"{name} above the daily spend cap"


def rhythm(accounts: list[Account]) -> Iterator[str]:
    """Between two entries in one market lies a cooldown; after a reopening there is no entry."""
    entered_ms: dict[str, int] = {}
    back: set[str] = set()
    seen: set[str] = set()
    for account in accounts:
        for claim in account.claims.values():
            market = claim.condition_id
            if claim.came_back:
                back.add(market)
            if claim.intent_id in seen:
                continue
            seen.add(claim.intent_id)
            if market in back:
                yield f"[2] {claim.order_id} entered a market whose claim had come back"
            if claim.claimed_at_ms - entered_ms.get(market, 0) < COOLDOWN_S * 1000:
                yield f"[2] {claim.order_id} entered too soon after the last entry"
            entered_ms[market] = claim.claimed_at_ms


def counts(states: States) -> Iterator[str]:
    """While a window lasts, its entries are its claims less those that ended with nothing bought,
    filed ones included."""
    made: dict[str, Claim] = {}
    for at_ns, account in states:
        made |= by_intent(account)
        expected = Counter(
            claim.window for claim in made.values() if claim.state is not ClaimState.RELEASED
        )
        for window in expected.keys() | account.entries.keys():
            lasts = int(window.partition("#")[0]) > at_ns // 1_000_000
            if lasts and account.entries.get(window, 0) != expected[window]:
                kept = account.entries.get(window, 0)
                yield f"[entries] {window} has {kept} entries, its claims are {expected[window]}"


def limits_of_markets(world: World, order_ids: set[str]) -> Iterator[str]:
    """No market was bought more often by an account than it may enter it, by the venue's own word,
    but for orders that landed when nobody could expect them."""
    entries_max = world.faults.max_entries
    bought = Counter(
        order.market.condition_id
        for order in world.venue.orders.values()
        if order.live_size_e6 and order.order_id in order_ids - world.venue.given_up_late
    )
    for condition_id, times in bought.items():
        if times > (entries_max or times):
            yield f"[2] market {condition_id} was bought {times} times"
