from __future__ import annotations

import msgspec
import pytest

from functions.core.account import NO_PAUSE, Account, ClaimRefusal
from functions.core.refusal_cache import BELIEF_MS, RefusalCache

EMPTY = Account(
    trading="enabled",
    claims={},
    cooldowns={},
    pnl_e6={},
    spent_e6={},
    pause=NO_PAUSE,
    redeem={},
)


def test_nothing_is_refused_before_anything_was_seen() -> None:
    assert RefusalCache().refusal("m", 0) is None


def test_our_own_claim_begins_the_cooldown_exactly() -> None:
    cache = RefusalCache()
    cache.learn_claimed("m", cooldown_until_ms=1_000, now_ms=0)
    assert cache.refusal("m", 999) is ClaimRefusal.COOLDOWN
    assert cache.refusal("m", 1_000) is None
    assert cache.refusal("other", 0) is None


@pytest.mark.parametrize(
    "reason",
    [
        ClaimRefusal.MAX_POSITIONS,
        ClaimRefusal.PAUSED,
        ClaimRefusal.HALTED,
        ClaimRefusal.DAILY_LOSS,
        ClaimRefusal.DAILY_SPEND,
        ClaimRefusal.COLLECTIVE_LOSS,
        ClaimRefusal.COLLECTIVE_EXPOSURE,
        ClaimRefusal.COLLECTIVE_CHANGED,
    ],
)
def test_what_concerns_the_account_is_believed_for_a_while_only(reason: ClaimRefusal) -> None:
    cache = RefusalCache()
    cache.learn_refused(reason, EMPTY, "m", now_ms=0)
    assert cache.refusal("any", BELIEF_MS - 1) is reason
    assert cache.refusal("any", BELIEF_MS) is None


@pytest.mark.parametrize("reason", [ClaimRefusal.MARKET_CLAIMED, ClaimRefusal.MAX_ENTRIES])
def test_what_concerns_a_market_says_nothing_about_others_and_is_believed_for_a_while_only(
    reason: ClaimRefusal,
) -> None:
    cache = RefusalCache()
    cache.learn_refused(reason, EMPTY, "m", now_ms=0)
    assert cache.refusal("m", BELIEF_MS - 1) is reason
    assert cache.refusal("m", BELIEF_MS) is None
    assert cache.refusal("other", 1) is None


def test_another_workers_cooldowns_come_with_the_refusing_item() -> None:
    cache = RefusalCache()
    account = msgspec.structs.replace(EMPTY, cooldowns={"a": 500, "past": 1})
    cache.learn_refused(ClaimRefusal.COOLDOWN, account, "a", now_ms=100)
    assert cache.refusal("a", 499) is ClaimRefusal.COOLDOWN
    assert cache.refusal("past", 101) is None


def test_a_cooldown_that_was_lifted_in_the_store_is_forgotten() -> None:
    cache = RefusalCache()
    cache.learn_claimed("m", cooldown_until_ms=10_000, now_ms=0)
    cache.learn_refused(ClaimRefusal.MARKET_CLAIMED, EMPTY, "other", now_ms=1)
    assert cache.refusal("m", 2) is None


def test_memory_does_not_grow_with_markets_of_the_past() -> None:
    cache = RefusalCache()
    for number in range(1_000):
        cache.learn_claimed(f"m{number}", cooldown_until_ms=number + 1, now_ms=number)
    assert len(cache._cooldown_until_ms) == 1
