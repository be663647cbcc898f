"""Evaluate a book; on a signal, execute: sign, claim, POST, resolve.

    book ─▶ consider (pure, no await) ─▶ sign ─▶ CLAIM ─▶ POST ─▶ resolve ─▶ ledger, decision
                                      order id     │        │
                                      known here   └────────┴─ nothing else is awaited in between

Invariants: 1 (the claim, with the order id in it, is durable before the POST), 2 (every limit is
in the claim's one condition; `Hints` may only refuse), 3 (one POST an intent, ever), 4 (only a
proven rejection releases), 6 (the book's age is checked here and again right before the claim, and
so is whether a later feeder has spoken about its market meanwhile).

A crash after the claim and before the resolve leaves a claim in state `claimed`: its exposure
stays reserved, and its order id is what reconciliation asks the venue about.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Literal

import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from functions.core.account import ClaimRefusal, Limits, next_pause, pauses
from functions.core.claim import Claim, ClaimState
from functions.core.fencing import Fence
from functions.core.lifecycle import answered
from functions.core.refusal_cache import Hints
from functions.core.refusal_throttle import RepeatCounter
from functions.core.strategy import Hold, HoldReason, Strategy, StrategyConfig, Trade
from functions.handlers.apply_evidence import record
from functions.metrics import WorkerMetrics
from functions.ports import (
    ClaimRefused,
    Exchange,
    PreparedOrder,
    Store,
    StoreError,
    UnpreparableOrderError,
)
from protocol.decision import Decision, Timeline
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason, Unknown

_log = structlog.get_logger()


class Evaluator:
    """The use case with its collaborators. `publish_decision` must not block or raise."""

    def __init__(
        self,
        *,
        strategy_name: str,
        strategy: Strategy,
        config: StrategyConfig,
        limits: Limits,
        store: Store,
        exchange: Exchange,
        publish_decision: Callable[[Decision], None],
        metrics: WorkerMetrics,
        worker: str,
    ) -> None:
        self._strategy_name = strategy_name
        self._strategy = strategy
        self._config = config
        self._limits = limits
        self._store = store
        self._exchange = exchange
        self._publish_decision = publish_decision
        self._metrics = metrics
        self._worker = worker
        self._fence = Fence()
        self._hints = Hints()
        # A cooldown of zero (benchmarks) still tells a refusal at most once a second.
        self._repeats = RepeatCounter(max(limits.cooldown_ms, 1_000))

    def admit(self, snapshot: BookSnapshot) -> bool:
        """Note a snapshot as it comes; False, counted, when a newer one of its market has come."""
        if self._fence.admits(snapshot, time.monotonic_ns() // 1_000_000):
            return True
        self._metrics.holds[HoldReason.SUPERSEDED].inc()
        return False

    def consider(self, snapshot: BookSnapshot, delivered_at_ns: int) -> Trade | None:
        """Decide on one book, without awaiting anything. A Trade is to be executed at once."""
        started_ns = time.time_ns()
        decision = self._strategy(snapshot, self._config, started_ns // 1_000_000)
        ended_ns = time.time_ns()
        metrics = self._metrics
        metrics.books.inc()
        metrics.book_age.observe((started_ns - snapshot.received_at_ns) / 1e9)
        metrics.decide.observe((ended_ns - started_ns) / 1e9)
        if isinstance(decision, Hold):
            metrics.holds[decision.reason].inc()
            return None
        condition_id = snapshot.market.condition_id
        hinted = self._hints.refusal(condition_id, ended_ns // 1_000_000)
        if hinted is not None:
            metrics.refused_by_hint[hinted].inc()
            timeline = _timeline(snapshot, delivered_at_ns, ended_ns)
            self._refused(snapshot, decision, hinted.value, timeline)
            return None
        return decision

    async def execute(self, snapshot: BookSnapshot, trade: Trade, delivered_at_ns: int) -> None:
        """Sign, claim, POST, resolve. Raises nothing but cancellation; every end is reported."""
        timeline = _timeline(snapshot, delivered_at_ns, time.time_ns())
        try:
            order = await self._exchange.prepare(trade, snapshot)
        except UnpreparableOrderError as error:
            self._metrics.unpreparable.inc()
            self._refused(snapshot, trade, "unpreparable", timeline, str(error))
            return
        timeline.signed_at_ns = time.time_ns()
        self._metrics.sign.observe((timeline.signed_at_ns - timeline.decided_at_ns) / 1e9)
        # Signing is fast, but a cold market makes the client fetch metadata first (invariant 6).
        doubt = self._doubt(snapshot)
        if doubt is not None:
            self._metrics.holds[doubt].inc()
            self._refused(snapshot, trade, doubt.value, timeline)
            return

        claim = self._intent(snapshot, trade, order, timeline.signed_at_ns // 1_000_000)
        if not await self._claim(snapshot, trade, claim, timeline):
            return
        answer = await self._post(order, snapshot.received_at_ns)
        timeline.answered_at_ns = time.time_ns()
        self._observe_answer(answer, trade, timeline)

        resolved = await self._record(claim, answer, timeline)
        self._executed(snapshot, trade, resolved, answer, timeline)
        if isinstance(answer, Rejected) and pauses(answer.reason):
            await self._pause(answer.reason)

    # -- the claim -------------------------------------------------------------------------------

    def _intent(
        self, snapshot: BookSnapshot, trade: Trade, order: PreparedOrder, now_ms: int
    ) -> Claim:
        return Claim(
            intent_id=uuid.uuid4().hex,
            attempt_id=uuid.uuid4().hex,
            order_id=order.order_id,
            condition_id=snapshot.market.condition_id,
            slug=snapshot.market.slug,
            token_id=trade.token_id,
            outcome=trade.outcome,
            state=ClaimState.CLAIMED,
            max_price_e4=trade.max_price_e4,
            spend_e6=order.spend_e6,
            fee_rate=str(snapshot.market.fee.rate),
            fee_exponent=snapshot.market.fee.exponent,
            salt=order.salt,
            order_timestamp_ms=order.order_timestamp_ms,
            claimed_at_ms=now_ms,
            market_end_ms=snapshot.market.end_ms,
        )

    async def _claim(
        self, snapshot: BookSnapshot, trade: Trade, claim: Claim, timeline: Timeline
    ) -> bool:
        now_ms = claim.claimed_at_ms
        try:
            result = await self._store.claim(claim, self._limits, now_ms)
        except StoreError as error:
            # Perhaps written, perhaps not: then it is a reserved exposure without an order, which
            # reconciliation releases. Posting without a claim that is known to be ours is not an
            # option (invariant 1).
            self._metrics.store_errors.inc()
            self._refused(snapshot, trade, "store_error", timeline, str(error))
            return False
        timeline.claimed_at_ns = time.time_ns()
        self._metrics.claim.observe((timeline.claimed_at_ns - timeline.signed_at_ns) / 1e9)
        if isinstance(result, ClaimRefused):
            self._metrics.claims_refused[result.reason].inc()
            self._hints.learn_refused(result.reason, result.account, claim.condition_id, now_ms)
            self._refused(snapshot, trade, result.reason.value, timeline)
            if result.reason is ClaimRefusal.NO_ACCOUNT:
                _log.error("no_account", strategy=self._strategy_name)
            return False
        self._hints.learn_claimed(claim.condition_id, now_ms + self._limits.cooldown_ms, now_ms)
        self._metrics.tick_to_trade.observe(
            (timeline.claimed_at_ns - snapshot.received_at_ns) / 1e9
        )
        return True

    async def _post(self, order: PreparedOrder, received_at_ns: int) -> Answer:
        """POST once, unless the claim took so long that the book is no longer fresh."""
        excess_ms = self._age_excess_ms(received_at_ns)
        if excess_ms > 0:
            text = f"the claim took too long: the book was {excess_ms} ms over its age limit"
            return Rejected(reason=RejectReason.TOO_LATE, text=text)
        try:
            return await self._exchange.post(order)
        except asyncio.CancelledError:
            _log.error("order_abandoned", order=order.order_id)
            raise
        except Exception as error:  # noqa: BLE001 - an adapter's bug proves nothing about the order
            _log.critical("post_failed", order=order.order_id, exc_info=error)
            return Unknown(text=f"{type(error).__name__}: {error}")

    def _doubt(self, snapshot: BookSnapshot) -> HoldReason | None:
        """What has happened to the book since it was decided on."""
        if self._fence.fenced(snapshot):
            return HoldReason.SUPERSEDED
        return HoldReason.STALE_BOOK if self._age_excess_ms(snapshot.received_at_ns) > 0 else None

    def _age_excess_ms(self, received_at_ns: int) -> int:
        return (time.time_ns() - received_at_ns) // 1_000_000 - self._config.book_age_max_ms

    async def _record(self, claim: Claim, answer: Answer, timeline: Timeline) -> Claim:
        """Apply the answer to the claim; it is idempotent, so it is tried again."""
        now_ms = timeline.answered_at_ns // 1_000_000

        def evidence(seen: Claim) -> Claim | None:
            return answered(seen, answer, now_ms, timeline)

        recorded = None
        try:
            async for attempt in _store_retries():
                with attempt:
                    recorded = await record(self._store, claim, evidence)
            timeline.resolved_at_ns = time.time_ns()
            self._metrics.resolve.observe((timeline.resolved_at_ns - timeline.answered_at_ns) / 1e9)
        except StoreError as error:
            # The claim stays as it is, so its exposure stays reserved and its order id known:
            # reconciliation will find out what this worker knows.
            self._metrics.store_errors.inc()
            _log.error(
                "not_recorded", intent=claim.intent_id, order=claim.order_id, error=str(error)
            )
        return recorded or evidence(claim) or claim

    async def _pause(self, reason: RejectReason) -> None:
        """The venue refuses the account, not this order: no worker should ask again too soon."""
        self._metrics.pauses[reason].inc()
        try:
            seen = (await self._store.account()).pause
            pause = next_pause(seen, reason, time.time_ns() // 1_000_000)
            if pause != seen and await self._store.set_pause(pause, seen):
                _log.warning(
                    "account_paused", reason=reason.value, for_ms=pause.until_ms - pause.since_ms
                )
        except StoreError as error:
            self._metrics.store_errors.inc()
            _log.warning("not_paused", reason=reason.value, error=str(error))
        if reason is RejectReason.NOT_ENOUGH_BALANCE:
            await self._exchange.refresh_balance()

    # -- what is told ----------------------------------------------------------------------------

    def _observe_answer(self, answer: Answer, trade: Trade, timeline: Timeline) -> None:
        metrics = self._metrics
        metrics.post.observe((timeline.answered_at_ns - timeline.claimed_at_ns) / 1e9)
        if isinstance(answer, Accepted):
            metrics.answers[answer.status].inc()
            if answer.size_e6:
                price_e4 = answer.spend_e6 * PRICE_SCALE / answer.size_e6
                metrics.price_deviation.observe(price_e4 / trade.signal_price_e4 - 1)
        elif isinstance(answer, Rejected):
            metrics.answers["rejected"].inc()
            metrics.rejected[answer.reason].inc()
        else:
            metrics.answers["unknown"].inc()
            if answer.alarm:
                metrics.order_id_mismatch.inc()
                _log.critical("order_id_mismatch", text=answer.text)

    def _refused(
        self, snapshot: BookSnapshot, trade: Trade, reason: str, timeline: Timeline, text: str = ""
    ) -> None:
        key = (snapshot.market.condition_id, trade.outcome, reason)
        repeats = self._repeats.admit(key, timeline.decided_at_ns // 1_000_000)
        if repeats is not None:
            decision = self._decision(snapshot, trade, "refused", reason, timeline)
            self._tell(msgspec.structs.replace(decision, text=text, repeats=repeats))

    def _executed(
        self,
        snapshot: BookSnapshot,
        trade: Trade,
        claim: Claim,
        answer: Answer,
        timeline: Timeline,
    ) -> None:
        decision = self._decision(snapshot, trade, "executed", _outcome_of(answer), timeline)
        self._tell(
            msgspec.structs.replace(
                decision,
                intent_id=claim.intent_id,
                order_id=claim.order_id,
                state=claim.state.value,
                filled_spend_e6=claim.filled_spend_e6,
                filled_size_e6=claim.filled_size_e6,
                fee_e6=claim.fee_e6,
                text=claim.text,
            )
        )

    def _decision(
        self,
        snapshot: BookSnapshot,
        trade: Trade,
        result: Literal["executed", "refused"],
        reason: str,
        timeline: Timeline,
    ) -> Decision:
        return Decision(
            decision_id=uuid.uuid4().hex,
            strategy=self._strategy_name,
            worker=self._worker,
            condition_id=snapshot.market.condition_id,
            slug=snapshot.market.slug,
            outcome=trade.outcome,
            token_id=trade.token_id,
            result=result,
            reason=reason,
            imbalance=trade.imbalance,
            signal_price_e4=trade.signal_price_e4,
            max_price_e4=trade.max_price_e4,
            spend_e6=trade.spend_e6,
            decided_at_ms=timeline.decided_at_ns // 1_000_000,
            timeline=timeline,
        )

    def _tell(self, decision: Decision) -> None:
        self._publish_decision(decision)
        _log.info(
            decision.result,
            market=decision.slug,
            outcome=decision.outcome,
            reason=decision.reason,
            imbalance=round(decision.imbalance, 3),
            signal_price_e4=decision.signal_price_e4,
            order=decision.order_id,
            state=decision.state,
            spend_e6=decision.filled_spend_e6,
            size_e6=decision.filled_size_e6,
            text=decision.text,
            repeats=decision.repeats,
        )


def _timeline(snapshot: BookSnapshot, delivered_at_ns: int, decided_at_ns: int) -> Timeline:
    return Timeline(
        received_at_ns=snapshot.received_at_ns,
        published_at_ns=snapshot.published_at_ns,
        delivered_at_ns=delivered_at_ns,
        decided_at_ns=decided_at_ns,
    )


def _outcome_of(answer: Answer) -> str:
    if isinstance(answer, Accepted):
        return answer.status
    return answer.reason.value if isinstance(answer, Rejected) else "unknown"


def _store_retries() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(StoreError),
        stop=stop_after_attempt(3),
        wait=wait_exponential_jitter(multiplier=0.05, max=0.5),
        reraise=True,
    )
