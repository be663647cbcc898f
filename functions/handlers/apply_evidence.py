"""Applying evidence to the stored claim, whatever has happened to it meanwhile.

Worker, on_fill, reconcile and settle all move claims, at any time and each without knowing of the
others. None of them needs to: evidence is applied to what is stored (`functions.core.lifecycle`,
pure), written on condition that it is still what was seen, and applied anew when it is not.

A claim that ends is (1) moved to its ended state in the account, (2) written to the ledger,
(3) taken out of the account. A crash in between leaves it ended in the account, and
`move_to_ledger` can be done again. So a claim is always in the account, in the ledger, or in both;
evidence that comes for one that is only in the ledger puts it back (invariant 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec
import structlog

from functions.core.claim import Claim
from functions.core.evidence import plausible_trades
from functions.core.lifecycle import apply_trades
from functions.ports import Store, StoreError
from protocol.fill import Fill
from runtime.line_throttle import LineThrottle

TRIES_MAX: Final = 8
"""Each try that is lost is a change that somebody else made; a claim sees a handful in its life."""
LEDGER_SEARCHED_MS: Final = 86_400_000
"""How long before its trade an order may have been claimed; normally it is milliseconds."""
CLOCKS_APART_MS: Final = 60_000
_log = structlog.get_logger()

ClaimStep: TypeAlias = Callable[[Claim], Claim | None]
"""A pure step: the claim with the evidence applied, None when it says nothing new."""


async def apply_evidence(
    store: Store,
    known: Claim,
    step: ClaimStep,
    *,
    filed: bool = False,
    redeem: bool = False,
) -> Claim | None:
    """Apply `step` to the claim that is `known`; with `filed` it was in the ledger.

    A claim that ends goes to the ledger. Returns the claim as it then is; None when it is not to be
    found, which only an account that was edited by hand explains. Raises StoreError.
    """
    seen = known
    for _ in range(TRIES_MAX):
        done = False
        changed = step(seen)
        if changed is None:
            if seen.ended and not filed:
                await move_to_ledger(store, seen)
            return seen
        if seen.ended and not filed:
            # It has ended for everybody: filed first, it comes back as what was filed does.
            await move_to_ledger(store, seen)
        elif filed:
            changed = msgspec.structs.replace(changed, by_intent=True, came_back=True)
            done = await store.reopen(changed, seen)
            if done:
                _log.critical("claim_reopened", intent=changed.intent_id, order=changed.order_id)
        else:
            noted = redeem and changed.payout_e6 > 0
            if noted:
                changed = msgspec.structs.replace(changed, noted_e6=changed.filled_size_e6)
            done = await store.move(changed, seen, redeem=noted)
        if done:
            if changed.ended:
                await move_to_ledger(store, changed)
            return changed
        found = await _find(store, known)
        if found is None:
            _log.critical("claim_vanished", intent=known.intent_id, order=known.order_id)
            return None
        seen, filed = found
    raise StoreError(f"claim {known.intent_id} changed {TRIES_MAX} times while it was recorded")


async def move_to_ledger(store: Store, claim: Claim) -> None:
    """Write an ended claim to the ledger and take it out of the account. Idempotent."""
    await store.put_ledger(claim)
    await store.forget(claim)


async def apply_fills(
    store: Store, fills: Sequence[Fill], now_ms: int, alarms: LineThrottle | None = None
) -> int:
    """Apply trades to the claims of their orders; returns how many orders are not ours.

    In any order, any number of times. What an order cannot have paid for is an alarm, and nothing
    that came with it is applied: reconciliation asks about the order; `alarms` bounds how often it
    is said. Raises StoreError.
    """
    by_order: dict[str, list[Fill]] = {}
    for fill in fills:
        by_order.setdefault(fill.order_id.lower(), []).append(fill)
    live = {claim.order_id.lower(): claim for claim in (await store.account()).claims.values()}
    ended: dict[str, Claim] = {}
    absent = [
        fill for order_id, group in by_order.items() if order_id not in live for fill in group
    ]
    if absent:
        first_ms = min(fill.matched_at_ms for fill in absent) - LEDGER_SEARCHED_MS
        last_ms = max(fill.matched_at_ms for fill in absent) + CLOCKS_APART_MS
        ended = {row.order_id.lower(): row for row in await store.ledger(first_ms, last_ms)}
    foreign = 0
    failure: StoreError | None = None
    for order_id, group in by_order.items():
        claim = live.get(order_id) or ended.get(order_id)
        if claim is None:
            foreign += 1
            continue
        if not plausible_trades(claim, group):
            if (unlogged := alarms.admit() if alarms else 0) is not None:
                _log.critical(
                    "implausible_records",
                    order_id=claim.order_id,
                    order=None,
                    trades=group,
                    unlogged_before=unlogged,
                )
            continue

        def step(seen: Claim, group: Sequence[Fill] = group) -> Claim | None:
            return apply_trades(seen, group, now_ms)

        try:
            await apply_evidence(store, claim, step, filed=order_id not in live)
        except StoreError as error:  # one claim that cannot be written must not hold up the others
            failure = error
    if failure is not None:
        raise failure
    return foreign


async def _find(store: Store, known: Claim) -> tuple[Claim, bool] | None:
    """The claim as it is stored now, and whether that is in the ledger.

    The account first: a claim leaves it only after its row has been written.
    """
    for claim in (await store.account()).claims.values():
        if claim.intent_id == known.intent_id:
            return claim, False
    row = await store.ledger_row(known)
    return None if row is None else (row, True)
