"""Winnings of one market that are more than one: two tokens, two wallets, several entries, trades
that are final and trades that are on their way, notes of older versions."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.account import Redemption
from functions.core.claim import Claim, Trader
from functions.core.evidence import Resolution
from functions.core.lifecycle import FINAL_AFTER_MS, apply_answer, apply_trades
from functions.core.winnings import ASK_AGAIN_MS, GONE_AFTER_MS, LOOK_SPACING_MS, TRIES_MAX, key_of
from functions.handlers.reconcile import reconcile
from functions.handlers.settle import SettleReport, settle
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
)
from venue.wire.order_answer import Accepted

WON = Resolution(payouts_e6={"up": 1_000_000, "down": 0}, source="clob")
SPLIT = Resolution(payouts_e6={"up": 500_000, "down": 500_000}, source="gamma")
UP = "up"
SIZE_E6 = 2_000_000
MINUTE_MS = 60_000


def bought(
    number: int,
    token_id: str = UP,
    trader: Trader = TRADER,
    status: TradeStatus = TradeStatus.CONFIRMED,
) -> Claim:
    claim = a_claim(intent_id=f"i{number}", token_id=token_id, trader=trader)
    updated = apply_trades(claim, [a_fill(status=status)], MADE_AT_MS)
    assert updated is not None
    return updated


class Desk:
    """An account and the venue, whose requests to redeem pay out what the asking wallet holds."""

    def __init__(self, clock: Clock, *claims: Claim, resolution: Resolution = WON) -> None:
        self.store, self.records, self.clock = MemoryStore(), ScriptedRecords(), clock
        self.put(*claims)
        self.records.resolutions["0xc1"] = resolution
        self.wallets: dict[str, dict[str, int]] = {TRADER.wallet: {}, STRANGER.wallet: {}}
        self.reverts = False
        self.told: list[str] = []
        clock.now_ms = MARKET_END_MS

    def put(self, *claims: Claim) -> None:
        assert self.store.item is not None
        self.store.item = msgspec.structs.replace(
            self.store.item, claims={claim.slot: claim for claim in claims}
        )

    @property
    def notes(self) -> dict[str, Redemption]:
        assert self.store.item is not None
        return self.store.item.redeem

    @property
    def unseen(self) -> list[tuple[int, bool]]:
        return [(note.size_e6, note.unseen) for note in self.notes.values()]

    def note(self, **notes: Redemption) -> None:
        assert self.store.item is not None
        self.store.item = msgspec.structs.replace(self.store.item, redeem=notes)

    def holds(self, **shares: int) -> None:
        self.wallets[self.records.trader.wallet] = shares

    async def run(
        self, after_ms: int = 0, trader: Trader = TRADER, *, ask_anew: bool = False
    ) -> SettleReport:
        """Settlement, then reconciliation, as this trader."""
        self.clock.now_ms += after_ms
        self.records.trader = trader
        self.records.held = self.wallets[trader.wallet]
        asked = len(self.records.redeem_requests)
        with capture_logs() as logs:
            report = await settle(self.store, self.records, redeem=True, ask_anew=ask_anew)
            if len(self.records.redeem_requests) > asked and not self.reverts:
                self.wallets[trader.wallet] = self.records.held = {}
            await reconcile(self.store, self.records)
        self.told += [log["event"] for log in logs]
        return report

    async def until_nothing_waits(self, minutes: int = 20) -> None:
        for _ in range(minutes):
            await self.run(MINUTE_MS)
            if not self.notes:
                return
        raise AssertionError(self.notes)


async def test_winnings_of_two_wallets_are_both_noted_and_each_is_asked_for_as_its_own(
    clock: Clock,
) -> None:
    desk = Desk(clock, bought(1, trader=STRANGER), bought(2))
    desk.wallets = {wallet: {"up": SIZE_E6} for wallet in desk.wallets}
    await desk.run()
    assert {note.wallet for note in desk.notes.values()} == {TRADER.wallet, STRANGER.wallet}
    assert (await desk.run(1)).strangers == ["0xc1"]
    for _ in range(10):
        await desk.run(MINUTE_MS)
    assert {note.wallet for note in desk.notes.values()} == {STRANGER.wallet}
    assert desk.wallets == {TRADER.wallet: {}, STRANGER.wallet: {"up": SIZE_E6}}
    assert desk.told.count("another_trader") >= 10
    for _ in range(10):
        await desk.run(MINUTE_MS, STRANGER)
    assert desk.notes == {}
    assert desk.records.redeem_requests == ["0xc1"] * 2
    assert desk.wallets == {TRADER.wallet: {}, STRANGER.wallet: {}}


async def test_both_outcomes_of_a_void_are_noted_and_one_request_pays_both(clock: Clock) -> None:
    desk = Desk(clock, bought(1), bought(2, "down"), resolution=SPLIT)
    desk.holds(up=SIZE_E6, down=SIZE_E6)
    report = await desk.run()
    assert (len(desk.notes), report.requests) == (2, 0)
    report = await desk.run(1)
    assert (report.requests, report.redeeming) == (1, 1)
    await desk.until_nothing_waits()
    assert desk.records.redeem_requests == ["0xc1"]


async def test_an_outcome_that_is_not_held_hides_no_other(clock: Clock) -> None:
    """Down was never confirmed, and never comes."""
    desk = Desk(clock, bought(1), bought(2, "down", status=TradeStatus.MATCHED), resolution=SPLIT)
    clock.now_ms += FINAL_AFTER_MS
    desk.holds(up=SIZE_E6)
    for _ in range(15):
        await desk.run(MINUTE_MS)
    assert desk.wallets[TRADER.wallet] == {}
    assert [note.token_id for note in desk.notes.values()] == ["down"]  # still waited for


@pytest.mark.parametrize("tries", [0, 1, TRIES_MAX])
async def test_tokens_of_one_market_are_asked_for_together_as_often_as_one_would_be(
    tries: int, clock: Clock
) -> None:
    desk = Desk(clock, bought(1), bought(2, "down"), resolution=SPLIT)
    desk.holds(up=SIZE_E6, down=SIZE_E6)
    desk.reverts = True
    await desk.run()
    for _ in range(tries):
        await desk.run(ASK_AGAIN_MS)
    minutes = 10 * 60 if tries == TRIES_MAX else 2 * tries
    for _ in range(minutes):
        report = await desk.run(MINUTE_MS)
        assert len({(note.asked_at_ms, note.tries) for note in desk.notes.values()}) == 1
    if tries == TRIES_MAX:
        assert desk.records.redeem_requests == ["0xc1"] * TRIES_MAX
        assert report.stuck == ["0xc1"]
        assert (await desk.run(MINUTE_MS, ask_anew=True)).requests == 1


async def test_two_who_see_different_shares_of_one_market_ask_once(clock: Clock) -> None:
    desk = Desk(clock, bought(1), bought(2, "down"), resolution=SPLIT)
    await desk.run()
    other = ScriptedRecords()
    desk.records.held, other.held = {"up": SIZE_E6}, {"down": SIZE_E6}
    runs = (settle(desk.store, each, redeem=True) for each in (desk.records, other))
    await asyncio.gather(*runs)
    assert len(desk.records.redeem_requests + other.redeem_requests) == 1


async def test_one_token_that_the_venue_cannot_tell_does_not_keep_the_other(clock: Clock) -> None:
    desk = Desk(clock, bought(1), bought(2, "down"), resolution=SPLIT)
    await desk.run()
    desk.records.held = {"up": SIZE_E6, "down": SIZE_E6}
    desk.records.failures["positions"] = 1  # of both: the first that is asked about
    report = await settle(desk.store, desk.records, redeem=True)
    assert (report.requests, report.failures) == (1, 1)


@pytest.mark.parametrize("redeemed_before", [True, False])
async def test_a_second_entry_that_settles_later_is_asked_for_as_well(
    redeemed_before: bool, clock: Clock
) -> None:
    first, second = bought(1), bought(2)
    desk = Desk(clock, first)
    desk.holds(up=SIZE_E6)
    desk.reverts = not redeemed_before
    await desk.run()
    await desk.run(MINUTE_MS)
    assert desk.records.redeem_requests == ["0xc1"]
    desk.reverts = False
    desk.put(second)  # found late
    desk.holds(up=SIZE_E6 if redeemed_before else 2 * SIZE_E6)
    await desk.run(1)
    [note] = desk.notes.values()
    assert (note.size_e6, note.asked_at_ms, note.unseen) == (2 * SIZE_E6, 0, False)
    await desk.until_nothing_waits()
    assert desk.records.redeem_requests == ["0xc1"] * 2
    assert desk.wallets[TRADER.wallet] == {}


@pytest.mark.parametrize("final_first", [True, False])
async def test_shares_on_their_way_are_waited_for_beside_shares_that_were_there(
    final_first: bool, clock: Clock
) -> None:
    """Four that are final are paid out before two come whose trade was still provisional."""
    final, moving = (bought(1), bought(2)), bought(3, status=TradeStatus.MATCHED)
    desk = Desk(clock, *(final if final_first else (moving,)))
    clock.now_ms += FINAL_AFTER_MS
    await desk.run()
    desk.put(*((moving,) if final_first else final))
    await desk.run()
    [note] = desk.notes.values()
    assert (note.size_e6, note.unseen) == (3 * SIZE_E6, True)
    desk.holds(up=2 * SIZE_E6)
    for _ in range(30):
        await desk.run(MINUTE_MS)
    assert desk.records.redeem_requests == ["0xc1"]
    assert desk.notes  # not all of them were ever seen
    desk.holds(up=SIZE_E6)
    for _ in range(30):
        await desk.run(MINUTE_MS)
    assert desk.records.redeem_requests == ["0xc1"] * 2
    assert desk.wallets[TRADER.wallet] == {}


async def test_shares_that_all_came_are_waited_for_no_longer(clock: Clock) -> None:
    desk = Desk(clock, bought(1), bought(2, status=TradeStatus.MATCHED))
    clock.now_ms += FINAL_AFTER_MS
    desk.holds(up=2 * SIZE_E6)
    await desk.run()
    await desk.until_nothing_waits()
    assert desk.records.redeem_requests == ["0xc1"]
    assert "winnings_never_seen" not in desk.told


async def test_a_claim_that_is_corrected_and_settled_again_is_noted_once(clock: Clock) -> None:
    accepted = Accepted(status="matched", spend_e6=1_100_000, size_e6=SIZE_E6)
    opened = apply_answer(a_claim(), accepted, MADE_AT_MS, Timeline())
    assert opened is not None
    desk = Desk(clock, opened)
    clock.now_ms += FINAL_AFTER_MS
    desk.records.clock = lambda: clock.now_ms
    await desk.run()
    assert desk.unseen == [(SIZE_E6, True)]
    # Another fee than the answer made it look: it is open again, and settled anew.
    desk.records.trades = [
        a_fill(status=TradeStatus.CONFIRMED, price_e4=5_400, matched_at_ms=clock.now_ms)
    ]
    for _ in range(2):
        await desk.run(MINUTE_MS)
    assert "claim_reopened" in desk.told
    assert [row.noted_e6 for row in desk.store.filed] == [SIZE_E6]
    assert desk.unseen == [(SIZE_E6, True)]
    desk.holds(up=SIZE_E6)
    await desk.until_nothing_waits()
    assert desk.told.count("winnings_redeemed") == 1
    assert desk.wallets[TRADER.wallet] == {}


async def test_notes_of_an_older_version_are_asked_for_and_go_beside_a_newer_one(
    clock: Clock,
) -> None:
    old = Redemption(token_id="up", wallet=TRADER.wallet, since_ms=MARKET_END_MS)
    desk = Desk(clock, bought(2))
    desk.note(**{"0xc1": old, "0xc9": msgspec.structs.replace(old, token_id="t9")})
    desk.holds(up=SIZE_E6, t9=1)
    report = await desk.run()
    assert set(desk.notes) == {"0xc1", "0xc9", key_of(bought(2))}
    assert report.redeeming == 2
    assert sorted(desk.records.redeem_requests) == ["0xc1", "0xc9"]
    await desk.until_nothing_waits()
    assert set(desk.records.redeem_requests) == {"0xc1", "0xc9"}


@pytest.mark.parametrize("older", [True, False])
async def test_another_s_shares_are_not_taken_for_those_that_are_on_their_way(
    older: bool, clock: Clock
) -> None:
    """Two that were there are paid out before two come whose trade was still provisional."""
    desk = Desk(clock, bought(2, status=TradeStatus.MATCHED))
    wallet, size_e6 = ("", 0) if older else (TRADER.wallet, SIZE_E6)
    there = Redemption(token_id="up", wallet=wallet, size_e6=size_e6, since_ms=MARKET_END_MS)
    desk.note(**{"0xc1": there})
    clock.now_ms += FINAL_AFTER_MS
    desk.holds(up=SIZE_E6)
    for _ in range(30):
        await desk.run(MINUTE_MS)
    assert key_of(bought(2)) in desk.notes
    desk.holds(up=SIZE_E6)
    for _ in range(30):
        await desk.run(MINUTE_MS)
    assert desk.wallets[TRADER.wallet] == {}


async def test_reports_name_markets_each_once(clock: Clock) -> None:
    desk = Desk(clock, bought(1, trader=STRANGER), bought(2, "down", STRANGER), resolution=SPLIT)
    report = await desk.run()
    report = await desk.run(24 * 60 * MINUTE_MS)
    assert (report.strangers, report.stuck, report.redeeming) == (["0xc1"], ["0xc1"], 1)


async def test_what_just_went_is_not_reported_as_stuck(clock: Clock) -> None:
    desk = Desk(clock, bought(1))
    await desk.run()
    for _ in range(2):
        await desk.run(GONE_AFTER_MS + LOOK_SPACING_MS)
    clock.now_ms += 24 * 60 * MINUTE_MS
    report = await settle(desk.store, desk.records, redeem=True)
    assert (desk.notes, report.stuck, report.redeeming) == ({}, [], 0)
