"""What an order calls, in which order, and what is left after each failure."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.claim import ClaimState
from functions.handlers.apply_evidence import apply_fills
from functions.ports import UnpreparableOrderError
from protocol.fee import taker_fee_e6
from protocol.side import Side
from protocol.snapshot import BookSnapshot
from runtime.instant import Instant
from tests.functions.handlers.conftest import Clock
from tests.support.trading_builders import MADE_AT_MS, TRADER, a_fill, market, snapshot
from tests.support.trading_desk import HOT_PATH, Desk
from venue.wire.order_answer import Rejected, RejectReason, Unknown

SUPERSEDED = {"reason": "superseded"}


async def test_between_decision_and_post_there_is_exactly_one_store_call() -> None:
    desk = Desk()
    assert await desk.handle(snapshot())
    assert desk.calls == HOT_PATH
    [claim] = desk.store.claims.values()
    assert claim.state is ClaimState.OPEN
    assert claim.order_id == "order-1"
    assert claim.trader == TRADER
    assert claim.filled_spend_e6 == 1_100_000
    # No trade is known yet: the fee is the schedule's, at the average price.
    size_e6 = claim.filled_size_e6
    assert claim.fee_e6 == taker_fee_e6(market().fee, 1_100_000 * 10_000 // size_e6, size_e6)
    assert desk.store.filed == []


async def test_a_proven_rejection_releases_the_slot_but_not_the_cooldown() -> None:
    desk = Desk()
    desk.exchange.answer = Rejected(reason=RejectReason.NO_MATCH, text="no orders found")
    info = market()
    await desk.handle(snapshot(of=info))
    assert desk.store.claims == {}
    [row] = desk.store.filed
    assert (row.state, row.text) == (ClaimState.RELEASED, "no_match: no orders found")
    await desk.handle(snapshot(of=info))
    assert [d.reason for d in desk.told] == ["no_match", "cooldown"]
    assert desk.told[0].state == "released"


async def test_an_unknown_answer_keeps_the_exposure_reserved() -> None:
    desk = Desk()
    desk.exchange.answer = Unknown(text="timeout")
    await desk.handle(snapshot())
    [claim] = desk.store.claims.values()
    assert (claim.state, claim.text) == (ClaimState.UNKNOWN, "timeout")
    assert desk.told[0].state == "unknown"


async def test_a_foreign_order_id_raises_the_alarm() -> None:
    desk = Desk()
    desk.exchange.answer = Unknown(text="accepted as another", alarm=True)
    await desk.handle(snapshot())
    assert desk.metrics.registry.get_sample_value("worker_order_id_mismatch_total") == 1


async def test_a_match_that_cannot_be_raises_the_alarm_and_keeps_the_claim() -> None:
    desk = Desk()
    desk.exchange.answer = Unknown(text="implausible fill", implausible=True)
    with capture_logs() as logs:
        await desk.handle(snapshot())
    told = [line for line in logs if line["event"] == "implausible_answer"]
    assert [(line["log_level"], line["text"]) for line in told] == [
        ("critical", "implausible fill")
    ]
    assert desk.metrics.registry.get_sample_value("worker_order_id_mismatch_total") == 1
    assert [claim.state for claim in desk.store.claims.values()] == [ClaimState.UNKNOWN]


async def test_without_a_claim_that_is_known_to_be_ours_nothing_is_posted() -> None:
    desk = Desk()
    desk.store.failures["claim"] = 1
    await desk.handle(snapshot())
    assert desk.calls == ["prepare", "claim"]
    assert [d.reason for d in desk.told] == ["store_error"]


def book_of(clock: Clock) -> BookSnapshot:
    info = market(start_ms=clock.now_ms - 300_000, end_ms=clock.now_ms + 600_000)
    return snapshot(of=info, received_at_ns=clock.time_ns())


async def test_a_book_that_went_stale_while_signing_is_not_claimed(clock: Clock) -> None:
    desk = Desk(book_age_max_ms=500)

    async def slow() -> None:
        clock.now_ms += 501

    desk.exchange.before_prepare = slow
    await desk.handle(book_of(clock))
    assert desk.calls == ["prepare"]
    assert [d.reason for d in desk.told] == ["stale_book"]


async def test_a_book_of_a_feeder_that_was_replaced_while_signing_is_not_claimed() -> None:
    desk = Desk()
    info = market()
    book = snapshot(of=info)

    async def replaced() -> None:
        assert desk.fence.admits(
            snapshot([("0.49", 1)], [("0.50", 1)], of=info, epoch=2),
            time.monotonic_ns() // 1_000_000,
        )

    desk.exchange.before_prepare = replaced
    assert desk.fence.admits(book, time.monotonic_ns() // 1_000_000)
    await desk.handle(book)
    assert desk.calls == ["prepare"]
    assert [(d.result, d.reason) for d in desk.told] == [("refused", "superseded")]
    assert desk.metrics.registry.get_sample_value("worker_holds_total", SUPERSEDED) == 1


async def test_another_book_of_the_same_feeder_while_signing_changes_nothing() -> None:
    desk = Desk()
    info = market()
    book = snapshot(of=info)

    async def changed() -> None:
        assert desk.fence.admits(snapshot(of=info), time.monotonic_ns() // 1_000_000)

    desk.exchange.before_prepare = changed
    assert desk.fence.admits(book, time.monotonic_ns() // 1_000_000)
    await desk.handle(book)
    assert desk.calls == HOT_PATH


async def test_a_book_that_went_stale_during_the_claim_is_released_unsent(clock: Clock) -> None:
    desk = Desk(book_age_max_ms=500)

    async def slow() -> None:
        clock.now_ms += 501

    desk.store.before["claim"] = slow
    await desk.handle(book_of(clock))
    assert desk.calls[:5] == ["prepare", "claim", "move", "put_ledger", "forget"]
    assert desk.store.claims == {}
    assert desk.told[0].reason == "too_late"


@pytest.mark.parametrize("set_back_ms", [6_000, 501, -6_000])
@pytest.mark.parametrize("during", ["signing", "claim"])
async def test_a_clock_that_is_set_meanwhile_makes_no_old_book_young(
    during: str, set_back_ms: int, clock: Clock
) -> None:
    desk = Desk(book_age_max_ms=500)

    async def slow() -> None:
        clock.now_ms += 501
        clock.set_back_ms = set_back_ms

    if during == "signing":
        desk.exchange.before_prepare = slow
    else:
        desk.store.before["claim"] = slow
    await desk.handle(book_of(clock))
    assert "post" not in desk.calls
    assert [d.reason for d in desk.told] == ["stale_book" if during == "signing" else "too_late"]


async def test_nor_does_one_that_is_set_while_a_book_waits_for_its_decision(clock: Clock) -> None:
    desk = Desk(book_age_max_ms=500)
    book, delivered = book_of(clock), Instant()
    clock.now_ms += 501
    clock.set_back_ms = 501
    assert not await desk.handle(book, delivered)
    assert desk.metrics.registry.get_sample_value("worker_holds_total", {"reason": "stale_book"})


async def test_nor_is_a_claim_older_than_it_is_so_that_it_is_neither_given_up_nor_over_too_soon(
    clock: Clock,
) -> None:
    desk = Desk()

    async def slow() -> None:
        clock.now_ms += 100
        clock.set_back_ms = 360_000

    desk.exchange.before_prepare = slow
    assert await desk.handle(book_of(clock))
    assert desk.calls == HOT_PATH
    account = await desk.store.account()
    [claim] = account.claims.values()
    assert claim.claimed_at_ms == claim.resolved_at_ms == clock.now_ms
    assert account.cooldowns == {claim.condition_id: clock.now_ms + 300_000}


async def test_nor_is_a_pause_shorter_than_it_is_meant(clock: Clock) -> None:
    desk = Desk()

    async def slow() -> None:
        clock.set_back_ms = 360_000

    desk.exchange.before_prepare = slow
    desk.exchange.answer = Rejected(reason=RejectReason.RATE_LIMITED, text="429", retry_after_ms=0)
    await desk.handle(book_of(clock))
    pause = (await desk.store.account()).pause
    assert pause.since_ms == clock.now_ms < pause.until_ms


@pytest.mark.parametrize("during", ["signing", "claim"])
async def test_nor_does_it_put_off_the_end_of_a_market(during: str, clock: Clock) -> None:
    desk = Desk(time_to_close_min_ms=0 if during == "claim" else 300_000)
    left_ms = 400 if during == "claim" else 300_400
    info = market(start_ms=clock.now_ms - 300_000, end_ms=clock.now_ms + left_ms)

    async def slow() -> None:
        clock.now_ms += 401
        clock.set_back_ms = 6_000

    if during == "signing":
        desk.exchange.before_prepare = slow
    else:
        desk.store.before["claim"] = slow
    await desk.handle(snapshot(of=info, received_at_ns=clock.time_ns()))
    assert "post" not in desk.calls


@pytest.mark.parametrize(("left_ms", "claimed"), [(300_000, True), (299_999, False)])
async def test_a_market_that_came_too_close_to_its_end_while_signing_is_not_claimed(
    clock: Clock, left_ms: int, claimed: bool
) -> None:
    desk, info = Desk(), market(start_ms=clock.now_ms - 300_000, end_ms=clock.now_ms + 300_400)

    async def slow() -> None:
        clock.now_ms = info.end_ms - left_ms

    desk.exchange.before_prepare = slow
    await desk.handle(snapshot(of=info, received_at_ns=clock.time_ns()))
    assert desk.calls == (HOT_PATH if claimed else ["prepare"])
    assert [d.reason for d in desk.told] == ["matched" if claimed else "too_close_to_end"]


@pytest.mark.parametrize(("over_ms", "posted"), [(-1, True), (0, False)])
async def test_nothing_is_posted_once_the_market_has_ended(
    clock: Clock, over_ms: int, posted: bool
) -> None:
    desk = Desk(time_to_close_min_ms=0)
    info = market(start_ms=clock.now_ms - 899_600, end_ms=clock.now_ms + 400)

    async def slow() -> None:
        clock.now_ms = info.end_ms + over_ms

    desk.store.before["claim"] = slow
    await desk.handle(snapshot(of=info, received_at_ns=clock.time_ns()))
    assert ("post" in desk.calls) is posted
    if not posted:
        assert desk.store.claims == {}
        assert desk.told[0].reason == "too_late"
        assert "the market ended 0 ms ago" in desk.store.filed[0].text


async def test_an_order_that_cannot_be_built_claims_nothing() -> None:
    desk = Desk()

    async def refuse() -> None:
        raise UnpreparableOrderError("off the grid")

    desk.exchange.before_prepare = refuse
    await desk.handle(snapshot())
    assert desk.calls == ["prepare"]
    assert [(d.reason, d.text) for d in desk.told] == [("unpreparable", "off the grid")]


async def test_a_released_order_is_in_the_ledger_before_it_leaves_the_account() -> None:
    desk = Desk()
    desk.exchange.answer = Rejected(reason=RejectReason.NO_MATCH, text="x" * 500_000)
    await desk.handle(snapshot())
    assert desk.calls == ["prepare", "claim", "post", "move", "put_ledger", "forget"]
    assert len(desk.store.filed[0].text) < 1_000  # a page of words must not fill the table


async def test_an_adapter_that_fails_during_the_post_leaves_the_order_unknown() -> None:
    desk = Desk()

    async def fail() -> None:
        raise ZeroDivisionError

    desk.exchange.during_post = fail
    await desk.handle(snapshot())
    [claim] = desk.store.claims.values()
    assert claim.state is ClaimState.UNKNOWN


async def test_resolving_is_tried_again_posting_never() -> None:
    desk = Desk()
    desk.store.failures["move"] = 2
    await desk.handle(snapshot())
    assert desk.calls.count("post") == 1
    assert desk.calls.count("move") == 3
    assert next(iter(desk.store.claims.values())).state is ClaimState.OPEN


async def test_a_store_that_stays_away_leaves_the_claim_reserved_with_its_order_id() -> None:
    desk = Desk()
    desk.store.failures["move"] = 99
    await desk.handle(snapshot())
    [claim] = desk.store.claims.values()
    assert (claim.state, claim.order_id) == (ClaimState.CLAIMED, "order-1")
    assert desk.store.filed == []
    assert desk.told[0].result == "executed"


async def test_cancelled_in_the_middle_of_a_post_the_claim_stays() -> None:
    desk = Desk()
    posting = asyncio.Event()

    async def hang() -> None:
        posting.set()
        await asyncio.Event().wait()

    desk.exchange.during_post = hang
    task = asyncio.create_task(desk.handle(snapshot()))
    await posting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [claim] = desk.store.claims.values()
    assert claim.state is ClaimState.CLAIMED


async def test_the_timeline_runs_forward_through_all_stages() -> None:
    desk = Desk()
    await desk.handle(snapshot())
    line = desk.told[0].timeline
    stages = [
        line.received_at_ns,
        line.delivered_at_ns,
        line.decided_at_ns,
        line.signed_at_ns,
        line.claimed_at_ns,
        line.answered_at_ns,
        line.resolved_at_ns,
    ]
    assert stages == sorted(stages)
    assert all(stages)


# -- somebody else knows more --------------------------------------------------------------------


async def test_an_answer_after_the_fill_is_told_as_the_claim_then_is() -> None:
    desk = Desk()
    desk.exchange.answer = Unknown(text="timeout")

    async def on_fill() -> None:
        await apply_fills(desk.store, [a_fill(order_id="order-1")], MADE_AT_MS)

    desk.exchange.during_post = on_fill
    await desk.handle(snapshot())
    [claim] = desk.store.claims.values()
    assert (claim.state, claim.filled_size_e6) == (ClaimState.OPEN, 2_000_000)
    assert (desk.told[0].state, desk.told[0].filled_size_e6) == ("open", 2_000_000)


async def test_the_days_spend_cap_stops_entries() -> None:
    desk = Desk()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    desk.store.item = msgspec.structs.replace(desk.store.item, spent_e6={day: 198_900_001})
    await desk.handle(snapshot())
    assert [d.reason for d in desk.told] == ["daily_spend"]
    assert desk.calls == ["prepare", "claim"]


# -- what an order took --------------------------------------------------------------------------


def counted(desk: Desk, *names: str) -> list[float | None]:
    value = desk.metrics.registry.get_sample_value
    return [value(f"worker_{name}_seconds_count") for name in names]


LATENCIES = ("sign", "claim", "post", "resolve", "tick_to_trade")


async def test_each_stage_that_an_order_reaches_is_observed_once() -> None:
    desk = Desk()
    await desk.handle(snapshot())
    assert counted(desk, *LATENCIES) == [1, 1, 1, 1, 1]


async def test_of_a_refused_claim_only_its_own_stages_are_observed() -> None:
    desk = Desk(max_positions=0)
    await desk.handle(snapshot())
    assert counted(desk, *LATENCIES) == [1, 1, 0, 0, 0]


async def test_an_order_that_cannot_be_built_has_no_stage_to_observe() -> None:
    desk = Desk()

    async def refuse() -> None:
        raise UnpreparableOrderError("off the grid")

    desk.exchange.before_prepare = refuse
    await desk.handle(snapshot())
    assert counted(desk, *LATENCIES) == [0, 0, 0, 0, 0]


async def test_an_order_that_would_sell_is_refused_before_it_is_signed() -> None:
    desk = Desk()
    book = snapshot()
    trade = desk.consider(book, Instant())
    assert trade is not None
    selling = msgspec.structs.replace(trade, side=Side.SELL)
    await desk.execute(book, selling, Instant())
    assert desk.calls == []
    assert [(d.reason, d.side) for d in desk.told] == [("unpreparable", Side.SELL)]
