"""What becomes of each signal, reported: one decision to publish and one line in the log."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Literal

import msgspec
import structlog

from functions.core.claim import Claim
from functions.core.lifecycle import TEXT_LENGTH_MAX
from functions.core.refusal_throttle import RefusalThrottle
from functions.core.trade import Trade
from protocol.decision import Decision, Timeline
from protocol.snapshot import BookSnapshot
from runtime.instant import Instant
from strategies.memory import digest_of
from strategies.seen_books import SeenBooks, seen_text

REFUSAL_WINDOW_MIN_MS: Final = 1_000
"""With a cooldown of zero (benchmarks) a refusal is still reported at most once a second."""
_log = structlog.get_logger()


class DecisionReporter:
    """Reports executed and refused signals. `publish` must not block or raise."""

    def __init__(
        self,
        *,
        account_name: str,
        worker: str,
        publish: Callable[[Decision], None],
        refusal_window_ms: int,
    ) -> None:
        self.account_name = account_name
        self._worker = worker
        self._publish = publish
        self._throttle = RefusalThrottle(max(refusal_window_ms, REFUSAL_WINDOW_MIN_MS))

    def set_refusal_window(self, window_ms: int) -> None:
        """Within this a refusal that repeats is counted, not reported."""
        self._throttle.set_window(max(window_ms, REFUSAL_WINDOW_MIN_MS))

    def refused(
        self, snapshot: BookSnapshot, trade: Trade, reason: str, timeline: Timeline, text: str = ""
    ) -> None:
        """A signal that led to no order; repeats within the window are counted only."""
        decided_at_ms = timeline.decided_at_ns // 1_000_000
        repeats = self.repeats(snapshot, trade.outcome, reason, decided_at_ms)
        if repeats is not None:
            self._report_refused(snapshot, trade, reason, timeline, text, repeats)

    def foreseen(
        self,
        snapshot: BookSnapshot,
        trade: Trade,
        reason: str,
        delivered: Instant,
        repeats: int,
        text: str = "",
    ) -> None:
        """The same of one that is refused as soon as it was decided on, which `repeats` was asked
        about."""
        timeline = timeline_of(snapshot, delivered.epoch_ns, delivered.now_ns())
        self._report_refused(snapshot, trade, reason, timeline, text, repeats)

    def repeats(self, snapshot: BookSnapshot, outcome: str, reason: str, now_ms: int) -> int | None:
        """Of a refusal at `now_ms` (epoch). None: it is counted only, as it is for hundreds of
        books in a row. Otherwise it is to be reported, and how many before it were not."""
        return self._throttle.admit((snapshot.market.condition_id, outcome, reason), now_ms)

    def _report_refused(
        self,
        snapshot: BookSnapshot,
        trade: Trade,
        reason: str,
        timeline: Timeline,
        text: str,
        repeats: int,
    ) -> None:
        decision = self._decision(snapshot, trade, "refused", reason, timeline)
        text = text[:TEXT_LENGTH_MAX]
        self._report(msgspec.structs.replace(decision, text=text, repeats=repeats))

    def executed(
        self, snapshot: BookSnapshot, trade: Trade, claim: Claim, answer: str, timeline: Timeline
    ) -> None:
        """An order with its answer; `claim` is what is known of it now."""
        decision = self._decision(snapshot, trade, "executed", answer, timeline)
        self._report(
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
            decision_id=os.urandom(16).hex(),
            strategy=self.account_name,
            worker=self._worker,
            condition_id=snapshot.market.condition_id,
            slug=snapshot.market.slug,
            outcome=trade.outcome,
            side=trade.side,
            token_id=trade.token_id,
            result=result,
            reason=reason,
            config_version=trade.config_version,
            numbers=trade.numbers,
            edge_after_costs_ticks=trade.edge_after_costs_ticks,
            imbalance=max(-1.0, min(float(trade.numbers.get("imbalance", 0)), 1.0)),
            signal_price_e4=trade.signal_price_e4,
            max_price_e4=trade.max_price_e4,
            spend_e6=trade.spend_e6,
            asked_at_ms=trade.asked_at_ms,
            decided_at_ms=timeline.decided_at_ns // 1_000_000,
            timeline=timeline,
            memory_rows=len(trade.seen),
            memory_digest=digest_of(trade.seen, trade.start) if trade.seen else "",
            memory_versions=seen_text(
                SeenBooks(
                    rows=tuple([(row.epoch, row.sequence) for row in trade.seen]),
                    start=None if trade.start is None else trade.start.version,
                    decided=(snapshot.epoch, snapshot.sequence),
                )
            ),
            market=trade.traded_as,
        )

    def _report(self, decision: Decision) -> None:
        self._publish(decision)
        _log.info(
            decision.result,
            market=decision.slug,
            outcome=decision.outcome,
            reason=decision.reason,
            numbers={name: round(number, 3) for name, number in decision.numbers.items()},
            edge_after_costs_ticks=round(decision.edge_after_costs_ticks, 2),
            signal_price_e4=decision.signal_price_e4,
            order=decision.order_id,
            state=decision.state,
            spend_e6=decision.filled_spend_e6,
            size_e6=decision.filled_size_e6,
            text=decision.text,
            repeats=decision.repeats,
        )


def timeline_of(snapshot: BookSnapshot, delivered_at_ns: int, decided_at_ns: int) -> Timeline:
    """The timeline of a decision on `snapshot`, as far as it has come by then."""
    return Timeline(
        received_at_ns=snapshot.received_at_ns,
        published_at_ns=snapshot.published_at_ns,
        delivered_at_ns=delivered_at_ns,
        decided_at_ns=decided_at_ns,
    )
