"""Trades by order: alive, ended or nobody's, and what is wrong with one holds up no other."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.claim import Claim, ClaimState
from functions.core.lifecycle import apply_resolution, apply_trades
from functions.handlers.apply_evidence import apply_fills
from functions.ports import StoreError, UnreadableRowsError
from protocol.fill import TradeStatus
from runtime.line_throttle import LineThrottle
from tests.functions.handlers.conftest import Clock
from tests.functions.handlers.test_apply_evidence import END_MS, NOW_MS, WON, stored, sure
from tests.support.trading_builders import MADE_AT_MS, a_claim, a_fill

CLAIMED, UNKNOWN, OPEN, RELEASED, SETTLED = ClaimState


async def test_trades_find_their_claims_alive_or_ended_and_count_the_others(clock: Clock) -> None:
    live = a_claim()
    ended = a_claim(
        intent_id="intent-2", order_id="0xORDER2", condition_id="0xc2", state=RELEASED, version=3
    )
    store = await stored(live, others=[ended])
    fills = [
        a_fill("t1", size_e6=500_000),
        a_fill("t2", size_e6=500_000),
        a_fill("t3", order_id="0xorder2"),
        a_fill("t4", order_id="0xstranger"),
        a_fill("t5", order_id="0xSTRANGER"),
    ]
    assert list(await apply_fills(store, fills, NOW_MS)) == [
        "0xstranger"
    ]  # two trades of one order
    assert set(store.claims) == {"intent-1", "intent-2"}
    assert set(store.claims["intent-1"].fills) == {"t1", "t2"}
    assert store.claims["intent-2"].came_back
    assert store.calls.count("ledger") == 1
    before = dict(store.claims)
    assert list(await apply_fills(store, fills[::-1], NOW_MS)) == ["0xstranger"]
    assert store.claims == before


async def test_trades_of_live_claims_do_not_read_the_ledger(clock: Clock) -> None:
    store = await stored(a_claim())
    await apply_fills(store, [a_fill()], NOW_MS)
    assert store.calls == ["account", "move"]


async def test_a_confirmation_of_what_was_settled_moves_nothing(clock: Clock) -> None:
    claim = sure(apply_trades(a_claim(), [a_fill()], NOW_MS))
    row = sure(apply_resolution(claim, WON, END_MS))
    store = await stored(row)
    assert await apply_fills(store, [a_fill(status=TradeStatus.CONFIRMED)], NOW_MS) == {}
    assert store.calls == ["account", "ledger"]
    assert store.filed == [row]


@pytest.mark.parametrize("apart_ms", [-30_000, 3_600_000])
async def test_the_venues_clock_may_differ_and_the_trade_come_late(
    apart_ms: int, clock: Clock
) -> None:
    store = await stored(a_claim(state=RELEASED, version=3))
    assert await apply_fills(store, [a_fill(matched_at_ms=MADE_AT_MS + apart_ms)], NOW_MS) == {}
    assert set(store.claims) == {"intent-1"}


MILLIONTHS = a_fill("t9", status=TradeStatus.CONFIRMED, size_e6=2_000_000 * 1_000_000)


@pytest.mark.parametrize("status", TradeStatus)
@pytest.mark.parametrize("state", [CLAIMED, UNKNOWN, OPEN, RELEASED])
async def test_trades_that_the_order_could_not_pay_for_change_nothing_and_are_an_alarm(
    status: TradeStatus, state: ClaimState, clock: Clock
) -> None:
    other = a_claim(intent_id="intent-2", order_id="0xorder2", condition_id="0xc2")
    claim = a_claim(state=state, reported_size_e6=2_000_000 if state is OPEN else 0)
    store = await stored(claim, others=[other])
    wrong = msgspec.structs.replace(MILLIONTHS, status=status)
    with capture_logs() as logs:
        assert await apply_fills(store, [wrong, a_fill("t2", order_id="0xorder2")], NOW_MS) == {}
    kept = store.filed if state is RELEASED else [store.claims[claim.slot]]
    assert kept == [claim]
    assert set(store.claims["intent-2"].fills) == {"t2"}
    told = [(log["log_level"], log["event"], log["order_id"]) for log in logs]
    assert told == [("critical", "implausible_records", "0xOrder1")]


async def test_beside_a_trade_in_another_unit_nothing_of_its_order_is_believed(
    clock: Clock,
) -> None:
    store = await stored(a_claim())
    await apply_fills(store, [a_fill(size_e6=500_000), MILLIONTHS], NOW_MS)
    assert store.claims == {"0xc1": a_claim()}


async def test_trades_that_come_again_and_again_and_cannot_be_are_one_line_a_minute(
    clock: Clock,
) -> None:
    store, alarms = await stored(a_claim()), LineThrottle()
    with capture_logs() as logs:
        for _ in range(30):
            await apply_fills(store, [MILLIONTHS], NOW_MS, alarms)
    assert [each["event"] for each in logs] == ["implausible_records"]


# -- what is wrong with one order holds up no other ----------------------------------------------

ENDED = a_claim(
    intent_id="intent-2", order_id="0xorder2", condition_id="0xc2", state=RELEASED, version=3
)
OF_ENDED = a_fill("t2", order_id="0xorder2")
OF_STRANGER = a_fill("t3", order_id="0xstranger")


async def test_a_ledger_that_cannot_be_read_holds_up_no_live_claim(clock: Clock) -> None:
    store = await stored(a_claim(), others=[ENDED])
    store.failures["ledger"] = 1
    with pytest.raises(StoreError):
        await apply_fills(store, [OF_ENDED, a_fill()], NOW_MS)
    assert set(store.claims["intent-1"].fills) == {"t1"}


async def test_a_row_that_cannot_be_read_holds_up_no_claim_whose_row_can(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await stored(a_claim(), others=[ENDED])

    async def ledger(since_ms: int, until_ms: int) -> list[Claim]:
        raise UnreadableRowsError([ENDED], ["row x: $.spend_e6"])

    monkeypatch.setattr(store, "ledger", ledger)
    assert await apply_fills(store, [OF_ENDED, a_fill()], NOW_MS) == {}  # both are known
    assert set(store.claims) == {"intent-1", "intent-2"}
    with pytest.raises(UnreadableRowsError, match="1 of 2 rows"):  # the row may be this order's
        await apply_fills(store, [OF_STRANGER, a_fill()], NOW_MS)


@pytest.mark.parametrize("at_ms", [0, MADE_AT_MS - 5 * 365 * 86_400_000, MADE_AT_MS * 2])
@pytest.mark.parametrize("order_id", ["0xstranger", "0xorder2"])
async def test_a_trade_of_another_year_widens_the_search_for_no_other(
    order_id: str, at_ms: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await stored(a_claim(), others=[ENDED])
    inner = store.ledger

    async def ledger(since_ms: int, until_ms: int) -> list[Claim]:
        if until_ms - since_ms > 3 * 86_400_000:
            raise StoreError("ledger: more than 50 pages")
        return await inner(since_ms, until_ms)

    monkeypatch.setattr(store, "ledger", ledger)
    odd = a_fill("t9", order_id=order_id, size_e6=1, matched_at_ms=at_ms)
    unknown = await apply_fills(store, [odd, OF_ENDED, a_fill()], NOW_MS)
    assert list(unknown) == ["0xstranger"] * (order_id == "0xstranger")
    assert set(store.claims) == {"intent-1", "intent-2"}


async def test_a_search_that_fails_leaves_the_others_to_be_found(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await stored(a_claim(), others=[ENDED])
    inner = store.ledger

    async def ledger(since_ms: int, until_ms: int) -> list[Claim]:
        if until_ms < MADE_AT_MS:
            raise StoreError("ledger: no answer")
        return await inner(since_ms, until_ms)

    monkeypatch.setattr(store, "ledger", ledger)
    old = msgspec.structs.replace(OF_STRANGER, matched_at_ms=1)
    with pytest.raises(StoreError, match="no answer"):
        await apply_fills(store, [old, OF_ENDED, a_fill()], NOW_MS)
    assert set(store.claims) == {"intent-1", "intent-2"}


async def test_a_defect_at_one_claim_holds_up_no_other_and_is_raised(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = a_claim(intent_id="intent-3", order_id="0xorder3", condition_id="0xc3")
    store = await stored(a_claim(), others=[other])
    inner = store.move

    async def move(claim: Claim, seen: Claim, *, redeem: bool = False) -> bool:
        if seen.intent_id == "intent-1":
            raise ZeroDivisionError
        return await inner(claim, seen, redeem=redeem)

    monkeypatch.setattr(store, "move", move)
    with pytest.raises(ZeroDivisionError):
        await apply_fills(store, [a_fill(), a_fill("t3", order_id="0xorder3")], NOW_MS)
    assert set(store.claims["intent-3"].fills) == {"t3"}
