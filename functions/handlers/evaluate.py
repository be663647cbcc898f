"""Evaluate a book: fence, gate, strategy, refusal cache. No await, no I/O.

    book ─▶ fence ─▶ gate ─▶ strategy ─▶ market verified? ─▶ refusal cache ─▶ a Trade for
    `functions.handlers.execute`

Invariants: 2 (the cache may only refuse; every limit is in the claim's one condition), 6 (the fence
and the gate stand before every strategy, so none can trade a superseded, dark, unproven or stale
book, or a market that is not open).
"""

from __future__ import annotations

import time
from typing import Final

import structlog

from functions.core.fencing import Fence
from functions.core.gate import GateConfig, hold_reason_of
from functions.core.hold import Hold, HoldReason, hold
from functions.core.refusal_cache import RefusalCache
from functions.core.strategy import OrderConfig, Strategy, Trade
from functions.handlers.report_decisions import DecisionReporter, timeline_of
from functions.handlers.verify_markets import MarketVerifier
from functions.worker_metrics import WorkerMetrics
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot
from protocol.subjects import BOOKS
from runtime.instant import Instant

SERIES_MAX: Final = 100
BEHIND_BELIEVED_MS: Final = BOOKS.max_age_s * 1_000
"""For so long after a book from the future nothing of its series is traded: one that has waited in
the stream for as long as this clock is behind looks as if it had just come."""
_log = structlog.get_logger()


class Evaluator:
    """The use case with its collaborators; `fence`, `verifier` and `refusals` are shared with the
    executor."""

    def __init__(
        self,
        *,
        strategy: Strategy,
        gate: GateConfig,
        order: OrderConfig,
        fence: Fence,
        verifier: MarketVerifier,
        refusals: RefusalCache,
        reporter: DecisionReporter,
        metrics: WorkerMetrics,
    ) -> None:
        self._strategy = strategy
        self._gate = gate
        self._order = order
        self._fence = fence
        self._verifier = verifier
        self._refusals = refusals
        self._reporter = reporter
        self._metrics = metrics
        self._too_short: set[str] = set()
        """Series, told of once."""
        self._behind: dict[str, int] = {}
        """Series -> until when its books are not believed (ms, monotonic), the latest last."""

    def note_market(self, market: MarketInfo) -> None:
        """Of a market that is new here: say where the gate lets none of its series through."""
        window_ms, wanted_ms = market.end_ms - market.start_ms, self._gate.time_to_close_min_ms
        if window_ms > wanted_ms or market.series in self._too_short:
            return
        if len(self._too_short) < SERIES_MAX:
            self._too_short.add(market.series)
            _log.warning(
                "series_never_traded",
                series=market.series,
                window_s=window_ms / 1000,
                min_time_to_close_s=wanted_ms / 1000,
            )

    def admit(self, snapshot: BookSnapshot) -> bool:
        """Note a snapshot as it comes; False, counted, when a newer one of its market has come."""
        if self._fence.admits(snapshot, time.monotonic_ns() // 1_000_000):
            return True
        self._metrics.holds[HoldReason.SUPERSEDED].inc()
        return False

    def consider(self, snapshot: BookSnapshot, delivered: Instant) -> Trade | None:
        """Decide on one book, without awaiting anything. A Trade is to be executed at once."""
        started_ns = delivered.now_ns()
        now_ms = started_ns // 1_000_000
        reason = hold_reason_of(snapshot, self._gate, now_ms)
        if reason is HoldReason.CLOCK_BEHIND:
            self._note_behind(snapshot.market.series)
        elif reason is None and self._behind and self._is_behind(snapshot.market.series):
            reason = HoldReason.CLOCK_BEHIND
        if reason is not None:
            decision: Trade | Hold = hold(reason)
        else:
            decision = self._strategy(snapshot, self._order, now_ms)
        ended_ns = delivered.now_ns()
        metrics = self._metrics
        metrics.books.inc()
        metrics.book_age.observe((started_ns - snapshot.received_at_ns) / 1e9)
        metrics.decide.observe((ended_ns - started_ns) / 1e9)
        if isinstance(decision, Hold):
            metrics.holds[decision.reason].inc()
            return None
        if self._doubted(snapshot, decision, delivered, ended_ns):
            return None
        if self._foreseen(snapshot, decision, delivered, ended_ns):
            return None
        return decision

    def _note_behind(self, series: str) -> None:
        """A series has one feeder at a time, another one another clock."""
        self._behind.pop(series, None)
        if len(self._behind) >= SERIES_MAX:
            del self._behind[next(iter(self._behind))]
        self._behind[series] = time.monotonic_ns() // 1_000_000 + BEHIND_BELIEVED_MS

    def _is_behind(self, series: str) -> bool:
        if time.monotonic_ns() // 1_000_000 < self._behind.get(series, 0):
            return True
        self._behind.pop(series, None)
        return False

    def _doubted(
        self, snapshot: BookSnapshot, trade: Trade, delivered: Instant, decided_at_ns: int
    ) -> bool:
        """Whether the CLOB does not confirm this market; then the signal is reported as refused."""
        doubt = self._verifier.doubt(snapshot.market)
        if doubt is None:
            return False
        self._metrics.holds[doubt.reason].inc()
        timeline = timeline_of(snapshot, delivered.epoch_ns, decided_at_ns)
        self._reporter.refused(snapshot, trade, doubt.reason.value, timeline, doubt.text)
        return True

    def _foreseen(
        self, snapshot: BookSnapshot, trade: Trade, delivered: Instant, decided_at_ns: int
    ) -> bool:
        """Whether the claim would be refused, as far as this worker knows; then it is reported."""
        condition_id = snapshot.market.condition_id
        refusal = self._refusals.refusal(condition_id, decided_at_ns // 1_000_000)
        if refusal is None:
            return False
        self._metrics.refused_from_cache[refusal].inc()
        timeline = timeline_of(snapshot, delivered.epoch_ns, decided_at_ns)
        self._reporter.refused(snapshot, trade, refusal.value, timeline)
        return True
