"""Settlement: positions of ended markets, their P&L, and their winnings."""

from __future__ import annotations

import asyncio
from types import ModuleType

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.account import REDEMPTIONS_MAX
from functions.core.claim import Claim, ClaimState
from functions.core.evidence import Resolution, Undecided
from functions.core.lifecycle import FINAL_AFTER_MS, UNSETTLED_AFTER_MS
from functions.core.winnings import GONE_AFTER_MS, key_of
from functions.handlers import apply_evidence, redeem
from functions.handlers import reconcile as reconcile_module
from functions.handlers import settle as settle_module
from functions.handlers.reconcile import reconcile
from functions.handlers.settle import SettleReport, settle
from functions.ports import RecordsError
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.functions.handlers.settle_desk import (
    DAY,
    FEE_E6,
    LOST,
    SPLIT,
    WAITING,
    WON,
    Desk,
    bought,
)
from tests.support.trading_builders import (
    MARKET_END_MS,
    STRANGER,
    a_fill,
)


@pytest.mark.parametrize(
    ("resolution", "payout_e6"), [(WON, 2_000_000), (LOST, 0), (SPLIT, 1_000_000)]
)
async def test_a_resolved_position_is_paid_booked_filed_and_its_slot_free(
    resolution: Resolution, payout_e6: int, clock: Clock
) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = resolution
    report = await desk.run()
    pnl_e6 = payout_e6 - 1_100_000 - FEE_E6
    assert (report.settled, report.pnl_e6) == (1, pnl_e6)
    assert desk.store.claims == {}
    [row] = desk.store.filed
    assert (row.state, row.payout_e6, row.pnl_e6) == (ClaimState.SETTLED, payout_e6, pnl_e6)
    assert desk.pnl_e6 == {DAY: pnl_e6}
    assert (await desk.run()).settled == 0
    assert desk.pnl_e6 == {DAY: pnl_e6}


async def test_before_the_end_or_without_a_resolution_nothing_is_settled(clock: Clock) -> None:
    desk = Desk(clock, bought())
    clock.now_ms = MARKET_END_MS - 1
    assert await desk.run() == SettleReport()
    assert desk.records.calls == []
    clock.now_ms = MARKET_END_MS
    assert await desk.run() == SettleReport(waiting=1)
    assert desk.store.calls == ["account"] * 2


async def test_by_a_clock_that_is_ahead_nothing_is_over_and_no_day_has_ended(clock: Clock) -> None:
    desk = Desk(clock, bought(TradeStatus.MATCHED))
    desk.records.resolutions["0xc1"] = WON
    now_ms = MARKET_END_MS
    desk.records.clock = lambda: now_ms
    clock.now_ms += 86_400_000
    assert await desk.run() == SettleReport(waiting=1)
    now_ms += FINAL_AFTER_MS
    assert (await desk.run()).settled == 1
    assert set(desk.pnl_e6) == {DAY}


@pytest.mark.parametrize("handler", [apply_evidence, reconcile_module, redeem, settle_module])
def test_what_a_schedule_does_has_no_clock_but_the_venue_s(handler: ModuleType) -> None:
    assert {"time", "datetime"}.isdisjoint(vars(handler))


async def test_what_is_not_final_waits(clock: Clock) -> None:
    desk = Desk(clock, bought(TradeStatus.MATCHED))
    desk.records.resolutions["0xc1"] = WON
    assert await desk.run() == SettleReport(waiting=1)
    assert desk.records.calls == []
    clock.now_ms += FINAL_AFTER_MS
    assert (await desk.run()).settled == 1


async def test_a_venue_that_does_not_answer_changes_nothing(clock: Clock) -> None:
    other = bought(condition_id="0xc2", intent_id="i2", attempt_id="a2")
    desk = Desk(clock, bought(), other)
    desk.records.resolutions = {"0xc1": WON, "0xc2": WON}
    desk.records.failures["resolution"] = 1
    report = await desk.run()
    assert (report.failures, report.settled) == (1, 1)
    assert (await desk.run()).settled == 1


async def test_a_resolution_of_other_tokens_is_a_failure_not_a_loss(clock: Clock) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = Resolution(payouts_e6={"7": 1_000_000}, source="clob")
    assert (await desk.run()).failures == 1
    assert desk.pnl_e6 == {}
    assert "intent-1" in desk.store.claims


async def test_a_venue_that_does_not_answer_delays_neither_the_alarm_nor_the_winnings(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle_module, "CLAIMS_S", 0.05)
    claims = [bought(condition_id=f"0xc{n}", intent_id=f"i{n}") for n in range(30)]
    desk = Desk(clock, *claims)
    assert desk.store.item is not None
    desk.store.item = msgspec.structs.replace(desk.store.item, redeem={"0xw": WAITING})
    desk.records.held = {"up": 1}

    async def silent(_: Claim) -> Resolution:
        await asyncio.Event().wait()
        raise AssertionError

    desk.records.resolution = silent  # type: ignore[method-assign]
    clock.now_ms += UNSETTLED_AFTER_MS
    report = await desk.run(redeem=True)
    assert (len(report.unsettled), report.failures) == (30, 30)
    assert desk.records.redeem_requests == ["0xw"]


async def test_no_request_for_winnings_begins_when_the_run_is_nearly_over(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle_module, "ASK_UNTIL_S", -1.0)
    desk = Desk(clock)
    assert desk.store.item is not None
    desk.store.item = msgspec.structs.replace(desk.store.item, redeem={"0xw": WAITING})
    desk.records.held = {"up": 1}
    assert (await desk.run(redeem=True)).requests == 0
    report = await settle(desk.store, desk.records, redeem=True, ask_anew=True)
    assert report.requests == 1
    monkeypatch.setattr(settle_module, "ASK_ANEW_UNTIL_S", -1.0)
    report = await settle(desk.store, desk.records, redeem=True, ask_anew=True)
    assert (report.requests, report.redeeming) == (0, 1)


async def test_two_settlements_at_once_book_once(clock: Clock) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = WON
    await asyncio.gather(*(desk.run(redeem=True) for _ in range(3)))
    assert desk.pnl_e6 == {DAY: 2_000_000 - 1_100_000 - FEE_E6}
    assert len(desk.store.filed) == 1


@pytest.mark.parametrize("way", ["failures", "lost"])
@pytest.mark.parametrize("name", ["move", "put_ledger", "forget"])
async def test_a_crash_in_the_middle_is_completed_by_reconciliation(
    name: str, way: str, clock: Clock
) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = WON
    getattr(desk.store, way)[name] = 1
    assert (await desk.run()).failures == 1
    await reconcile(desk.store, desk.records)
    await desk.run()
    assert desk.store.claims == {}
    assert [row.state for row in desk.store.filed] == [ClaimState.SETTLED]
    assert desk.pnl_e6 == {DAY: 2_000_000 - 1_100_000 - FEE_E6}


async def test_more_that_was_bought_corrects_the_pnl_by_the_difference(clock: Clock) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = WON
    await desk.run()
    desk.records.trades = [
        a_fill(status=TradeStatus.CONFIRMED),
        a_fill("t2", TradeStatus.CONFIRMED, size_e6=100_000, price_e4=5_000),
    ]
    await reconcile(desk.store, desk.records)
    assert "intent-1" in desk.store.claims
    await desk.run()
    [row] = desk.store.filed
    assert (row.filled_size_e6, row.came_back) == (2_100_000, True)
    assert desk.pnl_e6 == {DAY: row.pnl_e6}
    assert row.pnl_e6 == 2_100_000 - 1_150_000 - row.fee_e6


# -- winnings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resolution", "redeem"), [(LOST, True), (WON, False)])
async def test_losses_or_without_being_told_to_nothing_is_redeemed(
    resolution: Resolution, redeem: bool, clock: Clock
) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = resolution
    await desk.run(redeem=redeem)
    assert desk.redeem == {}


@pytest.mark.parametrize("settled_by_redeemer", [True, False])
async def test_winnings_that_find_no_room_are_counted_and_told(
    settled_by_redeemer: bool, clock: Clock
) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = WON
    full = {f"0xm{n}": WAITING for n in range(REDEMPTIONS_MAX)}
    assert desk.store.item is not None
    desk.store.item = msgspec.structs.replace(desk.store.item, redeem=full)
    with capture_logs() as logs:
        report = await desk.run(redeem=settled_by_redeemer)
    assert report.settled == 1
    assert desk.redeem.keys() == full.keys()
    assert report.not_noted == settled_by_redeemer
    told = [log for log in logs if log["event"] == "winnings_not_noted"]
    assert [log["market"] for log in told] == ["0xc1"] * settled_by_redeemer


async def test_a_market_that_is_noted_already_needs_no_more_room(clock: Clock) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = WON
    full = {key_of(bought()): WAITING, **{f"0xm{n}": WAITING for n in range(REDEMPTIONS_MAX)}}
    assert desk.store.item is not None
    desk.store.item = msgspec.structs.replace(desk.store.item, redeem=full)
    assert (await desk.run(redeem=True)).not_noted == 0


async def test_a_void_pays_what_the_venue_s_prices_say(clock: Clock) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = Resolution(
        payouts_e6={"up": 505_000, "down": 495_000}, source="gamma"
    )
    await desk.run()
    assert [row.payout_e6 for row in desk.store.filed] == [1_010_000]


async def test_winnings_of_another_wallet_are_neither_asked_for_nor_taken_for_paid(
    clock: Clock,
) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = WON
    await desk.run(redeem=True)
    desk.records.trader = STRANGER
    for held in ({"up": 2_000_000}, {}):
        desk.records.held = held
        clock.now_ms += GONE_AFTER_MS
        with capture_logs() as logs:
            assert (await desk.run(redeem=True)).strangers == ["0xc1"]
        assert [line["markets"] for line in logs if line["event"] == "another_trader"] == [["0xc1"]]
    noted = msgspec.structs.replace(WAITING, size_e6=2_000_000)
    assert desk.redeem == {key_of(bought()): noted}
    assert desk.records.redeem_requests == []


async def test_the_venue_is_asked_once_a_market_and_each_of_its_claims_is_settled(
    clock: Clock,
) -> None:
    claims = [
        bought(intent_id=f"i{n}", token_id=token, outcome=token)
        for n, token in enumerate(["up", "down", "up"])
    ]
    waiting = bought(TradeStatus.MATCHED, intent_id="i9", order_id="0xOrder1")
    desk = Desk(clock, *claims, waiting, bought(intent_id="j1", condition_id="0xc2"))
    desk.records.resolutions = {"0xc1": SPLIT, "0xc2": WON}
    report = await desk.run(redeem=True)
    assert desk.records.calls.count("resolution") == 2
    assert (report.settled, report.waiting) == (4, 1)
    assert set(desk.store.claims) == {"i9"}
    assert sorted((n.token_id, n.size_e6) for n in desk.redeem.values()) == [
        ("down", 2_000_000),
        ("up", 2_000_000),
        ("up", 4_000_000),
    ]


async def test_of_a_market_that_gets_no_answer_each_claim_is_a_failure_and_the_others_settle(
    clock: Clock,
) -> None:
    claims = [bought(intent_id=f"i{n}") for n in range(3)]
    desk = Desk(clock, *claims, bought(intent_id="j1", condition_id="0xc2"))
    desk.records.resolutions = {"0xc2": WON}
    answers = desk.records.resolution

    async def resolution(claim: Claim) -> Resolution | Undecided:
        if claim.condition_id == "0xc1":
            raise RecordsError("no record")
        return await answers(claim)

    desk.records.resolution = resolution  # type: ignore[method-assign]
    clock.now_ms = MARKET_END_MS + UNSETTLED_AFTER_MS
    report = await desk.run()
    assert (report.failures, report.settled, len(report.unsettled)) == (3, 1, 3)


async def test_what_was_learned_before_the_time_was_up_is_written(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes at the last moment, and the store is slow."""
    monkeypatch.setattr(settle_module, "CLAIMS_S", 0.05)
    desk = Desk(clock, *(bought(intent_id=f"i{n}") for n in range(3)))
    desk.records.resolutions["0xc1"] = WON
    move = desk.store.move

    async def slowly(claim: Claim, seen: Claim, *, redeem: bool = False) -> bool:
        await asyncio.sleep(0.06)
        return await move(claim, seen, redeem=redeem)

    desk.store.move = slowly  # type: ignore[method-assign]
    report = await desk.run(redeem=True)
    assert (report.settled, report.failures) == (3, 0)
    assert len(desk.store.filed) == 3


async def test_a_store_that_is_too_slow_does_not_make_a_run_endless(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle_module, "WRITES_S", 0.05)
    desk = Desk(clock, *(bought(intent_id=f"i{n}") for n in range(3)))
    desk.records.resolutions["0xc1"] = WON
    put = desk.store.put_ledger

    async def slowly(claim: Claim) -> None:
        await asyncio.sleep(0.06)
        await put(claim)

    desk.store.put_ledger = slowly  # type: ignore[method-assign]
    report = await desk.run(redeem=True)
    assert (report.settled, report.failures) == (1, 2)
    assert len(desk.store.filed) == 1
    desk.store.put_ledger = put  # type: ignore[method-assign]
    assert (await desk.run(redeem=True)).settled == 2


async def test_a_claim_that_breaks_the_code_does_not_hold_up_the_others(clock: Clock) -> None:
    other = msgspec.structs.replace(bought(), intent_id="intent-2", condition_id="0xc2")
    desk = Desk(clock, bought(), other)
    desk.records.resolutions = {"0xc1": WON, "0xc2": WON}
    broken = desk.records.resolution

    async def resolution(claim: Claim) -> Resolution | None:
        if claim.condition_id == "0xc1":
            raise TypeError("a defect")
        return await broken(claim)

    desk.records.resolution = resolution  # type: ignore[method-assign]
    report = await desk.run()
    assert (report.failures, report.settled) == (1, 1)
