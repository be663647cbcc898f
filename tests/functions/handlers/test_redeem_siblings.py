"""Winnings of two accounts on one wallet: a request pays out what both hold."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.account import Redemption
from functions.core.claim import Claim
from functions.core.evidence import Resolution
from functions.core.lifecycle import FINAL_AFTER_MS, apply_trades
from functions.core.winnings import ASK_AGAIN_MS, NEVER_SEEN_AFTER_MS, TRIES_MAX
from functions.handlers.reconcile import reconcile
from functions.handlers.settle import SettleReport, settle
from protocol.fill import TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.support.fake_ports import NEW_ACCOUNT, MemoryStore, ScriptedRecords
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, TRADER, a_claim, a_fill

CONFIRMED, MATCHED = TradeStatus.CONFIRMED, TradeStatus.MATCHED
WON = Resolution(payouts_e6={"up": 1_000_000, "down": 0}, source="clob")
SPLIT = Resolution(payouts_e6={"up": 500_000, "down": 500_000}, source="gamma")
UP = "up"
SIZE_E6 = 2_000_000
MINUTE_MS = 60_000
ALPHA, BETA = "alpha", "beta"


def bought(name: str, token_id: str = UP, status: TradeStatus = CONFIRMED) -> Claim:
    claim = a_claim(intent_id=name, order_id=f"0x{name}", token_id=token_id)
    fill = a_fill(f"t-{name}", status, order_id=f"0x{name}")
    updated = apply_trades(claim, [fill], MADE_AT_MS)
    assert updated is not None
    return updated


class Desk:
    """Two accounts, `alpha` and `beta`, and the venue, which pays out all that the wallet holds."""

    def __init__(self, clock: Clock, **claims: Claim) -> None:
        self.clock = clock
        alpha = MemoryStore(name=ALPHA)
        self.stores = {ALPHA: alpha, BETA: MemoryStore(table=alpha.table, name=BETA)}
        alpha.table.joined[TRADER.wallet] = set(self.stores)
        self.records = ScriptedRecords()
        self.records.clock = lambda: clock.now_ms
        self.records.resolutions["0xc1"] = WON
        self.reverts = False
        self.told: list[str] = []
        self.asked_by: list[str] = []
        clock.now_ms = MARKET_END_MS
        self.put(**claims)

    def put(self, **claims: Claim) -> None:
        for name, claim in claims.items():
            store = self.stores[name]
            assert store.item is not None
            store.item = msgspec.structs.replace(store.item, claims={claim.slot: claim})

    def notes(self, name: str) -> list[Redemption]:
        item = self.stores[name].item
        assert item is not None
        return list(item.redeem.values())

    async def run(self, name: str, after_ms: int = 0, *, anew: bool = False) -> SettleReport:
        """Settlement, then reconciliation, of one account."""
        self.clock.now_ms += after_ms
        asked = len(self.records.redeem_requests)
        with capture_logs() as logs:
            report = await settle(self.stores[name], self.records, redeem=True, ask_anew=anew)
            new = len(self.records.redeem_requests) - asked
            self.asked_by += [name] * new
            if new and not self.reverts:
                self.records.held = {}
            await reconcile(self.stores[name], self.records)
        self.told += [log["event"] for log in logs if log["log_level"] in ("error", "critical")]
        return report

    async def run_both(self, after_ms: int = 0, minutes: int = 1) -> None:
        for _ in range(minutes):
            await self.run(ALPHA, after_ms)
            await self.run(BETA)


async def test_two_that_bought_the_same_are_paid_by_one_request(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"), beta=bought("b"))
    desk.records.held = {"up": 2 * SIZE_E6}
    await desk.run_both()  # noted
    await desk.run_both(MINUTE_MS, minutes=10)
    assert desk.asked_by == [ALPHA]
    assert desk.notes(ALPHA) == desk.notes(BETA) == []
    assert desk.told == []


async def test_one_that_settles_after_the_other_was_paid_waits_for_nothing(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"), beta=bought("b"))
    desk.records.held = {"up": 2 * SIZE_E6}
    for _ in range(10):
        await desk.run(ALPHA, MINUTE_MS)
    assert desk.asked_by == [ALPHA]
    assert desk.notes(ALPHA) == []
    for _ in range(10):
        await desk.run(BETA, MINUTE_MS)
    assert desk.asked_by == [ALPHA]
    assert desk.notes(BETA) == []
    assert desk.told == []


async def test_what_the_venue_redeems_by_itself_ends_both_notes(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"), beta=bought("b"))
    desk.records.held = {}
    await desk.run_both()
    assert len(desk.notes(ALPHA)) == len(desk.notes(BETA)) == 1
    await desk.run_both(MINUTE_MS, minutes=10)
    assert desk.notes(ALPHA) == desk.notes(BETA) == []
    assert desk.asked_by == desk.told == []


async def test_both_tokens_of_a_void_are_paid_by_the_request_of_either(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"), beta=bought("b", "down"))
    desk.records.resolutions["0xc1"] = SPLIT
    desk.records.held = {"up": SIZE_E6, "down": SIZE_E6}
    await desk.run_both()
    await desk.run_both(MINUTE_MS, minutes=10)
    assert desk.asked_by == [ALPHA]
    assert desk.notes(ALPHA) == desk.notes(BETA) == []


@pytest.mark.parametrize("noted", [True, False])
async def test_a_sibling_s_shares_are_not_taken_for_those_that_are_on_their_way(
    noted: bool, clock: Clock
) -> None:
    """Beta's are paid out before alpha's come, whose trade was still provisional."""
    desk = Desk(clock, alpha=bought("a", status=MATCHED), beta=bought("b"))
    clock.now_ms += FINAL_AFTER_MS
    desk.records.held = {"up": SIZE_E6}  # beta's
    if noted:
        await desk.run(BETA)
    await desk.run(ALPHA)
    await desk.run(ALPHA, MINUTE_MS)
    assert desk.asked_by == [ALPHA]  # it pays what there is, whoever's
    for _ in range(30):
        await desk.run_both(MINUTE_MS)
    assert desk.notes(BETA) == []
    [waiting] = desk.notes(ALPHA)
    assert waiting.unseen
    desk.records.held = {"up": SIZE_E6}  # alpha's
    await desk.run_both(MINUTE_MS, minutes=30)
    assert desk.asked_by == [ALPHA, ALPHA]
    assert desk.notes(ALPHA) == []
    assert desk.told == []


async def test_shares_that_came_beside_all_of_a_sibling_s_are_one_s_own(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a", status=MATCHED), beta=bought("b"))
    clock.now_ms += FINAL_AFTER_MS
    desk.records.held = {"up": 2 * SIZE_E6}
    await desk.run_both()
    await desk.run_both(MINUTE_MS)
    [note] = desk.notes(ALPHA)
    assert not note.unseen
    await desk.run_both(MINUTE_MS, minutes=10)
    assert desk.notes(ALPHA) == []


async def test_while_a_sibling_cannot_be_read_shares_are_asked_for_and_none_is_taken_for_seen(
    clock: Clock,
) -> None:
    desk = Desk(clock, alpha=bought("a", status=MATCHED), beta=bought("b"))
    clock.now_ms += FINAL_AFTER_MS
    desk.records.held = {"up": 2 * SIZE_E6}
    await desk.run(ALPHA)
    desk.stores[BETA].failures["account"] = 10**6
    report = await desk.run(ALPHA, MINUTE_MS)
    assert (desk.asked_by, report.failures) == ([ALPHA], 1)
    [note] = desk.notes(ALPHA)
    assert note.unseen
    for _ in range(60):
        await desk.run(ALPHA, MINUTE_MS)
    assert desk.notes(ALPHA)
    desk.clock.now_ms += NEVER_SEEN_AFTER_MS
    for _ in range(5):
        await desk.run(ALPHA, MINUTE_MS)
    assert desk.notes(ALPHA) == []  # not for ever
    assert "winnings_never_seen" in desk.told


async def test_requests_in_vain_come_to_an_end_for_both_together(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"), beta=bought("b"))
    desk.reverts = True
    desk.records.held = {"up": 2 * SIZE_E6}
    await desk.run_both()
    times = []
    for _ in range(24 * 60):
        before = len(desk.asked_by)
        await desk.run_both(MINUTE_MS)
        times += [clock.now_ms] * (len(desk.asked_by) - before)
    assert desk.asked_by.count(ALPHA) == desk.asked_by.count(BETA) == TRIES_MAX
    # Each has ASK_AGAIN_MS to show before anybody asks again.
    assert all(later - earlier >= ASK_AGAIN_MS for earlier, later in zip(times, times[1:]))  # noqa: B905, RUF007 - neighbours
    assert (await desk.run(ALPHA)).stuck == (await desk.run(BETA)).stuck == ["0xc1"]
    report = await desk.run(BETA, anew=True)
    assert report.requests == 1
    report = await desk.run(ALPHA, anew=True)  # a person does not wait for another's
    assert report.requests == 1


async def test_of_two_that_ask_at_once_one_does_and_both_count_it(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"), beta=bought("b"))
    desk.records.held = {"up": 2 * SIZE_E6}
    await desk.run_both()
    runs = (settle(store, desk.records, redeem=True) for store in desk.stores.values())
    await asyncio.gather(*runs)
    assert [note.tries for name in desk.stores for note in desk.notes(name)] == [1, 1]
    assert len(desk.records.redeem_requests) == 1
    desk.records.held = {}
    await desk.run_both(MINUTE_MS, minutes=10)
    assert len(desk.records.redeem_requests) == 1
    assert desk.notes(ALPHA) == desk.notes(BETA) == []


async def test_a_sibling_that_does_not_redeem_is_paid_with_the_others(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"), beta=bought("b"))
    desk.records.held = {"up": 2 * SIZE_E6}
    await settle(desk.stores[BETA], desk.records, redeem=False)
    for _ in range(10):
        await desk.run(ALPHA, MINUTE_MS)
    assert desk.asked_by == [ALPHA]
    assert desk.notes(ALPHA) == []
    assert desk.stores[BETA].item == msgspec.structs.replace(
        NEW_ACCOUNT, pnl_e6=desk.stores[BETA]._account().pnl_e6
    )
    assert desk.told == []


async def test_without_notes_no_sibling_is_read(clock: Clock) -> None:
    desk = Desk(clock, alpha=bought("a"))
    await settle(desk.stores[ALPHA], desk.records, redeem=True)
    assert desk.stores[BETA].calls == []
