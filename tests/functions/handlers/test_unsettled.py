"""What does not settle becomes an alarm with its reason."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from functions.core.claim import Claim, ClaimState
from functions.core.evidence import Resolution
from functions.core.lifecycle import UNSETTLED_AFTER_MS
from tests.functions.handlers.conftest import Clock
from tests.functions.handlers.settle_desk import WON, Desk, bought
from tests.support.trading_builders import (
    MARKET_END_MS,
    a_claim,
)

LONG_OVER_MS = MARKET_END_MS + UNSETTLED_AFTER_MS


async def unsettled_reason(desk: Desk) -> str:
    """The one reason that a run tells an hour after the end, and none before."""
    desk.clock.now_ms = LONG_OVER_MS - 1
    with capture_logs() as logs:
        assert (await desk.run()).unsettled == []
    desk.clock.now_ms = LONG_OVER_MS
    assert "claims_unsettled" not in [log["event"] for log in logs]
    with capture_logs() as logs:
        report = await desk.run()
    [reason] = report.unsettled
    [alarm] = [log for log in logs if log["event"] == "claims_unsettled"]
    assert (alarm["log_level"], alarm["claims"]) == ("critical", [reason])
    assert "0xOrder1" in reason
    assert desk.store.claims
    return reason


async def test_a_market_that_is_never_resolved_is_an_alarm_with_the_venue_s_words(
    clock: Clock,
) -> None:
    desk = Desk(clock, bought())
    assert "the CLOB has not closed it" in await unsettled_reason(desk)
    desk.records.resolutions["0xc1"] = WON
    report = await desk.run()
    assert (report.settled, report.unsettled) == (1, [])


async def test_so_is_one_of_which_there_is_no_readable_record(clock: Clock) -> None:
    desk = Desk(clock, bought())
    desk.records.failures["resolution"] = 99
    assert "injected" in await unsettled_reason(desk)


async def test_so_is_a_resolution_of_other_tokens(clock: Clock) -> None:
    desk = Desk(clock, bought())
    desk.records.resolutions["0xc1"] = Resolution(payouts_e6={"7": 1_000_000}, source="clob")
    assert "does not name token" in await unsettled_reason(desk)


@pytest.mark.parametrize(
    "claim",
    [
        a_claim(),
        a_claim(state=ClaimState.UNKNOWN),
        a_claim(state=ClaimState.OPEN),
        a_claim(state=ClaimState.SETTLED, version=4),
    ],
    ids=lambda claim: claim.state,
)
async def test_so_is_every_claim_that_still_takes_a_slot_whatever_its_state(
    claim: Claim, clock: Clock
) -> None:
    desk = Desk(clock, claim)
    desk.records.resolutions["0xc1"] = WON
    await unsettled_reason(desk)


async def test_each_of_several_claims_has_its_own_reason(clock: Clock) -> None:
    other = bought(condition_id="0xc2", intent_id="i2", attempt_id="a2")
    desk = Desk(clock, bought(), other)
    desk.records.failures["resolution"] = 1
    clock.now_ms = LONG_OVER_MS
    first, second = (await desk.run()).unsettled
    assert "injected" in first
    assert "not closed" in second
