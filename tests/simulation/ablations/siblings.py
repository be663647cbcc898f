"""Two accounts on one wallet: what is the wallet's is compared with what both claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from functions.adapters.dynamodb.store import DynamoStore
from functions.core.wallet import ALONE, Siblings
from functions.handlers import reconcile
from functions.handlers.siblings import Unclaimed
from tests.simulation.ablations.ablation import Ablation, replaced
from tests.simulation.ablations.provocations import siblings


async def _nobody(*_: Any) -> Siblings:
    return ALONE


async def _unsaid(*_: Any) -> None:
    """The account trades with the wallet, and nobody is told."""


async def _foreign(_: Any, __: str, unknown: Mapping[str, Any]) -> Unclaimed:
    """What the own account does not know is foreign."""
    return Unclaimed(foreign=len(unknown))


SIBLINGS: Final = (
    Ablation(
        "positions are all accounts'",
        replaced(reconcile, "siblings_of", _nobody),
        "[mismatch]",
        siblings,
    ),
    Ablation(
        "who claims has joined the wallet",
        replaced(DynamoStore, "join_wallet", _unsaid),
        "[mismatch]",
        siblings,
    ),
    Ablation(
        "a sibling's trade is not foreign",
        replaced(reconcile, "whose", _foreign),
        "[foreign]",
        siblings,
    ),
)
