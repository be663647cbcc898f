"""Claim before POST, one POST, no old and no superseded book (invariants 1, 3 and 6)."""

from __future__ import annotations

from typing import Any, Final

from functions.adapters import aws_answers
from functions.adapters.dynamodb import store
from functions.core.claim import Claim
from functions.core.fencing import Fence
from functions.handlers import execute
from functions.handlers.execute import OrderExecutor
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import Claimed, ClaimResult, StoreError
from tests.simulation.ablations.ablation import Ablation, replaced
from tests.simulation.ablations.provocations import (
    foreign_answers,
    lossy_store,
    misnaming,
    retrying_store,
    rivals,
    silent_venue,
    suspended,
)
from venue.wire.order_answer import Answer, Unknown

_real_claim = store.DynamoStore.claim
_real_post = OrderExecutor._post


async def _claim_anyway(self: Any, claim: Claim, *arguments: Any) -> ClaimResult:
    try:
        return await _real_claim(self, claim, *arguments)
    except StoreError:
        return Claimed()


async def _post_again(self: Any, order: Any, *of_book: Any) -> Answer:
    answer = await _real_post(self, order, *of_book)
    if isinstance(answer, Unknown):
        answer = await self._exchange.post(order)
    return answer


ORDER: Final = (
    # Claim before POST, and only one POST (invariants 1 and 3).
    Ablation(
        "no POST without a claim that is ours",
        replaced(store.DynamoStore, "claim", _claim_anyway),
        "without a durable claim",
        lossy_store,
    ),
    Ablation(
        "only DynamoDB's own answer is a claim",
        replaced(aws_answers, "check_answer", lambda *_, **__: None),
        "without a durable claim",
        foreign_answers,
    ),
    Ablation(
        "own claim recognised",
        replaced(store, "stored_attempt", lambda *_: None),
        "nobody posted it",
        retrying_store,
    ),
    Ablation(
        "never re-post", replaced(OrderExecutor, "_post", _post_again), "2 times", silent_venue
    ),
    Ablation(
        "no POST of an old book",
        replaced(execute, "_age_excess_ms", lambda *_: 0),
        "on a book",
        suspended,
    ),
    # No order by a listing that the CLOB contradicts, or has not confirmed.
    Ablation(
        "markets are confirmed",
        replaced(MarketVerifier, "doubt", lambda *_: None),
        "contradicts",
        misnaming,
    ),
    # No order on what a later feeder has superseded (invariant 6).
    Ablation("books are fenced", replaced(Fence, "admits", lambda *_: True), "replaced", rivals, 4),
    Ablation(
        "orders are fenced", replaced(Fence, "fenced", lambda *_: False), "replaced", rivals, 28
    ),
)
