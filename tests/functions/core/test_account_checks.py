"""What a person is told of an account's limits, and what it does."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from functions.core.account import ClaimRefusal, refusal_of
from functions.core.account_checks import account_checks
from functions.core.gate_checks import NumberCheck
from tests.functions.core.test_account import FREE, LIMITS, NOW_MS, REFUSING, TODAY, on

TOLD = {reason: changes for reason, changes in REFUSING.items() if "collective" not in reason}


def checks(**changes: Any) -> dict[ClaimRefusal, NumberCheck]:
    account = msgspec.structs.replace(FREE, **changes)
    return account_checks(account, on("m1"), LIMITS, NOW_MS, TODAY)


@given(st.sets(st.sampled_from(sorted(TOLD))))
def test_the_first_that_does_not_pass_is_why_the_account_refuses(
    reasons: set[ClaimRefusal],
) -> None:
    changes: dict[str, Any] = {}
    for reason in sorted(reasons):
        for name, value in TOLD[reason].items():
            known = changes.get(name)
            changes[name] = {**known, **value} if isinstance(known, dict) else value
    account = msgspec.structs.replace(FREE, **changes)
    found = account_checks(account, on("m1"), LIMITS, NOW_MS, TODAY)
    failed = next((reason for reason, each in found.items() if not each.passed), None)
    assert failed == refusal_of(account, on("m1"), LIMITS, NOW_MS, TODAY)


def test_each_is_told_with_its_number_and_what_is_wanted_of_it() -> None:
    def told(reason: ClaimRefusal, **changes: Any) -> tuple[str, str]:
        found = checks(**changes)[reason]
        assert not found.passed
        return found.value, found.wanted

    assert told(ClaimRefusal.HALTED, trading="halted", halt_reason="by hand") == (
        "halted (by hand)",
        "enabled",
    )
    assert told(ClaimRefusal.COOLDOWN, cooldowns={"m1": NOW_MS + 150_001}) == (
        "2 min 31 s left",
        "over",
    )
    assert told(ClaimRefusal.MAX_POSITIONS, **TOLD[ClaimRefusal.MAX_POSITIONS]) == (
        "2 of 2",
        "fewer than 2",
    )
    assert told(ClaimRefusal.DAILY_LOSS, pnl_e6={TODAY: -10_500_000}) == (
        "-10.50 USD",
        "above -10.00 USD",
    )
    assert told(ClaimRefusal.DAILY_SPEND, spent_e6={TODAY: 4_000_000}) == (
        "4.00 USD",
        "at most 3.90 USD: an order takes 1.10",
    )
