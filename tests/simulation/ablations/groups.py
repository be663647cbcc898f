"""Several accounts in a worker: what binds them all, and what one must not do to the others."""

from __future__ import annotations

from typing import Any, Final

from functions.adapters.dynamodb import conditions, group_requests, store
from functions.core.group import AccountEntry
from functions.core.strategy_failures import StrategyFailures
from functions.handlers.evaluate import Evaluator
from tests.simulation.ablations.ablation import Ablation, Patch, replaced
from tests.simulation.ablations.provocations import (
    grouped,
    losing_together,
    raising,
    shadowed,
    tuning_together,
)


def _without(part: str) -> Patch:
    """The condition of the group's half of a claim with one of its parts always true."""
    assert part in conditions.GROUP_CONDITION
    always = f"({part} OR attribute_exists(pk))"
    whole = conditions.GROUP_CONDITION
    return replaced(group_requests, "GROUP_CONDITION", whole.replace(part, always))


def _through(self: Evaluator, snapshot: Any, error: BaseException) -> None:
    """What a strategy raises is nobody's."""
    raise error


GROUPS: Final = (
    Ablation(
        "the collective exposure",
        _without(conditions.EXPOSURE_IS_WITHIN_LIMIT),
        "may have at stake",
        grouped,
    ),
    Ablation(
        "the collective loss",
        _without(conditions.COLLECTIVE_LOSS_IS_WITHIN_LIMIT),
        "may lose",
        losing_together,
        5,
    ),
    Ablation(
        "the version of the collective limits",
        _without(conditions.COLLECTIVE_IS_IN_FORCE),
        "may have at stake",
        tuning_together,
        8,
    ),
    Ablation(
        "the group counts what moves",
        replaced(store, "moved_in_group", lambda *_: None),
        "[group]",
        grouped,
    ),
    Ablation(
        "paper is no matter of the venue's",
        replaced(AccountEntry, "live", True),
        "[paper]",
        shadowed,
    ),
    Ablation(
        "a strategy that raises stops no other",
        replaced(Evaluator, "_note_failure", _through),
        "did not ask",
        raising,
    ),
    Ablation(
        "a strategy that always raises is asked no more",
        replaced(StrategyFailures, "disabled", False),
        "although it was disabled",
        raising,
    ),
)
