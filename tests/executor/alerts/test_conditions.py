"""What is told of a system, from what is seen of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executor.alerts import conditions as module
from executor.alerts.alert import SeenAccount, SeenProcess, SeenSchedule
from executor.alerts.conditions import conditions
from functions.core.account import TRADING_HALTED, Pause, Redemption
from functions.core.claim import ClaimFill, ClaimState, Finality
from tests.executor.alerts.seen_builders import (
    DAY,
    NOW_MS,
    alerts_of,
    process,
    seen,
    seen_account,
    system,
)
from tests.support.account_builders import LIMITS, make_claim, make_open

OLD = {"claimed_at_ms": NOW_MS - 150_000}
CONFIRMED = {"t1": ClaimFill(standing=Finality.CONFIRMED, price_e4=5_000, size_e6=2_200_000)}


def test_a_system_that_is_well_is_not_talked_about() -> None:
    claim = make_claim(claimed_at_ms=NOW_MS - 60_000)
    look = seen(
        seen_account(claim, pnl_e6={DAY: -19_999_999}, spent_e6={DAY: 1_100_000}),
        system=system(process(), process("alerts", restarts=0)),
        processes={"worker-1": SeenProcess()},
        schedule={"imbalance": SeenSchedule()},
        proven_at_ms={"btc-15m": NOW_MS - 29_999},
        disk_free_bytes=10**12,
    )
    assert conditions(look) == (
        [],
        {"machine", "books", "system", "processes"}
        | {"imbalance", "store|imbalance", "schedule|imbalance"},
    )


def test_a_halt_is_told_with_its_reason_and_by_its_id() -> None:
    halted = {"trading": TRADING_HALTED, "halt_reason": "maintenance", "halt_id": "h1"}
    alert = alerts_of(seen(seen_account(**halted)))["halted"]
    assert alert.key == "halted|imbalance|h1"
    assert alert.text.startswith("HALTED: PAPER imbalance: maintenance\n")
    assert (alert.level, alert.repeats, alert.calm_ms) == ("information", False, 0)
    assert alert.over.startswith("RESUMED: PAPER imbalance")


def test_limits_of_the_day_are_told_once_a_day() -> None:
    look = seen(seen_account(pnl_e6={DAY: -20_000_000}, spent_e6={DAY: 199_000_000}))
    found = alerts_of(look)
    assert found["daily_loss"].key == f"daily_loss|imbalance|{DAY}"
    assert "-20.00 USD today, limit 20.00 USD" in found["daily_loss"].text
    assert "199.00 of 200.00 USD" in found["daily_spend"].text
    assert not found["daily_loss"].over
    assert not found["daily_spend"].over


def test_a_spend_cap_is_reached_when_the_next_order_does_not_fit() -> None:
    for spent_e6, reached in ((198_900_000, False), (198_900_001, True)):
        found = alerts_of(seen(seen_account(spent_e6={DAY: spent_e6})))
        assert ("daily_spend" in found) == reached


@pytest.mark.parametrize("state", [ClaimState.CLAIMED, ClaimState.UNKNOWN])
def test_an_unresolved_claim_is_one_alert_however_often_it_was_looked_for(
    state: ClaimState,
) -> None:
    keys = set()
    for version, looks in ((1, 0), (2, 1), (9, 8)):
        claim = make_claim(state=state, version=version, looks=looks, **OLD)
        alert = alerts_of(seen(seen_account(claim)))["unresolved"]
        keys.add(alert.key)
        assert "UNRESOLVED for 2 min: PAPER imbalance: btc-updown-15m-m1 Up, 1.10 USD" in alert.text
    assert keys == {"unresolved|imbalance|attempt-m1"}


def test_a_claim_of_less_than_two_minutes_is_waited_for() -> None:
    assert not alerts_of(seen(seen_account(make_claim(claimed_at_ms=NOW_MS - 119_999))))


def test_many_unresolved_claims_are_bounded() -> None:
    claims = [make_claim(f"m{number}", **OLD) for number in range(30)]
    alerts, _ = conditions(seen(seen_account(*claims)))
    assert len(alerts) == 21
    assert "and 10 more claims" in alerts[-1].text


def test_a_claim_that_is_never_settled() -> None:
    claim = make_open(
        fills=CONFIRMED,
        claimed_at_ms=NOW_MS - 7_200_000,
        market_end_ms=NOW_MS - 3_600_000,
        by_intent=True,
    )
    assert "NOT SETTLED an hour" in alerts_of(seen(seen_account(claim)))["unsettled"].text


def test_a_reopened_claim_is_told_even_if_it_has_ended_again_before_anybody_looked() -> None:
    live = make_open(came_back=True, by_intent=True, fills=CONFIRMED, **OLD)
    ended = msgspec.structs.replace(live, state=ClaimState.SETTLED, version=9, settled_at_ms=1)
    first = alerts_of(seen(seen_account(live)))["reopened"]
    later = alerts_of(seen(seen_account(ended=(ended,))))["reopened"]
    assert first.key == later.key == "reopened|imbalance|intent-m1|2200000"
    assert "2.20 shares for 1.10 USD" in first.text
    both = alerts_of(seen(seen_account(live, ended=(ended,))))
    assert both["reopened"].key == first.key


def test_other_late_evidence_of_a_reopened_claim_is_another_alert() -> None:
    one = make_open(came_back=True, by_intent=True, fills=CONFIRMED, **OLD)
    other = msgspec.structs.replace(one, filled_size_e6=3_000_000)
    keys = {alerts_of(seen(seen_account(each)))["reopened"].key for each in (one, other)}
    assert len(keys) == 2


def test_winnings_that_nobody_asks_for_any_more() -> None:
    note = Redemption(token_id="7", since_ms=NOW_MS - 86_400_000)
    look = seen(seen_account(redeem={"0xmarket#7#0xwallet": note}))
    assert alerts_of(look)["winnings_stuck"].key.endswith("0xmarket#7#0xwallet")


@pytest.mark.parametrize(("lasts_ms", "told"), [(119_999, False), (120_000, True)])
def test_a_long_pause(lasts_ms: int, *, told: bool) -> None:
    pause = Pause(reason="geoblocked", since_ms=NOW_MS - 1_000, until_ms=NOW_MS - 1_000 + lasts_ms)
    assert ("paused" in alerts_of(seen(seen_account(pause=pause)))) == told


def test_what_the_schedule_found() -> None:
    found = SeenSchedule(mismatches=2, strangers=1, group_difference_usd=-1.5)
    alerts = alerts_of(seen(seen_account(), schedule={"imbalance": found}))
    assert set(alerts) == {"positions_differ", "another_trader", "group_differs"}
    assert "other shares of 2 tokens" in alerts["positions_differ"].text
    assert alerts["positions_differ"].scope == "schedule|imbalance"


def test_what_the_schedule_has_not_said_is_not_over() -> None:
    _, known = conditions(seen(seen_account()))
    assert "schedule|imbalance" not in known


def test_a_store_that_cannot_be_read_says_nothing_of_its_account() -> None:
    unread = SeenAccount(
        name="imbalance",
        execution="paper",
        limits=LIMITS,
        problem="no answer",
        unread_since_ms=NOW_MS - 30_000,
    )
    alerts, known = conditions(seen(unread))
    assert [alert.key for alert in alerts] == ["store|imbalance"]
    assert "STATE NOT READABLE: PAPER imbalance: no answer" in alerts[0].text
    assert "imbalance" not in known


def test_no_proven_book() -> None:
    series = {"btc-15m": NOW_MS - 30_000, "eth-15m": NOW_MS - 1_000}
    alert = alerts_of(seen(proven_at_ms=series))["no_books"]
    assert alert.text.startswith("NO PROVEN BOOK of btc-15m for 30 s")
    alerts, known = conditions(seen(proven_at_ms=series, books_problem="not connected to NATS"))
    assert "not connected to NATS" in alerts[0].text
    assert "books" not in known


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"restarts": 1, "since_ms": NOW_MS - 10_000}, {"restarting"}),
        ({"restarts": 1, "since_ms": NOW_MS - 300_000}, set()),
        ({"restarts": 3, "state": "waiting", "since_ms": NOW_MS}, {"restarting"}),
        ({"restarts": 0, "state": "waiting", "since_ms": NOW_MS}, set()),
        ({"restarts": 0, "state": "stopped", "since_ms": NOW_MS - 30_000}, {"gone"}),
        ({"restarts": 0, "state": "starting", "since_ms": NOW_MS - 60_000}, set()),
        ({"restarts": 0, "state": "starting", "since_ms": NOW_MS - 120_000}, {"gone"}),
    ],
)
def test_processes(changes: dict[str, Any], kinds: set[str]) -> None:
    last = {"last_end": "it was killed by SIGKILL"}
    found = alerts_of(seen(system=system(process(**{**last, **changes}))))
    assert set(found) == kinds
    assert all("it was killed by SIGKILL" in alert.text for alert in found.values())


def test_a_process_that_has_been_unwell_for_a_minute() -> None:
    for since_ms, told in ((NOW_MS - 59_999, False), (NOW_MS - 60_000, True)):
        health = {"worker-1": SeenProcess(problem="no book has come", since_ms=since_ms)}
        found = alerts_of(seen(system=system(process()), processes=health))
        assert ("unwell" in found) == told


def test_a_supervisor_that_is_gone_is_told_instead_of_its_processes() -> None:
    dead = process(state="waiting", restarts=2)
    gone = system(dead, written_at_ms=NOW_MS - 15_000)
    assert set(alerts_of(seen(system=gone))) == {"system_gone"}
    assert "processes" not in conditions(seen(system=gone))[1]
    stopped = system(dead, written_at_ms=NOW_MS - 15_000, stopped=True)
    assert not alerts_of(seen(system=stopped))


def test_disk_and_services() -> None:
    found = alerts_of(seen(disk_free_bytes=499_000_000, failing={"Telegram": "HTTP 401"}))
    assert "499 MB are free" in found["disk"].text
    assert "ALERTS NOT DELIVERED by Telegram: HTTP 401" in found["not_delivered"].text


def test_every_guide_that_is_named_is_there() -> None:
    named = set(re.findall(r"Guide: ([^\\\".]+)", Path(module.__file__).read_text("utf-8")))
    assert len(named) >= 7
    documents = (Path(__file__).parents[3] / "docs").rglob("*.md")
    text = "\n".join(path.read_text("utf-8") for path in documents)
    assert {
        each for each in named if not re.search(rf"^#+ {re.escape(each)}$", text, re.M)
    } == set()
