"""The hot path's promises: what is called, in which order, and what is left after each failure."""

from __future__ import annotations

import asyncio
import time

import pytest

from functions.core.account import Limits
from functions.core.answer import Rejected, RejectReason, Unknown
from functions.core.decide import StrategyConfig, book_imbalance_crypto
from functions.core.intent import ClaimState
from functions.handlers.evaluate import Evaluator
from functions.metrics import WorkerMetrics
from functions.ports import UnpreparableOrderError
from protocol.decision import Decision
from protocol.market import taker_fee_e6
from protocol.snapshot import BookSnapshot
from tests.functions.builders import market, snapshot
from tests.functions.fakes import Calls, MemoryStore, ScriptedExchange, stale

HOT_PATH = ["prepare", "claim", "post", "move"]


class Desk:
    def __init__(
        self, *, max_positions: int = 3, cooldown_ms: int = 300_000, book_age_max_ms: int = 1_000
    ) -> None:
        self.calls: Calls = []
        self.store = MemoryStore(self.calls)
        self.exchange = ScriptedExchange(self.calls)
        self.told: list[Decision] = []
        self.metrics = WorkerMetrics()
        self.evaluator = Evaluator(
            strategy_name="book_imbalance_crypto",
            strategy=book_imbalance_crypto,
            config=StrategyConfig(book_age_max_ms=book_age_max_ms),
            limits=Limits(
                max_positions=max_positions,
                cooldown_ms=cooldown_ms,
                daily_loss_limit_e6=20_000_000,
                daily_spend_cap_e6=200_000_000,
            ),
            store=self.store,
            exchange=self.exchange,
            publish_decision=self.told.append,
            metrics=self.metrics,
            worker="test",
        )

    async def handle(self, book: BookSnapshot) -> bool:
        """As the worker does; True when there was something to execute."""
        now_ns = time.time_ns()
        trade = self.evaluator.consider(book, now_ns)
        if trade is None:
            return False
        await self.evaluator.execute(book, trade, now_ns)
        return True


async def test_between_decision_and_post_there_is_exactly_one_store_call() -> None:
    desk = Desk()
    assert await desk.handle(snapshot())
    assert desk.calls == HOT_PATH
    [claim] = desk.store.claims.values()
    assert claim.state is ClaimState.OPEN
    assert claim.order_id == "order-1"
    assert claim.filled_spend_e6 == 1_100_000
    # No trade is known yet: the fee is the schedule's, at the average price.
    size_e6 = claim.filled_size_e6
    assert claim.fee_e6 == taker_fee_e6(market().fee, 1_100_000 * 10_000 // size_e6, size_e6)
    assert desk.store.filed == []


async def test_a_book_without_a_signal_calls_nothing() -> None:
    desk = Desk()
    assert not await desk.handle(snapshot([("0.49", 1)], [("0.50", 1)]))
    assert not await desk.handle(stale(snapshot(), by_ms=2_000))
    assert desk.calls == []
    assert desk.told == []


async def test_a_signal_that_lasts_for_hundreds_of_books_is_one_order() -> None:
    desk = Desk()
    info = market()
    for _ in range(300):
        await desk.handle(snapshot(of=info))
    assert desk.calls == HOT_PATH  # the 299 others met a hint
    assert [(d.result, d.reason) for d in desk.told] == [
        ("executed", "matched"),
        ("refused", "cooldown"),
    ]


async def test_repeats_within_the_window_are_counted_not_told() -> None:
    desk = Desk(max_positions=0, cooldown_ms=0)
    info = market()
    for _ in range(5):
        await desk.handle(snapshot(of=info))
    assert [(d.reason, d.repeats) for d in desk.told] == [("max_positions", 0)]


async def test_a_full_account_is_asked_once_and_then_believed() -> None:
    desk = Desk(max_positions=1)
    for number in range(5):
        await desk.handle(snapshot(of=market(f"0x{number}")))
    assert desk.calls == [*HOT_PATH, "prepare", "claim"]
    assert [d.reason for d in desk.told] == ["matched", *["max_positions"] * 4]


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


async def test_without_a_claim_that_is_known_to_be_ours_nothing_is_posted() -> None:
    desk = Desk()
    desk.store.failures["claim"] = 1
    await desk.handle(snapshot())
    assert desk.calls == ["prepare", "claim"]
    assert [d.reason for d in desk.told] == ["store_error"]


async def test_a_book_that_went_stale_while_signing_is_not_claimed() -> None:
    desk = Desk(book_age_max_ms=20)

    async def slow() -> None:
        await asyncio.sleep(0.05)

    desk.exchange.before_prepare = slow
    await desk.handle(snapshot())
    assert desk.calls == ["prepare"]
    assert [d.reason for d in desk.told] == ["stale_book"]


async def test_a_book_that_went_stale_during_the_claim_is_released_unsent() -> None:
    desk = Desk(book_age_max_ms=20)

    async def slow() -> None:
        await asyncio.sleep(0.05)

    desk.store.before["claim"] = slow
    await desk.handle(snapshot())
    assert desk.calls[:5] == ["prepare", "claim", "move", "put_ledger", "forget"]
    assert desk.store.claims == {}
    assert desk.told[0].reason == "not_sent"


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
