"""What one run of reconciliation does when the venue does not answer in its time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Never

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.claim import Claim, ClaimState
from functions.core.lifecycle import OVERDUE_AFTER_MS
from functions.handlers import reconcile as module
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.functions.handlers.reconcile_desk import Desk
from tests.support.trading_builders import MADE_AT_MS, a_claim, a_fill

PARTS_S = ("LOOKUPS_S", "SWEEP_S", "WINNINGS_S")


@pytest.fixture(autouse=True)
def soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(PARTS_S, start=1):
        monkeypatch.setattr(module, name, 0.02 * number)


async def hung() -> Never:
    await asyncio.Event().wait()
    raise AssertionError


def claims(count: int) -> list[Claim]:
    return [
        a_claim(intent_id=f"i{n}", order_id=f"0xo{n}", condition_id=f"0xm{n}") for n in range(count)
    ]


def desk_of(clock: Clock, *each: Claim) -> Desk:
    desk = Desk(clock, *each)
    assert desk.store.item is not None
    desk.store.item = msgspec.structs.replace(
        desk.store.item, cooldowns={"0xold": MADE_AT_MS - 86_400_000}
    )
    clock.now_ms += OVERDUE_AFTER_MS
    return desk


async def test_look_ups_that_hang_keep_a_run_from_nothing_else(clock: Clock) -> None:
    desk = desk_of(clock, *claims(12))
    desk.records.lookup = lambda _: hung()  # type: ignore[method-assign]
    desk.records.trades = [a_fill(status=TradeStatus.CONFIRMED, order_id="0xo7")]
    with capture_logs() as logs:
        report = await desk.run()
    assert desk.store.claims["i7"].state is ClaimState.OPEN  # by the sweep
    assert desk.store.cooldowns == {}
    assert len(report.overdue) == 11
    told = [log["event"] for log in logs]
    assert "claims_overdue" in told
    assert told.count("claim_not_reconciled") == report.failures == 12
    assert not report.incomplete


async def test_a_claim_that_is_not_asked_about_in_one_run_is_in_another(clock: Clock) -> None:
    desk = desk_of(clock, *claims(12))
    asked: set[str] = set()

    async def lookup(claim: Claim) -> Never:
        asked.add(claim.order_id)
        return await hung()

    desk.records.lookup = lookup  # type: ignore[assignment]
    for run in range(60):
        await desk.run()
        assert run > 0 or len(asked) < 12
        if len(asked) == 12:
            return
    raise AssertionError(asked)


async def test_a_crash_s_rest_is_filed_though_the_time_for_look_ups_is_over(clock: Clock) -> None:
    ended = a_claim(intent_id="i99", order_id="0xo99", state=ClaimState.SETTLED, version=4)
    desk = desk_of(clock, *claims(12), ended)
    desk.records.lookup = lambda _: hung()  # type: ignore[method-assign]
    await desk.run()
    assert desk.store.filed == [ended]


@pytest.mark.parametrize("name", ["trades_since", "positions"])
async def test_whatever_hangs_claims_are_pruned_and_alarms_told(name: str, clock: Clock) -> None:
    desk = desk_of(clock, *claims(2), a_claim(order_id="0xo9", token_id="t9"))
    desk.records.trades = [a_fill(status=TradeStatus.CONFIRMED, order_id="0xo9")]

    async def asked(_: int | Sequence[str]) -> Never:
        return await hung()

    setattr(desk.records, name, asked)
    report = await desk.run()
    assert report.incomplete
    assert desk.store.cooldowns == {}
    assert {"0xo0", "0xo1"} <= set(report.overdue)
