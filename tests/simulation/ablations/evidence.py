"""Only proof releases, and evidence outranks every state of ours (invariants 4 and 5)."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from functions.adapters.dynamodb import claim_requests, conditions, store
from functions.core import lifecycle, winnings
from functions.core.claim import Claim, ClaimState
from functions.handlers import apply_evidence, execute, reconcile
from tests.simulation.ablations.ablation import Ablation, Patch, replaced, together
from tests.simulation.ablations.provocations import (
    ahead,
    ahead_of_late_orders,
    blind_reads,
    both_sweep,
    busy,
    eager_reconcilers,
    failing_trades,
    late_orders,
    silent_venue,
    strange_redeemers,
    strangers,
    very_late_orders,
)
from tests.simulation.venue_ports import SimRecords
from venue.wire.order_answer import Answer

_real_apply_answer = lifecycle.apply_answer
_real_apply_evidence = apply_evidence.apply_evidence
_real_with_fills = lifecycle._with_fills


def _release_unknown(claim: Claim, answer: Answer, now_ms: int, timeline: Any) -> Claim | None:
    moved = _real_apply_answer(claim, answer, now_ms, timeline)
    if moved is not None and moved.state is ClaimState.UNKNOWN:
        return msgspec.structs.replace(moved, state=ClaimState.RELEASED)
    return moved


async def _ignore_late_evidence(store: Any, known: Claim, step: Any, **more: Any) -> Any:
    if more.get("filed"):
        return known
    return await _real_apply_evidence(store, known, step, **more)


def _first_word(claim: Claim, fills: Any) -> Claim:
    """A trade is believed as it was first told."""
    return _real_with_fills(claim, [fill for fill in fills if fill.trade_id not in claim.fills])


def _newest_wins(claim: Claim, fills: Any) -> Claim:
    """The status that came last, not the one that is furthest."""
    ours = {
        fill.trade_id: lifecycle.ClaimFill(
            standing=lifecycle.FINALITY_OF[fill.status],
            price_e4=fill.price_e4,
            size_e6=fill.size_e6,
        )
        for fill in fills
        if fill.order_id.lower() == claim.order_id.lower()
    }
    return msgspec.structs.replace(claim, fills={**claim.fills, **ours})


def _looked_by_our_clock(claim: Claim, lookup: Any, _: int, **more: Any) -> Claim | None:
    return lifecycle.apply_lookup(claim, lookup, _our_now_ms(), **more)


def _our_now_ms(_: Any = None) -> int:
    return time.time_ns() // 1_000_000


def _unless(part: str) -> Patch:
    """The condition of later changes with one of its parts always true."""
    always = f"({part} OR attribute_exists(pk))"
    condition = conditions.SEEN_CONDITION.replace(part, always)
    return together(
        replaced(claim_requests, "SEEN_CONDITION", condition),
        replaced(store, "SEEN_CONDITION", condition),
    )


EVIDENCE: Final = (
    # Only proof releases, and evidence outranks (invariants 4 and 5).
    Ablation(
        "unknown keeps exposure",
        replaced(execute, "apply_answer", _release_unknown),
        "was released (no answer)",
        silent_venue,
        2,
    ),
    Ablation(
        "several looks before release",
        replaced(lifecycle, "LOOKUPS_MIN", 1),
        "in 1 looks",
        blind_reads,
        44,
    ),
    Ablation(
        "looks only from an age",
        replaced(lifecycle, "COUNT_AFTER_MS", 0),
        "was released (not found",
        late_orders,
        20,
    ),
    Ablation(
        "looks apart from each other",
        replaced(lifecycle, "LOOKUP_SPACING_MS", 0),
        "in 3 looks",
        eager_reconcilers,
        113,
    ),
    Ablation(
        "looks are as old as the venue says",
        together(
            replaced(reconcile, "apply_lookup", _looked_by_our_clock),
            replaced(SimRecords, "now_ms", _our_now_ms),
        ),
        "was released (not found",
        ahead_of_late_orders,
    ),
    Ablation(
        "a time is over when the venue says so",
        replaced(SimRecords, "now_ms", _our_now_ms),
        "[entries]",
        ahead,
    ),
    Ablation(
        "only the order's own trader may miss it",
        replaced(lifecycle, "sees", lambda *_: True),
        "although it had bought",
        strangers,
    ),
    Ablation(
        "only the winner's own wallet shows the winnings",
        replaced(winnings, "seen_by", lambda *_: True),
        "were never redeemed",
        strange_redeemers,
        4,
    ),
    Ablation(
        "late evidence reopens",
        together(
            replaced(apply_evidence, "apply_evidence", _ignore_late_evidence),
            replaced(execute, "apply_evidence", _ignore_late_evidence),
        ),
        "(released): recorded 0e-6",
        very_late_orders,
        seed=7,
    ),
    Ablation(
        "FAILED reverses",
        replaced(lifecycle, "_with_fills", _first_word),
        "[leak]",
        failing_trades,
    ),
    Ablation(
        "a later status stays", replaced(lifecycle, "_with_fills", _newest_wins), "back to", busy, 6
    ),
    # Each change on condition that the claim is as it was seen.
    Ablation("version in the condition", _unless(conditions.VERSION_IS_AS_SEEN), "[version]", busy),
    Ablation(
        "reopened once",
        replaced(claim_requests, "NOT_BACK_YET", "attribute_exists(pk)"),
        "[version]",
        both_sweep,
        5,
    ),
)
