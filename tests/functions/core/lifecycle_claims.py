"""Claims at points of their lives, and short names, for the tests of the lifecycle."""

from __future__ import annotations

from typing import Any

from functions.core.claim import Claim, ClaimState
from functions.core.evidence import Resolution
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    FINAL_AFTER_MS,
    apply_answer,
    apply_resolution,
    apply_trades,
)
from protocol.decision import Timeline
from protocol.fill import TradeStatus
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    a_claim,
    a_fill,
)
from venue.wire.order_answer import Accepted

CLAIMED, UNKNOWN, OPEN, RELEASED, SETTLED = ClaimState
SOON_MS = MADE_AT_MS + 100
LATE_MS = MADE_AT_MS + COUNT_AFTER_MS + 15_000
WON = Resolution(payouts_e6={"up": 1_000_000, "down": 0}, source="clob")
ALL = Accepted(status="matched", spend_e6=1_100_000, size_e6=2_000_000)
NOTHING_YET = Accepted(status="delayed", spend_e6=0, size_e6=0)


def sure(claim: Claim | None) -> Claim:
    assert claim is not None
    return claim


def told(claim: Claim, answer: Any, now_ms: int = SOON_MS) -> Claim | None:
    return apply_answer(claim, answer, now_ms, Timeline())


def amounts(claim: Claim) -> tuple[int, int]:
    return claim.filled_spend_e6, claim.filled_size_e6


def opened(*fills: Any) -> Claim:
    return sure(apply_trades(a_claim(), fills or [a_fill()], SOON_MS))


def settled_claim(status: TradeStatus = TradeStatus.CONFIRMED, **changes: Any) -> Claim:
    claim = opened(a_fill(status=status, **changes))
    return sure(apply_resolution(claim, WON, MARKET_END_MS + FINAL_AFTER_MS))
