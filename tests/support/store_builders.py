"""Accounts, claims and decisions of the stores' own tests."""

from __future__ import annotations

from typing import Any

from functions.core.account import NO_PAUSE, Account, Limits
from functions.core.claim import Claim, ClaimState
from protocol.decision import Decision, Timeline

STRATEGY = "book_imbalance_crypto"
NOW_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z
TODAY = "2026-09-21"
LIMITS = Limits(
    max_positions=3,
    cooldown_ms=300_000,
    daily_loss_limit_e6=10_000_000,
    daily_spend_cap_e6=50_000_000,
    max_entries_per_market=2,
)


def make_claim(market: str = "0xm1", attempt: str = "a1", **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "intent_id": f"intent-{attempt}",
        "attempt_id": attempt,
        "order_id": f"0xorder-{attempt}",
        "condition_id": market,
        "slug": f"btc-updown-15m-{market}",
        "token_id": "7" * 77,
        "outcome": "Up",
        "state": ClaimState.CLAIMED,
        "max_price_e4": 5_500,
        "spend_e6": 1_100_000,
        "salt": "123456789",
        "order_timestamp_ms": NOW_MS - 5,
        "claimed_at_ms": NOW_MS,
        "market_end_ms": NOW_MS + 600_000,
        "counted": True,
    }
    return Claim(**{**fields, **changes})


def make_account(**changes: Any) -> Account:
    fields: dict[str, Any] = {
        "trading": "enabled",
        "halt_reason": "",
        "claims": {},
        "cooldowns": {},
        "pnl_e6": {},
        "spent_e6": {},
        "pause": NO_PAUSE,
        "redeem": {},
        "config_version": 0,
        "entries": {},
    }
    return Account(**{**fields, **changes})


def make_decision(number: int, **changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "decision_id": f"d{number:03d}",
        "strategy": STRATEGY,
        "worker": "w1",
        "condition_id": "0xm1",
        "slug": "slug",
        "outcome": "Up",
        "token_id": "7",
        "result": "refused",
        "reason": "cooldown",
        "imbalance": 0.5,
        "signal_price_e4": 5_200,
        "max_price_e4": 5_460,
        "spend_e6": 1_100_000,
        "decided_at_ms": NOW_MS + number,
        "timeline": Timeline(),
    }
    return Decision(**{**fields, **changes})
