"""What the venue says about the account, not about one order, pauses all its workers."""

from __future__ import annotations

import time

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.account import NO_PAUSE, Pause
from functions.core.claim import ClaimState
from tests.support.metrics_builders import counted
from tests.support.trading_builders import market, snapshot
from tests.support.trading_desk import Desk
from venue.wire.order_answer import Rejected, RejectReason, Unknown


async def refused(desk: Desk, reason: RejectReason) -> Pause:
    desk.exchange.answer = Rejected(reason=reason, text="no")
    await desk.handle(snapshot(of=market(f"0x{len(desk.calls)}")))
    assert desk.store.item is not None
    return desk.store.item.pause


@pytest.mark.parametrize(
    "reason",
    [
        RejectReason.ENGINE_RESTARTING,
        RejectReason.RATE_LIMITED,
        RejectReason.TRADING_DISABLED,
        RejectReason.NOT_ENOUGH_BALANCE,
    ],
)
async def test_a_refusal_of_the_whole_account_pauses_all_its_workers(reason: RejectReason) -> None:
    desk = Desk()
    before_ms = time.time_ns() // 1_000_000
    pause = await refused(desk, reason)
    assert pause.reason == reason.value
    assert before_ms <= pause.since_ms < pause.until_ms
    assert counted(desk.metrics, "account_pauses_total", reason=reason.value)
    # Another worker, which knows nothing of it, meets the pause in the store and posts nothing.
    other = Desk()
    other.store.item = desk.store.item
    await other.handle(snapshot())
    assert other.calls == ["prepare", "claim"]
    assert [d.reason for d in other.told] == ["paused"]


async def test_a_wallet_that_may_not_trade_is_an_alarm_and_a_long_pause() -> None:
    desk = Desk()
    with capture_logs() as logs:
        pause = await refused(desk, RejectReason.MAKER_NOT_ALLOWED)
    assert pause.until_ms - pause.since_ms == 300_000
    [alarm] = [log for log in logs if log["event"] == "maker_not_allowed"]
    assert alarm["log_level"] == "critical"
    assert "WALLET" in alarm["hint"]


async def test_the_pause_is_as_long_as_the_venue_asks() -> None:
    desk = Desk()
    desk.exchange.answer = Rejected(
        reason=RejectReason.TRADING_DISABLED, text="", retry_after_ms=100_000
    )
    await desk.handle(snapshot())
    assert desk.store.item is not None
    assert desk.store.item.pause.until_ms - desk.store.item.pause.since_ms == 100_000


async def test_an_answer_that_proves_nothing_may_still_pause_the_account() -> None:
    desk = Desk()
    desk.exchange.answer = Unknown(text="a page", concerns=RejectReason.GEOBLOCKED)
    await desk.handle(snapshot())
    assert desk.store.item is not None
    assert desk.store.item.pause.reason == "geoblocked"
    [claim] = desk.store.claims.values()
    assert claim.state is ClaimState.UNKNOWN


async def test_an_account_that_is_refused_again_after_its_pause_waits_twice_as_long() -> None:
    desk = Desk(cooldown_ms=0)
    first = await refused(desk, RejectReason.RATE_LIMITED)
    over = msgspec.structs.replace(
        first, since_ms=first.since_ms - 1_000, until_ms=first.until_ms - 1_000
    )
    desk.store.item = msgspec.structs.replace(desk.store.item, pause=over)
    second = await refused(desk, RejectReason.RATE_LIMITED)
    assert second.until_ms - second.since_ms == 2 * (first.until_ms - first.since_ms)


@pytest.mark.parametrize("reason", [RejectReason.NO_MATCH, RejectReason.MARKET_CLOSED])
async def test_a_refusal_of_one_order_pauses_nothing(reason: RejectReason) -> None:
    desk = Desk()
    assert await refused(desk, reason) == NO_PAUSE
    assert "set_pause" not in desk.calls


async def test_a_phantom_balance_lock_is_answered_with_a_refresh() -> None:
    desk = Desk()
    await refused(desk, RejectReason.NOT_ENOUGH_BALANCE)
    assert desk.calls[-2:] == ["set_pause", "refresh_balance"]
    desk = Desk()
    await refused(desk, RejectReason.RATE_LIMITED)
    assert "refresh_balance" not in desk.calls


async def test_a_pause_that_cannot_be_written_harms_nothing() -> None:
    desk = Desk()
    desk.store.failures["set_pause"] = 1
    await refused(desk, RejectReason.NOT_ENOUGH_BALANCE)
    assert desk.told[0].state == "released"
    assert desk.calls[-1] == "refresh_balance"


async def test_a_pause_of_another_worker_is_not_replaced() -> None:
    desk = Desk()
    theirs = Pause(reason="geoblocked", since_ms=1, until_ms=2)

    async def faster() -> None:
        desk.store.item = msgspec.structs.replace(desk.store.item, pause=theirs)

    desk.store.before["set_pause"] = faster
    assert await refused(desk, RejectReason.RATE_LIMITED) == theirs


async def test_while_a_pause_lasts_nothing_is_written_again() -> None:
    desk = Desk()
    longer = Pause(reason="geoblocked", since_ms=1, until_ms=2**53)

    async def paused_meanwhile() -> None:
        desk.store.item = msgspec.structs.replace(desk.store.item, pause=longer)

    desk.exchange.during_post = paused_meanwhile
    assert await refused(desk, RejectReason.RATE_LIMITED) == longer
    assert "set_pause" not in desk.calls
