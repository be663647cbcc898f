"""Execute an order: sign, claim, POST, resolve.

    trade ─▶ sign ─▶ CLAIM ─▶ POST ─▶ resolve ─▶ ledger, decision
            order id     │        │
            known here   └────────┴─ nothing else is awaited in between

Invariants: 1 (the claim, with the order id in it, is durable before the POST), 2 (every limit is in
the claim's one condition), 3 (one POST an intent, ever), 4 (only a proven rejection releases), 6
(the book's age is checked again right before the claim and before the POST, and before the claim
also whether a later feeder has spoken about its market meanwhile, whether listing and CLOB still
agree about it, and how long it still runs; before the POST, that it has not ended). What has passed
since the book was delivered is asked of a clock that nobody can set back, too, and so is when the
claim is made: one that seems older than it is would be given up too soon, and its cooldown be over.

A crash after the claim and before the resolve leaves a claim in state `claimed`: its exposure
stays reserved, and its order id is what reconciliation asks the venue about.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import Final

import structlog

from functions.account_metrics import AccountMetrics
from functions.core.account import ClaimRefusal, Limits, next_pause, pauses
from functions.core.claim import Claim, ClaimState
from functions.core.collective import CollectiveLimits
from functions.core.configuration import Configuration
from functions.core.fencing import Fence
from functions.core.gate import GateConfig
from functions.core.hold import HoldReason
from functions.core.lifecycle import TEXT_LENGTH_MAX, apply_answer
from functions.core.refusal_cache import RefusalCache
from functions.core.trade import Trade
from functions.handlers.apply_evidence import apply_evidence
from functions.handlers.follow_group import GroupFollower
from functions.handlers.report_decisions import DecisionReporter, timeline_of
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import (
    ClaimRefused,
    Exchange,
    PreparedOrder,
    Store,
    StoreError,
    UnpreparableOrderError,
)
from protocol.decision import Timeline
from protocol.side import Side
from protocol.snapshot import BookSnapshot
from protocol.units import PRICE_SCALE
from runtime.instant import Instant
from runtime.line_throttle import LineThrottle
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason, Unknown

# By hand: a retrying library took a quarter of the processor time after the POST, and nearly every
# first try succeeds.
RESOLVE_TRIES: Final = 3
RESOLVE_PAUSE_MAX_S: Final = 0.5
_log = structlog.get_logger()


class OrderExecutor:
    """The use case with its collaborators; `fence`, `verifier` and `refusals` are shared with the
    evaluator."""

    def __init__(
        self,
        *,
        store: Store,
        exchange: Exchange,
        fence: Fence,
        verifier: MarketVerifier,
        refusals: RefusalCache,
        reporter: DecisionReporter,
        metrics: AccountMetrics,
        config_changed: Callable[[], None] = lambda: None,
        group: GroupFollower | None = None,
    ) -> None:
        """`config_changed`: called when a claim is refused because another one is in force.
        `group`: of the account's group, which may have collective limits."""
        self._store = store
        self._exchange = exchange
        self._fence = fence
        self._verifier = verifier
        self._refusals = refusals
        self._reporter = reporter
        self._metrics = metrics
        self._config_changed = config_changed
        self._group = group
        self._another_group = LineThrottle()

    async def execute(
        self,
        snapshot: BookSnapshot,
        trade: Trade,
        delivered: Instant,
        configuration: Configuration,
    ) -> None:
        """Sign, claim, POST, resolve; under `configuration`, which it was decided under. Every end
        is reported, but for cancellation and a defect: an exception of an adapter that
        `functions.ports` does not name is raised, except in the POST, after which the claim is
        unknown."""
        timeline = timeline_of(snapshot, delivered.epoch_ns, delivered.now_ns())
        answer: Answer | None = None
        try:
            answer = await self._order(snapshot, trade, timeline, delivered, configuration)
        finally:
            self._metrics.observe_order(timeline)
        if isinstance(answer, Rejected) and pauses(answer.reason):
            await self._pause(answer.reason, delivered, answer.retry_after_ms)
        elif isinstance(answer, Unknown) and answer.concerns is not None:
            await self._pause(answer.concerns, delivered)

    async def _order(
        self,
        snapshot: BookSnapshot,
        trade: Trade,
        timeline: Timeline,
        delivered: Instant,
        configuration: Configuration,
    ) -> Answer | None:
        """The venue's answer, None when there was no POST. Fills in the timeline as it goes."""
        if trade.side is not Side.BUY:  # the limits and a claim's life are a buyer's
            self._metrics.unpreparable.inc()
            self._reporter.refused(snapshot, trade, "unpreparable", timeline, "only BUY is built")
            return None
        try:
            order = await self._exchange.prepare(trade, snapshot)
        except UnpreparableOrderError as error:
            self._metrics.unpreparable.inc()
            self._reporter.refused(snapshot, trade, "unpreparable", timeline, str(error))
            return None
        timeline.signed_at_ns = delivered.now_ns()
        # Signing is fast, but a cold market makes the client fetch metadata first (invariant 6).
        doubt = self._doubt(snapshot, timeline.signed_at_ns, configuration.gate)
        if doubt is not None:
            self._metrics.holds[doubt].inc()
            self._reporter.refused(snapshot, trade, doubt.value, timeline)
            return None

        collective = None if self._group is None else self._group.now
        claim = _claim_of(snapshot, trade, order, timeline.signed_at_ns // 1_000_000, collective)
        limits, gate = configuration.limits, configuration.gate
        if not await self._claim(snapshot, trade, claim, timeline, delivered, limits, collective):
            return None
        answer = await self._post(order, snapshot, timeline.claimed_at_ns, gate)
        timeline.answered_at_ns = delivered.now_ns()
        self._count_answer(answer, trade)

        resolved = await self._resolve(claim, answer, timeline, delivered)
        self._reporter.executed(snapshot, trade, resolved, _outcome_of(answer), timeline)
        return answer

    async def _claim(
        self,
        snapshot: BookSnapshot,
        trade: Trade,
        claim: Claim,
        timeline: Timeline,
        delivered: Instant,
        limits: Limits,
        collective: CollectiveLimits | None,
    ) -> bool:
        now_ms = claim.claimed_at_ms
        try:
            result = await self._store.claim(claim, limits, now_ms, collective)
        except StoreError as error:
            # Perhaps written, perhaps not: then it is a reserved exposure without an order, which
            # reconciliation releases. Posting without a claim that is known to be ours is not an
            # option (invariant 1).
            self._metrics.store_errors.inc()
            self._reporter.refused(snapshot, trade, "store_error", timeline, str(error))
            return False
        timeline.claimed_at_ns = delivered.now_ns()
        if isinstance(result, ClaimRefused):
            self._metrics.claims_refused[result.reason].inc()
            self._refusals.learn_refused(result.reason, result.account, claim.condition_id, now_ms)
            self._reporter.refused(snapshot, trade, result.reason.value, timeline)
            if result.reason is ClaimRefusal.CONFIG_CHANGED:
                self._config_changed()
            if result.reason is ClaimRefusal.COLLECTIVE_CHANGED and self._group is not None:
                self._group.look()
                counted_by = "" if result.account is None else result.account.collective
                if counted_by not in ("", self._group.name):
                    self._tell_of_another_group(counted_by)
            if result.reason is ClaimRefusal.NO_ACCOUNT:
                _log.error("no_account", strategy=self._reporter.account_name)
            return False
        self._refusals.learn_claimed(claim.condition_id, now_ms + limits.cooldown_ms, now_ms)
        return True

    def _tell_of_another_group(self, counted_by: str) -> None:
        """It stays so until a person mends it, and each refused claim shows it again."""
        if (unlogged := self._another_group.admit()) is not None:
            _log.error(
                "of_another_group",
                account=self._reporter.account_name,
                group=counted_by,
                unlogged_before=unlogged,
            )

    async def _post(
        self, order: PreparedOrder, snapshot: BookSnapshot, now_ns: int, gate: GateConfig
    ) -> Answer:
        """POST once, unless the claim took so long that the book is no longer fresh, or its market
        has ended."""
        excess_ms = _age_excess_ms(snapshot, now_ns, gate)
        over_ms = now_ns // 1_000_000 - snapshot.market.end_ms
        if excess_ms > 0 or over_ms >= 0:
            why = f"the book was {excess_ms} ms over its age limit"
            if over_ms >= 0:
                why = f"the market ended {over_ms} ms ago"
            text = f"the claim took too long: {why}"
            return Rejected(reason=RejectReason.TOO_LATE, text=text)
        try:
            return await self._exchange.post(order)
        except asyncio.CancelledError:
            _log.error("order_abandoned", order=order.order_id)
            raise
        except Exception as error:  # noqa: BLE001 - an adapter's bug proves nothing about the order
            _log.critical("post_failed", order=order.order_id, exc_info=error)
            return Unknown(text=f"{type(error).__name__}: {error}"[:TEXT_LENGTH_MAX])

    def _doubt(self, snapshot: BookSnapshot, now_ns: int, gate: GateConfig) -> HoldReason | None:
        """What has happened to the book, or its market, since it was decided on."""
        if self._fence.fenced(snapshot):
            return HoldReason.SUPERSEDED
        unconfirmed = self._verifier.doubt(snapshot.market)
        if unconfirmed is not None:
            return unconfirmed.reason
        if _age_excess_ms(snapshot, now_ns, gate) > 0:
            return HoldReason.STALE_BOOK
        if snapshot.market.end_ms - now_ns // 1_000_000 < gate.time_to_close_min_ms:
            return HoldReason.TOO_CLOSE_TO_END
        return None

    async def _resolve(
        self, claim: Claim, answer: Answer, timeline: Timeline, delivered: Instant
    ) -> Claim:
        """Apply the answer to the claim; it is idempotent, so it is tried again."""
        now_ms = timeline.answered_at_ns // 1_000_000

        def step(seen: Claim) -> Claim | None:
            return apply_answer(seen, answer, now_ms, timeline)

        stored = None
        for tries_left in reversed(range(RESOLVE_TRIES)):
            try:
                stored = await apply_evidence(self._store, claim, step)
            except StoreError as error:
                if tries_left:
                    await asyncio.sleep(random.uniform(0.05, RESOLVE_PAUSE_MAX_S))  # noqa: S311 - jitter
                    continue
                # The claim stays as it is, so its exposure stays reserved and its order id known:
                # reconciliation will find out what this worker knows.
                self._metrics.store_errors.inc()
                _log.error(
                    "not_recorded", intent=claim.intent_id, order=claim.order_id, error=str(error)
                )
            else:
                timeline.resolved_at_ns = delivered.now_ns()
            break
        return stored or step(claim) or claim

    async def _pause(self, reason: RejectReason, delivered: Instant, asked_ms: int = 0) -> None:
        """The venue refuses the account, not this order: no worker should ask again too soon."""
        self._metrics.pauses[reason].inc()
        if reason is RejectReason.MAKER_NOT_ALLOWED:
            _log.critical("maker_not_allowed", hint="WALLET: the venue wants a deposit wallet")
        try:
            seen = (await self._store.account()).pause
            now_ms = delivered.now_ns() // 1_000_000
            pause = next_pause(seen, reason, now_ms, asked_ms=asked_ms)
            if pause != seen and await self._store.set_pause(pause, seen):
                _log.warning(
                    "account_paused", reason=reason.value, for_ms=pause.until_ms - pause.since_ms
                )
        except StoreError as error:
            self._metrics.store_errors.inc()
            _log.warning("not_paused", reason=reason.value, error=str(error))
        if reason is RejectReason.NOT_ENOUGH_BALANCE:
            await self._exchange.refresh_balance()

    def _count_answer(self, answer: Answer, trade: Trade) -> None:
        metrics = self._metrics
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
            if answer.implausible:
                metrics.order_id_mismatch.inc()
                _log.critical("implausible_answer", text=answer.text)


def _age_excess_ms(snapshot: BookSnapshot, now_ns: int, gate: GateConfig) -> int:
    return (now_ns - snapshot.received_at_ns) // 1_000_000 - gate.book_age_max_ms


def _claim_of(
    snapshot: BookSnapshot,
    trade: Trade,
    order: PreparedOrder,
    now_ms: int,
    collective: CollectiveLimits | None,
) -> Claim:
    market, ids = snapshot.market, os.urandom(32).hex()
    return Claim(
        intent_id=ids[:32],
        attempt_id=ids[32:],
        order_id=order.order_id,
        trader=order.trader,
        condition_id=market.condition_id,
        slug=market.slug,
        token_id=trade.token_id,
        outcome=trade.outcome,
        side=trade.side,
        state=ClaimState.CLAIMED,
        max_price_e4=trade.max_price_e4,
        spend_e6=order.spend_e6,
        fee_rate=str(market.fee.rate),
        fee_exponent=market.fee.exponent,
        salt=order.salt,
        order_timestamp_ms=order.order_timestamp_ms,
        claimed_at_ms=now_ms,
        market_end_ms=market.end_ms,
        counted=True,
        config_version=trade.config_version,
        collective="" if collective is None else collective.name,
    )


def _outcome_of(answer: Answer) -> str:
    if isinstance(answer, Accepted):
        return answer.status
    return answer.reason.value if isinstance(answer, Rejected) else "unknown"
