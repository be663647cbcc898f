"""Reconciliation: what one run does with what the venue has on record."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.adapters.dynamodb.pruning import LATE_REQUEST_MS
from functions.core.claim import NOBODY, Claim, ClaimState
from functions.core.evidence import OrderLookup
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    LOOKUP_AFTER_MS,
    LOOKUP_SPACING_MS,
    LOOKUPS_MIN,
    OVERDUE_AFTER_MS,
    apply_answer,
    apply_trades,
)
from functions.handlers.reconcile import SWEEP_MS, ReconcileReport, reconcile
from functions.ports import StoreError
from protocol.decision import Timeline
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.support.fake_ports import MemoryStore, ScriptedRecords
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    STRANGER,
    TRADER,
    a_claim,
    a_fill,
    a_look,
)
from venue.wire.order_answer import Unknown

CLAIMED, UNKNOWN, OPEN, RELEASED, SETTLED = ClaimState
RELEASE_AFTER_MS = COUNT_AFTER_MS + (LOOKUPS_MIN - 1) * LOOKUP_SPACING_MS
"""The earliest that nothing found may release."""
CONFIRMED, FAILED = TradeStatus.CONFIRMED, TradeStatus.FAILED


def sure(claim: Claim | None) -> Claim:
    assert claim is not None
    return claim


def unknown(**changes: object) -> Claim:
    claim = apply_answer(a_claim(**changes), Unknown(text="timeout"), MADE_AT_MS, Timeline())
    return sure(claim)


class Desk:
    def __init__(self, clock: Clock, *claims: Claim) -> None:
        self.clock = clock
        self.store = MemoryStore()
        self.records = ScriptedRecords()
        self.records.clock = lambda: clock.now_ms
        self.put(*claims)

    def put(self, *claims: Claim) -> None:
        assert self.store.item is not None
        self.store.item = msgspec.structs.replace(
            self.store.item, claims={claim.slot: claim for claim in claims}
        )

    @property
    def claim(self) -> Claim:
        [claim] = self.store.claims.values()
        return claim

    def shows(self, *looks: OrderLookup, order_id: str = "0xOrder1") -> None:
        self.records.looks[order_id] = deque(looks)

    async def run(self, after_ms: int = 0) -> ReconcileReport:
        self.clock.now_ms += after_ms
        return await reconcile(self.store, self.records)


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


async def test_a_claim_without_its_trader_is_kept_and_is_overdue_not_a_stranger_s(
    clock: Clock,
) -> None:
    desk = Desk(clock, unknown(trader=NOBODY))
    for _ in range(4):
        report = await desk.run(after_ms=OVERDUE_AFTER_MS)
    assert (desk.claim.state, desk.claim.looks) == (UNKNOWN, 0)
    assert (report.overdue, report.strangers) == (["0xOrder1"], [])


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


# -- positions, alarms, pruning ------------------------------------------------------------------


async def test_a_position_that_differs_is_reported_and_not_adopted(clock: Clock) -> None:
    bought = sure(apply_trades(a_claim(), [a_fill(status=CONFIRMED)], MADE_AT_MS))
    desk = Desk(clock, bought)
    desk.records.held = {"up": 1_999_999}
    report = await desk.run(10_000)
    [mismatch] = report.mismatches
    assert "token up" in mismatch
    assert "1999999" in mismatch
    assert "2000000" in mismatch
    assert desk.claim == bought
    assert not report.incomplete
    desk.records.failures = {"positions": 1}
    assert (await desk.run(10_000)).incomplete  # nobody has looked: not the same as no difference
    desk.records.held = {"up": 2_000_000}
    report = await desk.run(10_000)
    assert (report.mismatches, report.incomplete) == ([], False)


async def test_once_a_market_has_ended_shares_may_go_without_a_word(clock: Clock) -> None:
    """The venue redeems by itself; of several claims some may be settled and filed already."""
    bought = sure(apply_trades(a_claim(), [a_fill(status=CONFIRMED)], MADE_AT_MS))
    desk = Desk(clock, bought)
    desk.records.held = {}
    assert len((await desk.run(MARKET_END_MS - MADE_AT_MS - 1)).mismatches) == 1
    report = await desk.run(1)
    assert (report.mismatches, report.incomplete) == ([], False)
    assert desk.records.calls.count("positions") == 1


async def test_a_market_that_ends_during_the_question_is_not_compared(clock: Clock) -> None:
    bought = sure(apply_trades(a_claim(), [a_fill(status=CONFIRMED)], MADE_AT_MS))
    desk = Desk(clock, bought)

    async def it_ends() -> None:
        clock.now_ms = MARKET_END_MS

    desk.records.before["positions"] = it_ends
    assert (await desk.run(10_000)).mismatches == []


async def test_claims_on_one_token_are_compared_together(clock: Clock) -> None:
    one = sure(apply_trades(a_claim(), [a_fill(status=CONFIRMED)], MADE_AT_MS))
    two = msgspec.structs.replace(
        one, intent_id="i2", order_id="0xo2", by_intent=True, came_back=True
    )
    desk = Desk(clock, one, two)
    desk.records.held = {"up": 4_000_000}
    assert (await desk.run(10_000)).mismatches == []


async def test_where_trades_are_on_their_way_nothing_is_compared(clock: Clock) -> None:
    bought = sure(apply_trades(a_claim(), [a_fill(status=CONFIRMED)], MADE_AT_MS))
    on_its_way = a_claim(condition_id="0xc2", intent_id="i2", order_id="0xo2")
    desk = Desk(clock, bought, on_its_way)
    report = await desk.run(LOOKUP_AFTER_MS)
    assert report.mismatches == []
    assert "positions" not in desk.records.calls


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


# -- another account's credentials ---------------------------------------------------------------


def alarms(logs: list[dict[str, object]]) -> list[str]:
    return [str(line["event"]) for line in logs if line["log_level"] == "critical"]


async def test_another_trader_s_credentials_release_nothing_and_are_an_alarm(clock: Clock) -> None:
    """Found on a schedule whose key had a digit less: the venue knew none of our orders."""
    desk = Desk(clock, unknown())
    desk.records.trader = STRANGER
    await desk.run(COUNT_AFTER_MS)
    for _ in range(2 * LOOKUPS_MIN):
        with capture_logs() as logs:
            report = await desk.run(LOOKUP_SPACING_MS)
    assert (desk.claim.state, desk.claim.looks) == (UNKNOWN, 0)
    assert (report.strangers, report.incomplete) == (["0xOrder1"], True)
    [said] = [line for line in logs if line["event"] == "another_trader"]
    assert said["log_level"] == "critical"
    assert (said["signer"], said["wallet"]) == (STRANGER.signer, STRANGER.wallet)
    desk.records.trader = TRADER
    for _ in range(LOOKUPS_MIN):
        report = await desk.run(LOOKUP_SPACING_MS)
    assert desk.store.claims == {}
    assert (report.strangers, report.incomplete) == ([], False)


@pytest.mark.parametrize("confirmed", [False, True])
async def test_an_entry_made_while_balances_are_asked_for_is_no_difference(
    confirmed: bool, clock: Clock
) -> None:
    first = apply_trades(a_claim(), [a_fill(status=TradeStatus.CONFIRMED)], MADE_AT_MS)
    second = a_claim(intent_id="intent-2", attempt_id="attempt-2", order_id="0xOrder2")
    assert first is not None
    if confirmed:
        fill = a_fill("t2", TradeStatus.CONFIRMED, order_id="0xOrder2")
        second = sure(apply_trades(second, [fill], MADE_AT_MS))
    desk = Desk(clock, first)
    desk.records.held = {"up": 2_000_000}

    async def bought() -> None:
        desk.put(first, second)
        desk.records.held = {"up": 4_000_000}

    desk.records.before["positions"] = bought
    assert (await desk.run(1_000)).mismatches == []
    desk.records.held = {"up": 1_000_000}
    desk.records.before.pop("positions", None)
    assert len((await desk.run(1_000)).mismatches) == confirmed


async def test_another_trader_s_position_is_not_taken_for_ours(clock: Clock) -> None:
    bought = sure(apply_trades(a_claim(), [a_fill("t1", CONFIRMED)], MADE_AT_MS + 100))
    desk = Desk(clock, bought)
    desk.records.trader = STRANGER
    with capture_logs() as logs:
        report = await desk.run(1_000)
    assert report.mismatches == []
    assert "positions" not in desk.records.calls
    assert alarms(logs) == ["another_trader"]
    desk.records.trader = TRADER
    assert len((await desk.run(1_000)).mismatches) == 1


async def test_what_another_trader_sees_of_our_order_counts(clock: Clock) -> None:
    desk = Desk(clock, unknown())
    desk.records.trader = STRANGER
    desk.shows(a_look(a_fill("t1", CONFIRMED), seen_by=STRANGER))
    await desk.run(LOOKUP_AFTER_MS)
    assert (desk.claim.state, desk.claim.filled_size_e6) == (OPEN, 2_000_000)
