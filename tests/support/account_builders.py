"""Claims, accounts and decisions as the command line meets them."""

from __future__ import annotations

import time
from typing import Any

from functions.core.account import NO_PAUSE, TRADING_ENABLED, Account, Limits
from functions.core.claim import Claim, ClaimState
from protocol.decision import Decision, Timeline

ACCOUNT = "book_imbalance_crypto-paper"
LIVE_ACCOUNT = "book_imbalance_crypto"
LIMITS = Limits(
    max_positions=3,
    cooldown_ms=300_000,
    daily_loss_limit_e6=20_000_000,
    daily_spend_cap_e6=200_000_000,
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def make_claim(market: str = "m1", *, age_ms: int = 1_000, **changes: Any) -> Claim:
    """A claim of `age_ms` ago whose market closes in ten minutes."""
    claimed_at_ms = changes.pop("claimed_at_ms", now_ms() - age_ms)
    fields: dict[str, Any] = {
        "intent_id": f"intent-{market}",
        "attempt_id": f"attempt-{market}",
        "order_id": f"0xorder-{market}",
        "condition_id": f"0x{market}",
        "slug": f"btc-updown-15m-{market}",
        "token_id": "7" * 77,
        "outcome": "Up",
        "state": ClaimState.CLAIMED,
        "max_price_e4": 5_500,
        "spend_e6": 1_100_000,
        "salt": "1",
        "order_timestamp_ms": claimed_at_ms,
        "claimed_at_ms": claimed_at_ms,
        "market_end_ms": claimed_at_ms + age_ms + 600_000,
        "counted": True,
    }
    return Claim(**{**fields, **changes})


def make_open(market: str = "m1", **changes: Any) -> Claim:
    """2.2 shares for 1.1 USD."""
    amounts = {"filled_spend_e6": 1_100_000, "filled_size_e6": 2_200_000, "fee_e6": 38_500}
    return make_claim(market, **{"state": ClaimState.OPEN, **amounts, **changes})


def make_account(*claims: Claim, **changes: Any) -> Account:
    fields: dict[str, Any] = {
        "trading": TRADING_ENABLED,
        "claims": {claim.slot: claim for claim in claims},
        "cooldowns": {},
        "pnl_e6": {},
        "spent_e6": {},
        "pause": NO_PAUSE,
        "redeem": {},
        "config_version": 0,
    }
    return Account(**{**fields, **changes})


def make_decision(number: int = 1, **changes: Any) -> Decision:
    """A refusal; `number` makes it a decision of its own, later than smaller ones."""
    at_ms = changes.pop("decided_at_ms", now_ms() - 60_000 + number)
    fields: dict[str, Any] = {
        "decision_id": f"d{number}",
        "strategy": ACCOUNT,
        "worker": "w1",
        "condition_id": f"0xm{number}",
        "slug": f"btc-updown-15m-{number}",
        "outcome": "Up",
        "token_id": "7",
        "result": "refused",
        "reason": "cooldown",
        "imbalance": 0.6,
        "signal_price_e4": 5_100,
        "max_price_e4": 5_355,
        "spend_e6": 1_100_000,
        "decided_at_ms": at_ms,
        "timeline": Timeline(),
    }
    return Decision(**{**fields, **changes})
