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

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

import msgspec
import structlog

from functions.core.claim import Claim
from functions.core.evidence import plausible_trades
from functions.core.lifecycle import apply_trades
from functions.ports import AccountReads, Store, StoreError, UnreadableRowsError
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
) -> dict[str, list[Fill]]:
    """Apply trades to the claims of their orders; returns those of orders that no claim of the
    account knows, by order id in lower case.

    In any order, any number of times. What an order cannot have paid for is an alarm, and nothing
    that came with it is applied: reconciliation asks about the order; `alarms` bounds how often it
    is said. Raises StoreError, once all that could be applied is: live claims first, and what is
    wrong with one order, or in the ledger, holds up no other.
    """
    by_order: dict[str, list[Fill]] = {}
    for fill in fills:
        by_order.setdefault(fill.order_id.lower(), []).append(fill)
    live = {claim.order_id.lower(): claim for claim in (await store.account()).claims.values()}
    failures: list[Exception] = []

    async def apply(known: Mapping[str, Claim], *, filed: bool) -> None:
        for order_id, group in by_order.items():
            claim = known.get(order_id)
            if claim is None:
                continue
            if plausible_trades(claim, group):
                step = partial(_with_trades, group, now_ms)
                try:
                    await apply_evidence(store, claim, step, filed=filed)
                except Exception as error:  # noqa: BLE001 - raised when the others have had theirs
                    failures.append(error)
            elif (unlogged := alarms.admit() if alarms else 0) is not None:
                _log.critical(
                    "implausible_records",
                    order_id=claim.order_id,
                    order=None,
                    trades=group,
                    unlogged_before=unlogged,
                )

    await apply(live, filed=False)
    absent = [
        fill for order_id, group in by_order.items() if order_id not in live for fill in group
    ]
    ended = await ended_orders(store, absent, failures)
    await apply({key: row for key, row in ended.items() if key not in live}, filed=True)
    if failures:  # a defect before what only has to come again
        raise next((each for each in failures if not isinstance(each, StoreError)), failures[0])
    return {key: by_order[key] for key in by_order if key not in live and key not in ended}


def _with_trades(group: Sequence[Fill], now_ms: int, seen: Claim) -> Claim | None:
    return apply_trades(seen, group, now_ms)


async def ended_orders(
    reads: AccountReads,
    absent: Sequence[Fill],
    failures: list[Exception],
    searched_ms: int = LEDGER_SEARCHED_MS,
) -> dict[str, Claim]:
    """The ledger's rows by order id in lower case, as far as these trades may be of them: made at
    most `searched_ms` before.

    Trades that are days apart are searched for by themselves: one with a wrong time must not make
    the search for the others endless. What could not be read is added to `failures`.
    """
    ended: dict[str, Claim] = {}
    times = sorted({fill.matched_at_ms for fill in absent})
    while times:
        near = [at_ms for at_ms in times if at_ms - times[0] <= searched_ms]
        times = times[len(near) :]
        try:
            rows = await reads.ledger(near[0] - searched_ms, near[-1] + CLOCKS_APART_MS)
        except UnreadableRowsError as error:
            rows = error.readable
            # The row that cannot be read may be an order's that is not found.
            ids = {row.order_id.lower() for row in rows}
            if any(f.matched_at_ms in near and f.order_id.lower() not in ids for f in absent):
                failures.append(error)
        except StoreError as error:
            failures.append(error)
            continue
        ended |= {row.order_id.lower(): row for row in rows}
    return ended


async def _find(store: Store, known: Claim) -> tuple[Claim, bool] | None:
    """The claim as it is stored now, and whether that is in the ledger.

    The account first: a claim leaves it only after its row has been written.
    """
    for claim in (await store.account()).claims.values():
        if claim.intent_id == known.intent_id:
            return claim, False
    row = await store.ledger_row(known)
    return None if row is None else (row, True)
