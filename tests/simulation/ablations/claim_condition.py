"""What stands in the claim's condition (invariant 2)."""

from __future__ import annotations

from typing import Final

from functions.adapters.dynamodb import claim_requests, conditions, store
from functions.core import claim
from tests.simulation.ablations.ablation import Ablation, Patch, replaced
from tests.simulation.ablations.provocations import (
    crowd,
    entries_that_buy_nothing,
    few_entries,
    halting,
    halting_in_vain,
    losing,
    refusing,
    tuning,
    unanswered,
)


def _without(part: str) -> Patch:
    """The claim's condition with one of its parts always true (all placeholders stay in use)."""
    assert part in claim_requests.CLAIM_CONDITION
    always = f"({part} OR attribute_exists(pk))"
    whole = claim_requests.CLAIM_CONDITION
    return replaced(claim_requests, "CLAIM_CONDITION", whole.replace(part, always))


CLAIM_CONDITION: Final = (
    # The claim's condition (invariant 2).
    Ablation(
        "one unresolved claim a market",
        _without(conditions.MARKET_IS_FREE),
        "a market that was taken",
        unanswered,
        1,
    ),
    Ablation("max positions", _without(conditions.POSITION_IS_LEFT), "entered as number", crowd),
    Ablation("cooldown", _without(conditions.COOLDOWN_IS_OVER), "inside a cooldown", crowd, 1),
    Ablation("max entries", _without(conditions.ENTRY_IS_LEFT), "had its entries", few_entries),
    Ablation(
        "entries are given back",
        replaced(claim_requests, "entries_difference", lambda *_: 0),
        "[entries]",
        entries_that_buy_nothing,
    ),
    Ablation(
        "what is resolved leaves its market",
        replaced(claim, "UNRESOLVED", frozenset(claim.ClaimState)),
        "stands under",
    ),
    Ablation("halt in the condition", _without(conditions.TRADING_IS_ENABLED), "halt", halting, 2),
    Ablation(
        "only the halt that was seen is lifted",
        replaced(store, "HALT_IS_AS_SEEN", "attribute_exists(pk) OR halt_id = :seen"),
        "halt",
        halting_in_vain,
        10,
    ),
    Ablation(
        "configuration in the condition",
        _without(conditions.CONFIGURATION_IS_IN_FORCE),
        "over a limit after the change",
        tuning,
        9,
    ),
    Ablation("pause in the condition", _without(conditions.NOT_PAUSED), "a paused", refusing, 1),
    Ablation("daily loss limit", _without(conditions.LOSS_IS_WITHIN_LIMIT), "daily loss", losing),
    Ablation("daily spend cap", _without(conditions.SPEND_IS_WITHIN_CAP), "daily spend", seed=1),
)
