"""Why an account takes no claim, and how long it waits for a venue that refuses it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.account import (
    NO_PAUSE,
    Account,
    ClaimRefusal,
    Limits,
    Pause,
    next_pause,
    pauses,
    refusal_of,
)
from functions.core.claim import Claim, ClaimState
from tests.support.trading_builders import a_claim
from venue.wire.order_answer import RejectReason

NOW_MS = 1_790_000_000_000
TODAY = "2026-09-21"
LIMITS = Limits(
    max_positions=2,
    cooldown_ms=300_000,
    daily_loss_limit_e6=10_000_000,
    daily_spend_cap_e6=5_000_000,
    max_entries_per_market=2,
    config_version=3,
)
FREE = Account(
    trading="enabled",
    claims={},
    cooldowns={},
    pnl_e6={},
    spent_e6={},
    pause=NO_PAUSE,
    redeem={},
    config_version=3,
)
PAUSED = Pause(reason="rate_limited", since_ms=NOW_MS - 1, until_ms=NOW_MS + 1)


def on(market: str, **changes: Any) -> Claim:
    return a_claim(condition_id=market, **changes)


def on_window(market: str) -> str:
    return on(market).window


# What makes an account refuse a claim on m1, one reason each.
REFUSING: dict[ClaimRefusal, dict[str, Any]] = {
    ClaimRefusal.HALTED: {"trading": "halted"},
    ClaimRefusal.PAUSED: {"pause": PAUSED},
    ClaimRefusal.CONFIG_CHANGED: {"config_version": 4},
    ClaimRefusal.MARKET_CLAIMED: {"claims": {"m1": on("m1")}},
    ClaimRefusal.COOLDOWN: {"cooldowns": {"m1": NOW_MS + 1}},
    ClaimRefusal.MAX_ENTRIES: {"entries": {on_window("m1"): 2}},
    ClaimRefusal.MAX_POSITIONS: {"claims": {"m2": on("m2"), "m3": on("m3")}},
    ClaimRefusal.DAILY_LOSS: {"pnl_e6": {TODAY: -10_000_000}},
    ClaimRefusal.DAILY_SPEND: {"spent_e6": {TODAY: 3_900_001}},
    ClaimRefusal.COLLECTIVE_CHANGED: {"collective": "group"},
}


def refusal(account: Account | None, market: str = "m1") -> ClaimRefusal | None:
    return refusal_of(account, on(market), LIMITS, NOW_MS, TODAY)


def test_a_free_account_takes_a_claim() -> None:
    assert refusal(FREE) is None


def test_no_account_takes_none() -> None:
    assert refusal(None) is ClaimRefusal.NO_ACCOUNT


@pytest.mark.parametrize("reason", REFUSING)
def test_each_reason_alone(reason: ClaimRefusal) -> None:
    assert refusal(msgspec.structs.replace(FREE, **REFUSING[reason])) is reason


def test_every_reason_of_an_account_is_covered() -> None:
    others = {ClaimRefusal.NO_ACCOUNT, ClaimRefusal.UNEXPLAINED}
    groups = {ClaimRefusal.COLLECTIVE_LOSS, ClaimRefusal.COLLECTIVE_EXPOSURE}
    assert set(REFUSING) == set(ClaimRefusal) - others - groups


@given(st.sets(st.sampled_from(list(REFUSING)), min_size=1))
def test_the_first_reason_in_order_is_reported(reasons: set[ClaimRefusal]) -> None:
    changes: dict[str, Any] = {}
    claims: dict[str, Claim] = {}
    for reason in reasons:
        changes |= REFUSING[reason]
        claims |= REFUSING[reason].get("claims", {})
    account = msgspec.structs.replace(FREE, **(changes | {"claims": claims}))
    assert refusal(account) is next(reason for reason in ClaimRefusal if reason in reasons)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cooldowns": {"m1": NOW_MS}}, None),
        ({"cooldowns": {"m2": NOW_MS + 1}}, None),
        ({"claims": {"m2": on("m2")}}, None),
        # A resolved claim has a slot of its own: it counts, and does not close the market.
        ({"claims": {"intent-1": on("m1", state=ClaimState.OPEN, by_intent=True)}}, None),
        ({"entries": {on_window("m1"): 1}}, None),
        ({"entries": {on_window("m1"): 3}}, ClaimRefusal.MAX_ENTRIES),
        ({"entries": {on_window("m2"): 2}}, None),
        ({"entries": {on("m1", market_end_ms=NOW_MS + 1).window: 2}}, None),
        ({"pause": msgspec.structs.replace(PAUSED, until_ms=NOW_MS)}, None),
        ({"pnl_e6": {TODAY: -9_999_999}}, None),
        ({"pnl_e6": {TODAY: -10_000_001}}, ClaimRefusal.DAILY_LOSS),
        ({"pnl_e6": {"2026-09-20": -10_000_001}}, None),
        ({"spent_e6": {TODAY: 3_900_000}}, None),
        ({"spent_e6": {"2026-09-20": 5_000_000}}, None),
        ({"trading": ""}, ClaimRefusal.HALTED),
        ({"config_version": 2}, ClaimRefusal.CONFIG_CHANGED),
        ({"config_version": 0}, ClaimRefusal.CONFIG_CHANGED),
        ({"config_version": None}, ClaimRefusal.CONFIG_CHANGED),
    ],
)
def test_the_edges(changes: dict[str, Any], reason: ClaimRefusal | None) -> None:
    assert refusal(msgspec.structs.replace(FREE, **changes)) is reason


@pytest.mark.parametrize("state", ClaimState)
def test_what_stands_under_a_market_takes_it_in_any_state_and_is_a_position(
    state: ClaimState,
) -> None:
    account = msgspec.structs.replace(FREE, claims={"m1": on("m1", state=state)})
    assert refusal(account) is ClaimRefusal.MARKET_CLAIMED
    one = msgspec.structs.replace(LIMITS, max_positions=1)
    assert refusal_of(account, on("m2"), one, NOW_MS, TODAY) is ClaimRefusal.MAX_POSITIONS


def test_without_a_limit_a_window_takes_any_number_of_entries() -> None:
    account = msgspec.structs.replace(FREE, entries={on_window("m1"): 10_000})
    limits = msgspec.structs.replace(LIMITS, max_entries_per_market=None)
    assert refusal_of(account, on("m1"), limits, NOW_MS, TODAY) is None


# -- pauses --------------------------------------------------------------------------------------

PAUSING = [reason for reason in RejectReason if pauses(reason)]


def test_what_the_venue_says_about_the_account_pauses_it_and_about_the_order_does_not() -> None:
    assert set(PAUSING) >= {
        RejectReason.ENGINE_RESTARTING,
        RejectReason.RATE_LIMITED,
        RejectReason.TRADING_DISABLED,
        RejectReason.NOT_ENOUGH_BALANCE,
    }
    for reason in (RejectReason.NO_MATCH, RejectReason.BAD_TICK, RejectReason.MARKET_CLOSED):
        assert not pauses(reason)
        with pytest.raises(KeyError):
            next_pause(NO_PAUSE, reason, NOW_MS)


def length_ms(pause: Pause) -> int:
    return pause.until_ms - pause.since_ms


@pytest.mark.parametrize("reason", PAUSING)
def test_refused_again_right_after_a_pause_it_is_twice_as_long_up_to_a_bound(
    reason: RejectReason,
) -> None:
    pause = next_pause(NO_PAUSE, reason, NOW_MS)
    first_ms = length_ms(pause)
    lengths = [first_ms]
    for _ in range(20):
        pause = next_pause(pause, reason, pause.until_ms)
        lengths.append(length_ms(pause))
    assert lengths[1] == 2 * first_ms
    assert lengths == sorted(lengths)
    assert lengths[-1] == lengths[-2] <= 600_000
    # After a good while without a refusal it begins anew.
    assert length_ms(next_pause(pause, reason, pause.until_ms + length_ms(pause))) == first_ms


@pytest.mark.parametrize("reason", PAUSING)
def test_a_pause_is_as_long_as_the_venue_asks_within_the_bound(reason: RejectReason) -> None:
    usual_ms = length_ms(next_pause(NO_PAUSE, reason, NOW_MS))
    for asked_ms in (0, 1, usual_ms - 1, usual_ms + 1, usual_ms * 3, 10**12):
        pause = next_pause(NO_PAUSE, reason, NOW_MS, asked_ms=asked_ms)
        assert usual_ms <= length_ms(pause) <= 600_000
        assert length_ms(pause) >= min(asked_ms, 2 * usual_ms)
        # An order that was under way when it began changes next to nothing.
        after = next_pause(pause, reason, NOW_MS + 5, asked_ms=asked_ms)
        assert after.until_ms <= pause.until_ms + 5


def test_the_venue_s_hundred_seconds_are_waited_for() -> None:
    pause = next_pause(NO_PAUSE, RejectReason.TRADING_DISABLED, NOW_MS, asked_ms=100_000)
    assert length_ms(pause) == 100_000


def test_another_reason_begins_with_its_own_length() -> None:
    first = next_pause(NO_PAUSE, RejectReason.ENGINE_RESTARTING, NOW_MS)
    other = next_pause(first, RejectReason.RATE_LIMITED, first.until_ms)
    assert other == next_pause(NO_PAUSE, RejectReason.RATE_LIMITED, first.until_ms)


def test_orders_that_were_under_way_when_the_pause_began_do_not_lengthen_it() -> None:
    # Sixteen orders of one worker meet the same restart: that is one refusal, not sixteen.
    pause = next_pause(NO_PAUSE, RejectReason.ENGINE_RESTARTING, NOW_MS)
    for later_ms in range(16):
        pause = next_pause(pause, RejectReason.ENGINE_RESTARTING, NOW_MS + later_ms)
    assert pause.until_ms <= NOW_MS + 15 + 5_000


@given(st.sampled_from(PAUSING), st.sampled_from(PAUSING), st.integers(0, 700_000))
def test_a_pause_is_never_cut_short(
    reason: RejectReason, other: RejectReason, later_ms: int
) -> None:
    pause = next_pause(NO_PAUSE, reason, NOW_MS)
    following = next_pause(pause, other, NOW_MS + later_ms)
    assert following.until_ms >= pause.until_ms
    assert following.until_ms > NOW_MS + later_ms
