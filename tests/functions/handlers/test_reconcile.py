"""Reconciliation: what one run does with what the venue has on record."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.claim import Claim, ClaimState
from functions.core.evidence import OrderLookup
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    LOOKUP_AFTER_MS,
    LOOKUP_SPACING_MS,
    LOOKUPS_MIN,
    OVERDUE_AFTER_MS,
    UNSETTLED_AFTER_MS,
    apply_trades,
)
from functions.core.pruning import LATE_REQUEST_MS
from functions.handlers.reconcile import SWEEP_MS, ReconcileReport, reconcile
from functions.handlers.settle import settle
from functions.ports import StoreError
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.functions.handlers.reconcile_desk import RELEASE_AFTER_MS, Desk, sure, unknown
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    a_claim,
    a_fill,
    a_look,
)

CLAIMED, UNKNOWN, OPEN, RELEASED, SETTLED = ClaimState
CONFIRMED, FAILED = TradeStatus.CONFIRMED, TradeStatus.FAILED


async def test_a_young_claim_is_left_alone(clock: Clock) -> None:
    desk = Desk(clock, a_claim())
    report = await desk.run(LOOKUP_AFTER_MS - 1)
    assert "lookup" not in desk.records.calls
    assert report == ReconcileReport(slots_used=1, spent_today_e6=report.spent_today_e6)


@pytest.mark.parametrize("claim", [a_claim(), unknown()])
async def test_what_was_bought_while_the_worker_was_gone_is_found_at_the_first_look(
    claim: Claim, clock: Clock
) -> None:
    desk = Desk(clock, claim)
    desk.shows(a_look(a_fill(status=CONFIRMED), status="matched", matched_e6=2_000_000))
    report = await desk.run(LOOKUP_AFTER_MS)
    assert (report.looked, report.resolved, report.failures) == (1, 1, 0)
    assert (desk.claim.state, desk.claim.filled_size_e6) == (OPEN, 2_000_000)


async def test_what_never_arrived_is_released_after_several_looks(clock: Clock) -> None:
    desk = Desk(clock, unknown())
    looked = 0
    while desk.store.claims:
        report = await desk.run(after_ms=10_000)
        looked += report.looked
    assert clock.now_ms - MADE_AT_MS >= RELEASE_AFTER_MS
    assert looked > LOOKUPS_MIN  # the early ones did not count
    assert [row.state for row in desk.store.filed] == [RELEASED]
    assert desk.store.item is not None
    assert report.resolved == 1


async def test_a_look_up_that_fails_is_no_evidence(clock: Clock) -> None:
    desk = Desk(clock, unknown(looks=LOOKUPS_MIN), a_claim(condition_id="0xc2", intent_id="i2"))
    before = desk.store.item
    desk.records.failures = {"lookup": 99, "trades_since": 99, "positions": 99}
    for _ in range(5):
        report = await desk.run(after_ms=RELEASE_AFTER_MS)
        assert report.failures == 3
        assert desk.store.item == before
    assert set(report.overdue) == {"0xOrder1"}


async def test_a_failure_with_one_claim_does_not_stop_the_others(clock: Clock) -> None:
    other = a_claim(condition_id="0xc2", intent_id="i2", order_id="0xother")
    desk = Desk(clock, a_claim(), other)
    desk.records.failures = {"lookup": 1}
    desk.shows(a_look(a_fill()))
    desk.shows(a_look(a_fill(order_id="0xother")), order_id="0xother")
    report = await desk.run(LOOKUP_AFTER_MS)
    assert report.failures == 1
    assert sorted(claim.state for claim in desk.store.claims.values()) == [CLAIMED, OPEN]


async def test_a_store_that_is_away_is_said_and_tried_again(clock: Clock) -> None:
    desk = Desk(clock, a_claim())
    desk.store.failures["account"] = 1
    with pytest.raises(StoreError):
        await desk.run(LOOKUP_AFTER_MS)
    desk.shows(a_look(a_fill()))
    desk.store.failures["move"] = 1
    assert (await desk.run()).failures == 1
    assert desk.claim.state is CLAIMED
    assert (await desk.run()).resolved == 1


@pytest.mark.parametrize("venue_says_when", [True, False])
async def test_a_schedule_whose_clock_is_ahead_counts_no_look_earlier(
    venue_says_when: bool, clock: Clock
) -> None:
    desk = Desk(clock, unknown())
    desk.records.clock = (lambda: clock.now_ms - 60_000) if venue_says_when else None
    clock.now_ms += 60_000
    while clock.now_ms - 60_000 < MADE_AT_MS + COUNT_AFTER_MS - 5_000:
        await desk.run(after_ms=5_000)
    assert desk.claim.looks == 0
    for _ in range(5):
        await desk.run(after_ms=10_000)
    assert (desk.store.claims == {}) is venue_says_when


async def test_a_venue_that_does_not_say_when_gives_nothing_up_and_a_person_is_told(
    clock: Clock,
) -> None:
    desk = Desk(clock, unknown())
    desk.records.clock = None
    with capture_logs() as logs:
        report = await desk.run(OVERDUE_AFTER_MS)
    assert report.overdue == ["0xOrder1"]
    assert "lookup_without_date" in [line["event"] for line in logs]
    clock.now_ms = MARKET_END_MS + UNSETTLED_AFTER_MS
    await desk.run()
    assert (desk.claim.state, desk.claim.looks) == (UNKNOWN, 0)
    assert len((await settle(desk.store, desk.records)).unsettled) == 1


# -- two at once ---------------------------------------------------------------------------------


async def test_two_runs_at_once_count_one_look(clock: Clock) -> None:
    desk = Desk(clock, unknown())
    clock.now_ms += RELEASE_AFTER_MS
    await asyncio.gather(*(reconcile(desk.store, desk.records) for _ in range(4)))
    assert desk.records.calls.count("lookup") == 4
    assert desk.claim.looks == 1


async def test_two_runs_that_asked_at_once_have_looked_once_however_late_one_is_answered(
    clock: Clock,
) -> None:
    desk = Desk(clock, unknown())
    clock.now_ms += RELEASE_AFTER_MS

    async def slow_venue() -> None:
        await reconcile(desk.store, desk.records)  # the other run, answered at once
        clock.now_ms += LOOKUP_SPACING_MS + 1_000

    desk.records.before["lookup"] = slow_venue
    await reconcile(desk.store, desk.records)
    assert desk.claim.looks == 1


async def test_two_runs_at_once_release_once(clock: Clock) -> None:
    desk = Desk(clock, unknown(looks=LOOKUPS_MIN - 1))
    clock.now_ms += RELEASE_AFTER_MS
    await asyncio.gather(*(reconcile(desk.store, desk.records) for _ in range(4)))
    assert desk.store.claims == {}
    assert [(row.state, row.version) for row in desk.store.filed] == [(RELEASED, 3)]
    assert desk.store.item is not None
    assert desk.store.item.spent_e6 == {"2026-09-21": -1_100_000}  # given back once


async def test_an_answer_while_the_venue_is_asked_is_not_lost(clock: Clock) -> None:
    desk = Desk(clock, unknown(looks=LOOKUPS_MIN - 1))
    clock.now_ms += RELEASE_AFTER_MS

    async def on_fill() -> None:
        changed = sure(apply_trades(desk.claim, [a_fill()], clock.now_ms))
        assert await desk.store.move(changed, desk.claim)

    desk.records.before["lookup"] = on_fill
    await reconcile(desk.store, desk.records)
    assert (desk.claim.state, desk.claim.filled_size_e6, desk.claim.looks) == (OPEN, 2_000_000, 0)


# -- what a crash left ---------------------------------------------------------------------------


@pytest.mark.parametrize("filed", [False, True])
async def test_an_ended_claim_is_filed_and_forgotten(filed: bool, clock: Clock) -> None:
    ended = a_claim(state=SETTLED, version=4, pnl_e6=5)
    desk = Desk(clock, ended)
    if filed:
        await desk.store.put_ledger(ended)
    report = await desk.run()
    assert (desk.store.claims, desk.store.filed) == ({}, [ended])
    assert report.resolved == 1
    assert desk.store.item is not None
    assert desk.store.item.pnl_e6 == {}  # it was booked when it was moved


async def test_a_reopened_claim_that_ended_again_is_filed_even_if_its_row_is_written(
    clock: Clock,
) -> None:
    ended = a_claim(state=RELEASED, version=8, by_intent=True, came_back=True)
    desk = Desk(clock, ended)
    await desk.store.put_ledger(ended)
    await desk.run()
    assert (desk.store.claims, desk.store.filed) == ({}, [ended])


# -- the sweep -----------------------------------------------------------------------------------


async def test_late_trades_are_found_without_the_user_channel(clock: Clock) -> None:
    desk = Desk(clock)
    await desk.store.put_ledger(a_claim(state=RELEASED, version=3))
    desk.records.trades = [a_fill(status=CONFIRMED), a_fill("t9", order_id="0xstranger")]
    report = await desk.run(RELEASE_AFTER_MS)
    assert report.foreign == 1
    assert (desk.claim.state, desk.claim.came_back) == (OPEN, True)
    assert desk.claim.filled_size_e6 == 2_000_000


async def test_only_recent_trades_are_read(clock: Clock) -> None:
    desk = Desk(clock)
    await desk.store.put_ledger(a_claim(state=RELEASED, version=3))
    desk.records.trades = [a_fill(matched_at_ms=MADE_AT_MS)]
    await desk.run(SWEEP_MS + 1)
    assert desk.store.claims == {}


async def test_a_reversal_after_settlement_comes_to_rest(clock: Clock) -> None:
    """A trade that failed after its position was settled: P&L back, slot free, in the ledger."""
    settled = sure(apply_trades(a_claim(), [a_fill()], MADE_AT_MS))
    settled = msgspec.structs.replace(settled, state=SETTLED, version=3, pnl_e6=900_000)
    desk = Desk(clock)
    await desk.store.put_ledger(settled)
    desk.records.trades = [a_fill(status=FAILED)]
    desk.shows(a_look(a_fill(status=FAILED)))
    for _ in range(6):
        await desk.run(after_ms=10_000)
    assert desk.store.claims == {}
    assert [(row.state, row.pnl_e6) for row in desk.store.filed] == [(RELEASED, 0)]
    assert desk.store.item is not None
    assert desk.store.item.pnl_e6 == {"2026-09-21": -900_000}


# -- alarms, pruning ------------------------------------------------------------------


async def test_what_stays_unresolved_for_too_long_is_an_alarm(clock: Clock) -> None:
    desk = Desk(clock, a_claim())
    desk.records.failures["lookup"] = 99
    assert (await desk.run(OVERDUE_AFTER_MS - 1)).overdue == []
    assert (await desk.run(1)).overdue == ["0xOrder1"]


OLD_MS = MADE_AT_MS - LATE_REQUEST_MS


async def test_cooldowns_that_are_over_are_pruned(clock: Clock) -> None:
    desk = Desk(clock)
    assert desk.store.item is not None
    desk.store.item = msgspec.structs.replace(
        desk.store.item,
        cooldowns={"over": OLD_MS, "on": OLD_MS + 1},
        pnl_e6={"2026-09-01": 1, "2026-09-20": 2},
        spent_e6={"2026-09-01": 1, "2026-09-21": 2},
    )
    await desk.run()
    assert desk.store.item.cooldowns == {"on": OLD_MS + 1}
    assert desk.store.item.pnl_e6 == {"2026-09-20": 2}
    assert desk.store.item.spent_e6 == {"2026-09-21": 2}


async def test_looks_are_bounded_in_number_at_once(clock: Clock) -> None:
    claims = [a_claim(condition_id=f"0x{n}", intent_id=f"i{n}") for n in range(12)]
    desk = Desk(clock, *claims)
    under_way, most = 0, 0
    inner = desk.records.lookup

    async def lookup(claim: Claim) -> OrderLookup:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await inner(claim)

    desk.records.lookup = lookup  # type: ignore[method-assign]
    report = await desk.run(COUNT_AFTER_MS)
    assert report.looked == 12
    assert most == 4


@pytest.mark.parametrize("name", ["trades_since", "positions", "prune"])
async def test_a_defect_in_one_part_of_a_run_keeps_it_from_no_other(
    name: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bought = sure(apply_trades(a_claim(), [a_fill(status=TradeStatus.CONFIRMED)], MADE_AT_MS))
    desk = Desk(clock, bought, unknown(order_id="0xo2", condition_id="0xc2", token_id="t2"))

    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    of = desk.store if name == "prune" else desk.records
    monkeypatch.setattr(of, name, fails)
    with capture_logs() as logs:
        report = await desk.run(OVERDUE_AFTER_MS)
    assert report.overdue == ["0xo2"]
    assert report.failures == 1
    told = [log["error"] for log in logs if log["event"] == "reconcile_incomplete"]
    assert told == (
        ["ZeroDivisionError:"]
        if name != "positions"
        else ["shares of token up: ZeroDivisionError:"]
    )
