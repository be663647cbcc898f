"""Winnings: asked for with patience, until nobody holds the shares any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.account import REDEMPTIONS_MAX, Redemption
from functions.core.winnings import (
    ASK_AGAIN_MS,
    GONE_AFTER_MS,
    LOOK_SPACING_MS,
    LOOKS_MIN,
    NEVER_SEEN_AFTER_MS,
    TRIES_MAX,
)
from functions.handlers.reconcile import reconcile
from functions.handlers.redeem import ASKED_AT_ONCE_MAX, LOOKED_AT_ONCE_MAX, WEI
from functions.handlers.settle import SettleReport, settle
from functions.ports import MinedTransaction, RecordsError, StoreError
from tests.functions.handlers.conftest import Clock
from tests.support.fake_ports import MemoryStore, ScriptedRecords
from tests.support.trading_builders import MARKET_END_MS, STRANGER, TRADER

WAITING = Redemption(token_id="up", wallet=TRADER.wallet, size_e6=2_000_000, since_ms=MARKET_END_MS)
HOUR_MS = 3_600_000


class Desk:
    """An account without claims, whose notes are these."""

    def __init__(self, clock: Clock, **notes: Redemption) -> None:
        self.store = MemoryStore()
        self.records = ScriptedRecords()
        self.records.held = {"up": 2_000_000}
        assert self.store.item is not None
        self.store.item = msgspec.structs.replace(
            self.store.item, redeem=notes or {"0xc1": WAITING}
        )
        self.clock = clock
        clock.now_ms = MARKET_END_MS

    @property
    def notes(self) -> dict[str, Redemption]:
        assert self.store.item is not None
        return self.store.item.redeem

    async def run(self, after_ms: int = 0, *, ask_anew: bool = False) -> SettleReport:
        self.clock.now_ms += after_ms
        return await settle(self.store, self.records, redeem=True, ask_anew=ask_anew)


async def test_the_last_of_a_few_requests_is_an_alarm_until_the_shares_are_gone(
    clock: Clock,
) -> None:
    desk = Desk(clock)
    for _ in range(6 * 60 * 6):  # every ten seconds for six hours
        report = await desk.run(10_000)
    assert desk.records.redeem_requests == ["0xc1"] * TRIES_MAX
    assert (report.stuck, report.redeeming) == (["0xc1"], 1)
    with capture_logs() as logs:
        await desk.run(10_000)
    assert ("redemptions_stuck", "critical") in [(log["event"], log["log_level"]) for log in logs]
    desk.records.held = {}
    for _ in range(LOOKS_MIN):
        clock.now_ms += LOOK_SPACING_MS
        await reconcile(desk.store, desk.records)
    assert desk.notes == {}
    assert (await desk.run()).stuck == []


async def test_requests_that_fail_count_and_a_restart_does_not_begin_anew(clock: Clock) -> None:
    desk = Desk(clock)
    desk.records.failures["redeem"] = 999
    for _ in range(6 * 60 * 6):
        report = await settle(desk.store, desk.records, redeem=True)
        clock.now_ms += 10_000
    assert desk.notes["0xc1"].tries == TRIES_MAX
    assert desk.records.calls.count("redeem") == TRIES_MAX
    assert report.stuck == ["0xc1"]


async def test_a_person_may_ask_again_at_once(clock: Clock) -> None:
    tried = Redemption(
        token_id="up", since_ms=MARKET_END_MS, asked_at_ms=MARKET_END_MS, tries=TRIES_MAX
    )
    desk = Desk(clock, **{"0xc1": tried})
    assert (await desk.run(1)).requests == 0
    assert (await desk.run(1, ask_anew=True)).requests == 1
    assert desk.notes["0xc1"].tries == 1
    assert (await desk.run(1)).requests == 0
    assert (await desk.run(ASK_AGAIN_MS)).requests == 1


async def test_who_could_not_note_that_it_asks_does_not_ask(clock: Clock) -> None:
    desk = Desk(clock)

    async def another() -> None:
        await settle(desk.store, ScriptedRecords(desk.records.calls), redeem=True)
        held = ScriptedRecords()
        held.held = {"up": 1}
        await settle(desk.store, held, redeem=True)

    desk.records.before["positions"] = another
    await desk.run()
    assert desk.records.redeem_requests == []
    assert desk.notes["0xc1"].tries == 1


async def test_a_request_that_was_noted_and_never_made_is_made_again_though_a_look_is_late(
    clock: Clock,
) -> None:
    """The process dies between its note and its request, and the next look at the shares is one of
    before the purchase: neither proves that anything was paid."""
    desk = Desk(clock)
    desk.records.failures["redeem"] = 1
    await desk.run(1)
    desk.records.held = {}  # as the venue showed them a while ago
    await desk.run(ASK_AGAIN_MS)
    await reconcile(desk.store, desk.records)
    desk.records.held = {"up": 2_000_000}
    await desk.run(ASK_AGAIN_MS)
    assert desk.records.redeem_requests == ["0xc1"]


@pytest.mark.parametrize("asked", [0, MARKET_END_MS])
async def test_whoever_redeemed_the_note_goes_without_a_key_and_without_a_request(
    asked: int, clock: Clock
) -> None:
    note = msgspec.structs.replace(WAITING, asked_at_ms=asked)
    desk = Desk(clock, **{"0xc1": note, "0xc2": msgspec.structs.replace(WAITING, token_id="t2")})
    desk.records.held = {"t2": 5}
    clock.now_ms += GONE_AFTER_MS - 1
    await reconcile(desk.store, desk.records)
    assert desk.notes["0xc1"] == note
    clock.now_ms += 1
    for _ in range(LOOKS_MIN - 1):
        await reconcile(desk.store, desk.records)
        assert desk.notes.keys() == {"0xc1", "0xc2"}
        clock.now_ms += LOOK_SPACING_MS
    await reconcile(desk.store, desk.records)
    assert desk.notes.keys() == {"0xc2"}
    assert desk.records.redeem_requests == []


async def test_notes_do_not_pile_up_at_a_venue_that_redeems_by_itself(clock: Clock) -> None:
    last = msgspec.structs.replace(WAITING, looks=LOOKS_MIN - 1)
    notes = {
        f"0xm{n}": msgspec.structs.replace(last, token_id=f"t{n}") for n in range(REDEMPTIONS_MAX)
    }
    desk = Desk(clock, **notes)
    desk.records.held = {}
    clock.now_ms += GONE_AFTER_MS
    for run in range(1, 11):
        before = desk.records.calls.count("positions")
        await reconcile(desk.store, desk.records)
        assert desk.records.calls.count("positions") == before + LOOKED_AT_ONCE_MAX
        assert len(desk.notes) == REDEMPTIONS_MAX - run * LOOKED_AT_ONCE_MAX


@pytest.mark.parametrize("come", [True, False])
async def test_shares_that_were_on_their_way_are_waited_for_and_a_person_is_told(
    come: bool, clock: Clock
) -> None:
    desk = Desk(clock, **{"0xc1": msgspec.structs.replace(WAITING, unseen=True)})
    desk.records.held = {}
    told = []
    for minute in range(25 * 60):
        if come and minute == 60:
            desk.records.held = {"up": 2_000_000}
        if come and minute == 62:  # paid out by whomever
            desk.records.held = {}
        report = await desk.run(60_000)
        told += report.stuck
        with capture_logs() as logs:
            await reconcile(desk.store, desk.records)
        told += [log["event"] for log in logs if log["event"] == "winnings_never_seen"]
    assert desk.notes == {}
    assert bool(desk.records.redeem_requests) is come
    assert bool(told) is not come


async def test_a_balance_that_can_never_be_told_is_an_alarm(clock: Clock) -> None:
    desk = Desk(clock)
    desk.records.failures["positions"] = 10**6
    reports = [await desk.run(60_000) for _ in range(4 * 60)]
    assert reports[0].stuck == []
    assert reports[-1].stuck == ["0xc1"]


async def test_shares_that_nobody_could_count_are_not_gone(clock: Clock) -> None:
    desk = Desk(clock)
    clock.now_ms += GONE_AFTER_MS
    desk.records.failures["positions"] = 1
    report = await reconcile(desk.store, desk.records)
    assert (report.failures, report.incomplete) == (1, False)

    async def none_known(_: object) -> dict[str, int]:
        return {}

    desk.records.positions = none_known  # type: ignore[assignment,method-assign]
    await reconcile(desk.store, desk.records)
    assert list(desk.notes) == ["0xc1"]


async def test_one_that_the_venue_cannot_answer_for_does_not_keep_the_others(
    clock: Clock,
) -> None:
    notes = {f"0xm{n}": msgspec.structs.replace(WAITING, token_id=f"t{n}") for n in range(9)}
    desk = Desk(clock, **notes)
    inner = desk.records.positions

    async def positions(token_ids: Sequence[str]) -> dict[str, int]:
        if token_ids[0] in {f"t{n}" for n in range(5)}:
            raise RecordsError("no such token")
        return await inner(token_ids)

    desk.records.positions = positions  # type: ignore[method-assign]
    desk.records.held = {"t8": 1}
    clock.now_ms += GONE_AFTER_MS
    for _ in range(60):
        await desk.run(10_000)
    assert set(desk.records.redeem_requests) == {"0xm8"}
    report = await reconcile(desk.store, desk.records)
    assert report.failures == 5
    assert desk.notes.keys() == {"0xm0", "0xm1", "0xm2", "0xm3", "0xm4", "0xm8"}


@pytest.mark.parametrize("error", [StoreError("no answer"), ZeroDivisionError("a defect")])
@pytest.mark.parametrize("of", ["note", "shares"])
async def test_a_note_that_breaks_something_keeps_no_other_from_going(
    of: str, error: Exception, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = {f"0xm{n}": msgspec.structs.replace(WAITING, token_id=f"t{n}") for n in range(3)}
    desk = Desk(clock, **notes)
    note, shares = desk.store.set_redemptions, desk.records.positions

    async def set_redemptions(
        changes: Mapping[str, Redemption | None], seen: Mapping[str, Redemption]
    ) -> bool:
        if of == "note" and "0xm0" in changes:
            raise error
        return await note(changes, seen)

    async def positions(token_ids: Sequence[str]) -> dict[str, int]:
        if of == "shares" and "t0" in token_ids:
            raise error
        return await shares(token_ids)

    monkeypatch.setattr(desk.store, "set_redemptions", set_redemptions)
    monkeypatch.setattr(desk.records, "positions", positions)
    clock.now_ms += GONE_AFTER_MS
    for _ in range(3):
        clock.now_ms += GONE_AFTER_MS
        report = await reconcile(desk.store, desk.records)
    assert report.failures == 1
    assert set(desk.notes) == {"0xm0"}


async def test_a_run_asks_for_a_few_and_the_next_one_for_others(clock: Clock) -> None:
    desk = Desk(clock, **{f"0xm{n}": WAITING for n in range(7)})
    report = await desk.run(1)
    assert (report.requests, report.redeeming) == (ASKED_AT_ONCE_MAX, 7)
    await desk.run(1)
    await desk.run(1)
    assert len(set(desk.records.redeem_requests)) == 7


async def test_gas_is_counted_also_of_what_the_chain_refused(clock: Clock) -> None:
    desk = Desk(clock)
    desk.records.transactions = [
        MinedTransaction(condition_id="0xc1", transaction=f"0x{n}", reverted=n == 1, gas_wei=WEI)
        for n in range(3)
    ]
    with capture_logs() as logs:
        report = await desk.run(1)
    assert (report.gas_wei, report.reverted) == (3 * WEI, 1)
    [told] = [log for log in logs if log["event"] == "redeem_reverted"]
    assert told["transaction"] == "0x1"
    desk.records.failures["mined"] = 1
    assert (await desk.run(1)).gas_wei == 0


async def test_winnings_of_nobody_knows_whose_wallet_never_go_quietly(clock: Clock) -> None:
    """An older version has noted them, and the wallet has moved since: nothing is shown to it."""
    desk = Desk(clock, **{"0xc1": Redemption(token_id="up", since_ms=MARKET_END_MS)})
    desk.records.trader, desk.records.held = STRANGER, {}
    with capture_logs() as logs:
        for _ in range(24 * 60 + 5):
            clock.now_ms += 60_000
            await reconcile(desk.store, desk.records)
            if clock.now_ms < MARKET_END_MS + NEVER_SEEN_AFTER_MS:
                assert list(desk.notes) == ["0xc1"]
    assert desk.notes == {}
    told = [log["event"] for log in logs if "winnings" in log["event"]]
    assert told == ["winnings_never_seen"]


async def test_winnings_of_nobody_knows_whose_wallet_are_its_to_whom_they_are_shown(
    clock: Clock,
) -> None:
    desk = Desk(clock, **{"0xc1": Redemption(token_id="up", since_ms=MARKET_END_MS)})
    await desk.run(1)
    assert [note.wallet for note in desk.notes.values()] == [TRADER.wallet]
    desk.records.trader, desk.records.held = STRANGER, {}
    for _ in range(10):
        assert (await desk.run(60_000)).strangers == ["0xc1"]
    desk.records.trader = TRADER
    with capture_logs() as logs:
        for _ in range(4):
            await desk.run(60_000)
            await reconcile(desk.store, desk.records)
    assert desk.notes == {}
    assert [log["event"] for log in logs if "winnings" in log["event"]] == ["winnings_redeemed"]


async def test_transactions_that_cannot_be_told_hide_no_alarm(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(clock, **{"0xc1": msgspec.structs.replace(WAITING, tries=TRIES_MAX)})

    async def mined() -> tuple[MinedTransaction, ...]:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.records, "mined", mined)
    assert (await desk.run(HOUR_MS * 10)).stuck == ["0xc1"]
