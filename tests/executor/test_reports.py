from __future__ import annotations

import pytest

from executor.reports import position_of, positions_of, stages_us
from functions.core.account import Pause, Redemption
from functions.core.account_status import status_of
from functions.core.claim import ClaimState
from protocol.decision import Timeline
from tests.support.account_builders import LIMITS, make_account, make_claim, make_open

NOW = 1_790_000_000_000
TODAY = "2026-09-21"


def test_a_status_counts_claims_by_state_and_every_one_takes_a_slot() -> None:
    account = make_account(
        make_open("a", claimed_at_ms=NOW - 500_000),
        make_claim("b", claimed_at_ms=NOW - 7_000),
        make_claim("c", claimed_at_ms=NOW - 30_000, state=ClaimState.UNKNOWN),
        make_claim("d", claimed_at_ms=NOW - 900_000, state=ClaimState.RELEASED),
    )
    status = status_of("x", account, LIMITS, NOW, TODAY)
    assert (status.open, status.unknown, status.claimed, status.ended) == (1, 1, 1, 1)
    assert (status.slots_used, status.slots) == (4, 3)
    assert status.oldest_unresolved_ms == 30_000  # neither the open nor the ended one


def test_entries_are_those_of_running_windows() -> None:
    windows = [
        make_claim(market, market_end_ms=NOW + end_ms).window
        for market, end_ms in (("a", 1), ("b", 900_000), ("c", -1))
    ]
    account = make_account(entries=dict(zip(windows, (3, 1, 9), strict=True)))
    status = status_of("x", account, LIMITS, NOW, TODAY)
    assert (status.entries, status.entries_max_in_a_market) == (4, 3)
    assert status.max_entries_per_market is None
    assert status_of("x", make_account(), LIMITS, NOW, TODAY).entries_max_in_a_market == 0


def test_positions_of_one_market_are_told_apart() -> None:
    market = {"condition_id": "0xm"}
    claims = [
        make_open("second", claimed_at_ms=NOW - 1, by_intent=True, **market),
        make_open("first", claimed_at_ms=NOW - 300_000, by_intent=True, **market),
        make_claim("other", claimed_at_ms=NOW - 2),
        make_claim("third", claimed_at_ms=NOW, **market),
    ]
    told = positions_of("x", make_account(*claims), [], NOW).positions
    assert [(each.market[-6:], each.entry, each.entries) for each in told] == [
        ("-first", 1, 3),
        ("-other", 1, 1),
        ("second", 2, 3),
        ("-third", 3, 3),
    ]


def test_only_todays_money_counts() -> None:
    account = make_account(
        pnl_e6={TODAY: -660_000, "2026-09-20": -9_000_000},
        spent_e6={"2026-09-20": 9_000_000},
    )
    status = status_of("x", account, LIMITS, NOW, TODAY)
    assert (status.pnl_e6, status.spent_e6) == (-660_000, 0)


@pytest.mark.parametrize(("until_ms", "paused"), [(NOW + 1, True), (NOW, False)])
def test_a_pause_and_a_cooldown_end(until_ms: int, paused: bool) -> None:
    account = make_account(
        pause=Pause(reason="rate_limited", since_ms=NOW - 5, until_ms=until_ms),
        cooldowns={"0xa": until_ms},
        redeem={"0xb": Redemption(token_id="7", since_ms=NOW)},
    )
    status = status_of("x", account, LIMITS, NOW, TODAY)
    assert status.pause_reason == ("rate_limited" if paused else "")
    assert status.pause_until_ms == (until_ms if paused else 0)
    assert status.cooldowns == paused
    assert status.redemptions_waiting == 1


def test_any_word_but_enabled_is_a_halt() -> None:
    status = status_of("x", make_account(trading="odd", halt_reason="why"), LIMITS, NOW, TODAY)
    assert (status.trading, status.halt_reason) == (False, "why")


def test_a_claim_that_nobody_resolves_is_overdue() -> None:
    account = make_account(make_claim(claimed_at_ms=NOW - 120_000, state=ClaimState.UNKNOWN))
    assert status_of("x", account, LIMITS, NOW, TODAY).overdue == 1


def test_an_average_price_needs_shares() -> None:
    bought, asked = make_open(), make_claim()
    assert position_of(bought, [bought], NOW).price_e4 == 5_000
    assert position_of(asked, [asked], NOW).price_e4 is None


def test_positions_are_told_oldest_first() -> None:
    young, old = make_claim("a", age_ms=1), make_claim("b", age_ms=9_000)
    told = positions_of("x", make_account(young, old), [], NOW)
    assert [each.condition_id for each in told.positions] == ["0xb", "0xa"]


def test_stages_that_were_not_reached_are_left_out() -> None:
    timeline = Timeline(
        received_at_ns=1_000_000,
        published_at_ns=1_500_000,
        delivered_at_ns=2_500_000,
        decided_at_ns=2_600_000,
    )
    assert stages_us(timeline) == {"publish": 500, "deliver": 1_000, "decide": 100}
