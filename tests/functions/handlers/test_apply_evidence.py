"""ClaimStep on the stored claim while others change it, and what a crash leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.account import Redemption
from functions.core.claim import Claim, ClaimState
from functions.core.evidence import Resolution
from functions.core.lifecycle import FINAL_AFTER_MS, apply_answer, apply_resolution, apply_trades
from functions.core.winnings import key_of
from functions.handlers.apply_evidence import (
    TRIES_MAX,
    ClaimStep,
    apply_evidence,
    move_to_ledger,
)
from functions.ports import StoreError
from protocol.decision import Timeline
from protocol.fill import Fill, TradeStatus
from tests.functions.handlers.conftest import Clock
from tests.support.fake_ports import MemoryStore
from tests.support.trading_builders import MADE_AT_MS, MARKET_END_MS, TRADER, a_claim, a_fill
from venue.wire.order_answer import Accepted, Rejected, RejectReason

CLAIMED, UNKNOWN, OPEN, RELEASED, SETTLED = ClaimState
NOW_MS = MADE_AT_MS + 1_000
END_MS = MARKET_END_MS + FINAL_AFTER_MS
DAY = "2026-09-21"
ALL = Accepted(status="matched", spend_e6=1_100_000, size_e6=2_000_000)
REFUSED = Rejected(reason=RejectReason.NO_MATCH, text="no")
WON = Resolution(payouts_e6={"up": 1_000_000}, source="clob")


def of_answer(answer: Accepted | Rejected) -> ClaimStep:
    return lambda claim: apply_answer(claim, answer, NOW_MS, Timeline())


def of_trades(*fills: Fill) -> ClaimStep:
    return lambda claim: apply_trades(claim, fills, NOW_MS)


def of_resolution(claim: Claim) -> Claim | None:
    return apply_resolution(claim, WON, END_MS)


async def stored(claim: Claim, *, others: Sequence[Claim] = ()) -> MemoryStore:
    """A store whose account holds `claim` (or the ledger, if it has ended)."""
    store = MemoryStore()
    assert store.item is not None
    live = {each.slot: each for each in (claim, *others) if not each.ended}
    spent_e6 = sum(each.reserved_e6 for each in (claim, *others))
    store.item = msgspec.structs.replace(store.item, claims=live, spent_e6={DAY: spent_e6})
    for each in (claim, *others):
        if each.ended:
            await store.put_ledger(each)
    store.calls.clear()
    return store


def sure(claim: Claim | None) -> Claim:
    assert claim is not None
    return claim


async def test_evidence_is_one_write() -> None:
    store = await stored(a_claim())
    claim = await apply_evidence(store, a_claim(), of_answer(ALL))
    assert store.calls == ["move"]
    assert store.claims == {"intent-1": claim}
    assert sure(claim).state is OPEN


async def test_evidence_that_says_nothing_new_writes_nothing() -> None:
    claim = sure(apply_trades(a_claim(), [a_fill()], NOW_MS))
    store = await stored(claim)
    assert await apply_evidence(store, claim, of_trades(a_fill())) == claim
    assert store.calls == []


async def test_what_ends_is_moved_filed_and_forgotten_in_this_order() -> None:
    store = await stored(a_claim())
    claim = await apply_evidence(store, a_claim(), of_answer(REFUSED))
    assert store.calls == ["move", "put_ledger", "forget"]
    assert store.claims == {}
    assert store.filed == [claim]
    assert store.item is not None
    assert store.item.spent_e6 == {DAY: 0}


# -- somebody else is faster ---------------------------------------------------------------------


async def test_a_fill_that_was_faster_than_the_answer_is_kept() -> None:
    store = await stored(a_claim())

    async def on_fill() -> None:
        await apply_evidence(store, a_claim(), of_trades(a_fill(status=TradeStatus.CONFIRMED)))

    store.before["move"] = on_fill
    claim = sure(await apply_evidence(store, a_claim(), of_answer(ALL)))
    assert (claim.state, claim.version, claim.text) == (OPEN, 3, "matched")
    assert list(claim.fills) == ["t1"]
    assert store.claims == {"intent-1": claim}


async def test_a_refusal_does_not_undo_a_fill_that_was_faster() -> None:
    store = await stored(a_claim())

    async def on_fill() -> None:
        await apply_evidence(store, a_claim(), of_trades(a_fill()))

    store.before["move"] = on_fill
    claim = sure(await apply_evidence(store, a_claim(), of_answer(REFUSED)))
    assert (claim.state, claim.filled_size_e6) == (OPEN, 2_000_000)


async def test_a_claim_that_was_released_and_filed_meanwhile_is_reopened(clock: Clock) -> None:
    store = await stored(a_claim())

    async def given_up() -> None:
        await apply_evidence(store, a_claim(), of_answer(REFUSED))

    store.before["move"] = given_up
    claim = sure(await apply_evidence(store, a_claim(), of_trades(a_fill())))
    assert (claim.state, claim.came_back, claim.version) == (OPEN, True, 3)
    assert store.claims == {"intent-1": claim}
    assert store.cooldowns == {"0xc1": MARKET_END_MS}  # nobody enters this market again
    assert store.item is not None
    assert store.item.spent_e6 == {DAY: 1_100_000}


async def test_another_claim_on_the_same_market_keeps_its_place() -> None:
    mine = a_claim(state=RELEASED, version=2)
    another = a_claim(intent_id="intent-2", attempt_id="attempt-2", order_id="0xorder2")
    store = await stored(mine, others=[another])
    claim = await apply_evidence(store, a_claim(), of_trades(a_fill()))
    assert store.claims == {"0xc1": another, "intent-1": claim}


async def test_two_that_reopen_at_once_are_one_claim_with_both_trades() -> None:
    row = a_claim(state=RELEASED, version=2)
    store = await stored(row)
    halves = [a_fill("t1", size_e6=500_000), a_fill("t2", size_e6=600_000)]

    async def other() -> None:
        await apply_evidence(store, row, of_trades(halves[1]), filed=True)

    store.before["reopen"] = other
    claim = sure(await apply_evidence(store, row, of_trades(halves[0]), filed=True))
    assert store.claims == {"intent-1": claim}
    assert claim.filled_size_e6 == 1_100_000


@pytest.mark.parametrize("row", [False, True])
async def test_an_ended_claim_that_was_not_filed_yet_comes_back_as_one_that_was(row: bool) -> None:
    ended = sure(apply_answer(a_claim(), REFUSED, NOW_MS, Timeline()))
    store = await stored(a_claim())
    await store.move(ended, a_claim())
    if row:  # a crash before it was taken out of the account
        await store.put_ledger(ended)
    with capture_logs() as logs:
        claim = sure(await apply_evidence(store, a_claim(), of_trades(a_fill())))
    assert store.claims == {"intent-1": claim}
    assert (claim.state, claim.came_back, claim.version) == (OPEN, True, 3)
    assert store.filed == [ended]
    assert store.cooldowns == {"0xc1": MARKET_END_MS}
    assert [log["event"] for log in logs] == ["claim_reopened"]


async def test_a_claim_that_never_stands_still_is_an_error_in_the_end() -> None:
    store = await stored(a_claim())

    changed = 0

    async def once_more() -> None:
        nonlocal changed
        changed += 1
        [now] = store.claims.values()
        assert await store.move(msgspec.structs.replace(now, version=now.version + 1), now)
        store.before["move"] = once_more

    store.before["move"] = once_more
    with pytest.raises(StoreError, match=f"changed {TRIES_MAX} times"):
        await apply_evidence(store, a_claim(), of_answer(ALL))
    assert changed == TRIES_MAX


async def test_a_claim_that_is_nowhere_is_reported_not_invented() -> None:
    store = MemoryStore()
    assert await apply_evidence(store, a_claim(), of_answer(ALL)) is None
    assert store.claims == {}


async def test_many_at_once_lose_nothing() -> None:
    store = await stored(a_claim())
    fills = [a_fill(f"t{n}", size_e6=100_000) for n in range(6)]
    ways = [of_answer(ALL), *(of_trades(fill) for fill in fills)]
    await asyncio.gather(*(apply_evidence(store, a_claim(), way) for way in ways))
    [claim] = store.claims.values()
    assert set(claim.fills) == {f"t{n}" for n in range(6)}
    assert claim.reported_size_e6 == 2_000_000
    assert claim.version == 1 + len(ways)


# -- replies that get lost, and crashes ----------------------------------------------------------


@pytest.mark.parametrize("answer", [ALL, REFUSED])
async def test_a_move_whose_reply_was_lost_is_found_done_when_tried_again(
    answer: Accepted | Rejected,
) -> None:
    store = await stored(a_claim())
    store.lost["move"] = 1
    with pytest.raises(StoreError):
        await apply_evidence(store, a_claim(), of_answer(answer))
    claim = sure(await apply_evidence(store, a_claim(), of_answer(answer)))
    assert store.claims == ({} if answer is REFUSED else {"intent-1": claim})
    assert store.filed == ([claim] if answer is REFUSED else [])


@pytest.mark.parametrize("way", ["failures", "lost"])
@pytest.mark.parametrize("name", ["move", "put_ledger", "forget"])
async def test_settling_again_after_any_crash_books_the_pnl_once(name: str, way: str) -> None:
    claim = sure(apply_trades(a_claim(), [a_fill(status=TradeStatus.CONFIRMED)], NOW_MS))
    store = await stored(claim)
    getattr(store, way)[name] = 1
    with pytest.raises(StoreError):
        await apply_evidence(store, claim, of_resolution, redeem=True)
    ended = sure(await apply_evidence(store, claim, of_resolution, redeem=True))
    assert store.claims == {}
    assert store.filed == [ended]
    assert store.item is not None
    assert store.item.pnl_e6 == {DAY: ended.pnl_e6}
    assert store.item.spent_e6 == {DAY: 1_100_000}
    assert store.item.redeem == {
        key_of(ended): Redemption(
            token_id="up", wallet=TRADER.wallet, since_ms=END_MS, size_e6=ended.filled_size_e6
        )
    }


async def test_only_winnings_are_redeemed() -> None:
    claim = sure(apply_trades(a_claim(), [a_fill(status=TradeStatus.CONFIRMED)], NOW_MS))
    lost = Resolution(payouts_e6={"up": 0}, source="clob")
    for redeem, resolution in ((True, lost), (False, WON)):
        store = await stored(claim)

        def paid(seen: Claim, resolution: Resolution = resolution) -> Claim | None:
            return apply_resolution(seen, resolution, END_MS)

        await apply_evidence(store, claim, paid, redeem=redeem)
        assert store.item is not None
        assert store.item.redeem == {}


async def test_filing_twice_is_filing_once() -> None:
    ended = a_claim(state=RELEASED, version=2)
    store = await stored(a_claim())
    await store.move(ended, a_claim())
    await move_to_ledger(store, ended)
    await move_to_ledger(store, ended)
    assert (store.claims, store.filed) == ({}, [ended])


async def test_an_older_copy_that_is_filed_late_harms_nothing() -> None:
    older, newer = a_claim(state=RELEASED, version=2), a_claim(state=SETTLED, version=7)
    store = await stored(newer)
    await move_to_ledger(store, older)
    assert store.filed == [newer]
