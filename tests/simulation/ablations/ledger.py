"""Nothing is lost on the way to the ledger, and nothing is counted twice."""

from __future__ import annotations

from typing import Any, Final

from functions import worker_consumers
from functions.adapters import durable_consumer
from functions.adapters.dynamodb import claim_requests
from functions.core import lifecycle
from functions.core.claim import Claim, ClaimState
from functions.handlers import apply_evidence, reconcile, settle
from tests.simulation.ablations.ablation import Ablation, replaced, together
from tests.simulation.ablations.provocations import deadly, deaf, failing_trades, mute_records


async def _forget_first(store: Any, claim: Claim) -> None:
    await store.forget(claim)
    await store.put_ledger(claim)


async def _leave_it(store: Any, claim: Claim) -> None:
    """An ended claim stays where a crash has left it."""


async def _nothing(*_: Any, **__: Any) -> None:
    pass


async def _acknowledge_first(messages: Any, handled: Any) -> None:
    for message in messages:
        await message.ack()
    await handled


def _as_soon_as_it_ends(claim: Claim, now_ms: int) -> bool:
    return (
        claim.state is ClaimState.OPEN
        and claim.filled_size_e6 > 0
        and claim.market_end_ms <= now_ms
    )


LEDGER: Final = (
    # Nothing is lost on the way to the ledger, and nothing counted twice.
    Ablation(
        "ledger before forgetting",
        replaced(apply_evidence, "move_to_ledger", _forget_first),
        "[lost]",
        deadly,
        15,
    ),
    Ablation(
        "crashes completed",
        replaced(reconcile, "move_to_ledger", _leave_it),
        "is still",
        deadly,
        19,
    ),
    Ablation("fills applied", replaced(worker_consumers, "on_fill", _nothing), "[4]", mute_records),
    Ablation(
        "fills acknowledged after",
        replaced(durable_consumer, "_deliver", _acknowledge_first),
        "[leak]",
        mute_records,
        6,
    ),
    Ablation("looks for orders", replaced(reconcile, "_reconcile_claim", _nothing), "[4]", deaf),
    Ablation("sweep of trades", replaced(reconcile, "_sweep", _nothing), "[5]", deaf, 55),
    Ablation(
        "P&L booked with the move",
        replaced(claim_requests, "add_to_key", lambda *_: None),
        "[pnl]",
    ),
    Ablation(
        "settled on final trades",
        together(
            replaced(settle, "settleable", _as_soon_as_it_ends),
            replaced(lifecycle, "settleable", _as_soon_as_it_ends),
        ),
        "was settled while",
        failing_trades,
    ),
)
