"""Reconciliation: whose claims and shares are compared, and what a difference is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.claim import NOBODY, Claim, ClaimState
from functions.core.lifecycle import (
    COUNT_AFTER_MS,
    LOOKUP_AFTER_MS,
    LOOKUP_SPACING_MS,
    LOOKUPS_MIN,
    OVERDUE_AFTER_MS,
    apply_trades,
)
from functions.ports import RecordsError, UnreadableRowsError
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.functions.handlers.reconcile_desk import Desk, sure, unknown
from tests.support.trading_builders import (
    MADE_AT_MS,
    MARKET_END_MS,
    STRANGER,
    TRADER,
    a_claim,
    a_fill,
    a_look,
)

CONFIRMED = TradeStatus.CONFIRMED
UNKNOWN, OPEN, RELEASED = ClaimState.UNKNOWN, ClaimState.OPEN, ClaimState.RELEASED


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


async def test_where_no_shares_are_told_as_on_paper_there_is_nothing_to_compare(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(clock, sure(apply_trades(a_claim(), [a_fill(status=CONFIRMED)], MADE_AT_MS)))

    async def none(_: Sequence[str]) -> dict[str, int]:
        return {}

    monkeypatch.setattr(desk.records, "positions", none)
    report = await desk.run(10_000)
    assert (report.mismatches, report.incomplete, report.failures) == ([], False, 0)


async def test_a_row_of_the_ledger_that_cannot_be_read_hides_no_difference(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trade by hand on the same day may be that row's; it says nothing about live claims."""
    desk = Desk(clock, sure(apply_trades(a_claim(), [a_fill(status=CONFIRMED)], MADE_AT_MS)))
    desk.records.trades = [a_fill("by hand", order_id="0xhand")]
    desk.records.held = {"up": 1_999_999}

    async def ledger(*_: int) -> list[Claim]:
        raise UnreadableRowsError([], ["TRADE#1: malformed"])

    monkeypatch.setattr(desk.store, "ledger", ledger)
    report = await desk.run(10_000)
    assert len(report.mismatches) == 1
    assert (report.incomplete, report.failures) == (True, 1)


@pytest.mark.parametrize("error", [RecordsError("no such token"), ZeroDivisionError("a defect")])
async def test_a_token_that_the_venue_cannot_answer_for_hides_no_difference(
    error: Exception, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        a_claim(intent_id=f"i{n}", order_id=f"0xo{n}", condition_id=f"0xc{n}", token_id=f"t{n}")
        for n in range(2)
    ]
    fills = [a_fill(f"t{n}", CONFIRMED, order_id=f"0xo{n}") for n in range(2)]
    desk = Desk(clock, *(sure(apply_trades(each, fills, MADE_AT_MS)) for each in others))
    inner = desk.records.positions

    async def positions(token_ids: Sequence[str]) -> dict[str, int]:
        if "t0" in token_ids:
            raise error
        return await inner(token_ids)

    monkeypatch.setattr(desk.records, "positions", positions)
    report = await desk.run(10_000)
    assert len(report.mismatches) == 1
    assert (report.incomplete, report.failures) == (True, 1)


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


async def test_a_claim_without_its_trader_is_kept_and_is_overdue_not_a_stranger_s(
    clock: Clock,
) -> None:
    desk = Desk(clock, unknown(trader=NOBODY))
    for _ in range(4):
        report = await desk.run(after_ms=OVERDUE_AFTER_MS)
    assert (desk.claim.state, desk.claim.looks) == (UNKNOWN, 0)
    assert (report.overdue, report.strangers) == (["0xOrder1"], [])
