"""What is told of what was settled, and of a day."""

from __future__ import annotations

from typing import Any

import msgspec

from executor.alerts.alert import SeenNow
from executor.alerts.summaries import DAY_MS, QUARTER_MS
from functions.core.account import TRADING_HALTED
from functions.core.claim import Claim, ClaimState
from tests.executor.alerts.seen_builders import NOW_MS, alerts_of, seen, seen_account
from tests.support.account_builders import make_open

QUARTER = NOW_MS - NOW_MS % QUARTER_MS - QUARTER_MS
"""The last one that is over: 13:45 to 14:00."""
MIDNIGHT = NOW_MS - NOW_MS % DAY_MS


def settled(market: str, at_ms: int, pnl_e6: int, **changes: Any) -> Claim:
    return make_open(
        market,
        claimed_at_ms=at_ms - 900_000,
        state=ClaimState.SETTLED,
        settled_at_ms=at_ms,
        pnl_e6=pnl_e6,
        by_intent=True,
        **changes,
    )


def at(at_ms: int, look: SeenNow) -> SeenNow:
    return msgspec.structs.replace(look, at_ms=at_ms)


def test_a_quarter_of_an_hour_is_told_when_it_is_over() -> None:
    rows = (settled("m1", QUARTER, 900_000), settled("m2", QUARTER + 899_999, -1_138_500))
    outside = settled("m3", QUARTER + QUARTER_MS, 1)
    look = seen(seen_account(ended=(*rows, outside)))
    end_ms = QUARTER + QUARTER_MS
    assert not alerts_of(at(end_ms + 59_999, look))
    alert = alerts_of(at(end_ms + 60_000, look))["settled"]
    assert alert.key == f"settled|imbalance|{QUARTER}"
    assert alert.text == (
        "SETTLED: PAPER imbalance: 2 markets, -0.24 USD (13:45 to 14:00 UTC)\n"
        "2 positions, 1 won, 1 lost"
    )
    assert alert.level == "information"


def test_a_position_that_is_in_ledger_and_account_counts_once() -> None:
    row = settled("m1", QUARTER, 900_000)
    live = msgspec.structs.replace(row, version=row.version + 1, pnl_e6=1_000_000)
    text = alerts_of(seen(seen_account(live, ended=(row,))))["settled"].text
    assert "btc-updown-15m-m1, +1.00 USD" in text
    assert "1 positions, 1 won" in text


def test_what_was_settled_before_anybody_watched_is_not_told() -> None:
    look = seen(seen_account(ended=(settled("m1", QUARTER, 1),)))
    assert not alerts_of(msgspec.structs.replace(look, since_ms=QUARTER + QUARTER_MS + 1))


def test_a_day_is_told_after_its_end_once() -> None:
    yesterday = "2026-09-20"
    made = make_open("m1", claimed_at_ms=MIDNIGHT - 1_000, market_end_ms=NOW_MS, by_intent=True)
    account = seen_account(
        made,
        pnl_e6={yesterday: 1_230_000},
        spent_e6={yesterday: 11_000_000},
        trading=TRADING_HALTED,
        halt_id="h",
    )
    told = (("unresolved|imbalance|a1", MIDNIGHT - 5), ("disk", MIDNIGHT + 5))
    look = seen(account, told_keys=told, since_ms=MIDNIGHT - DAY_MS)
    for at_ms in (MIDNIGHT + 59_999, MIDNIGHT + 7 * 3_600_000):
        assert "digest" not in alerts_of(at(at_ms, look))
    alert = alerts_of(at(MIDNIGHT + 60_000, look))["digest"]
    assert alert.key == f"digest|{yesterday}"
    assert alert.text == (
        f"DAY {yesterday} (UTC)\n"
        "PAPER imbalance: +1.23 USD, 11.00 USD spent, 1 orders, 1 bought, HALTED\n"
        "alarms: 1 unresolved"
    )


def test_a_day_before_the_first_one_is_not_told() -> None:
    look = seen(seen_account(), at_ms=MIDNIGHT + 60_000, since_ms=MIDNIGHT)
    assert not alerts_of(look)
