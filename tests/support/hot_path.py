"""The evaluator and the executor of one worker, composed as `functions.worker` does."""

from __future__ import annotations

from collections.abc import Callable

from functions.core.account import Limits
from functions.core.clock_doubt import ClockDoubt
from functions.core.fencing import Fence
from functions.core.gate import GateConfig
from functions.core.refusal_cache import RefusalCache
from functions.core.trade import OrderConfig
from functions.handlers.evaluate import Evaluator
from functions.handlers.execute import OrderExecutor
from functions.handlers.report_decisions import DecisionReporter
from functions.handlers.verify_markets import Doubt, MarketVerifier
from functions.ports import Exchange, RecordsError, Store
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision
from protocol.market import MarketInfo
from strategies.book_imbalance import BookImbalance
from strategies.interface import Strategy
from venue.wire.clob_market import ClobMarket


class SilentClob:
    """`ClobMarkets` that nobody should ask."""

    async def market(self, condition_id: str) -> ClobMarket:
        raise RecordsError(f"{condition_id}: nobody answers")

    async def close(self) -> None:
        pass


class TrustingVerifier(MarketVerifier):
    """Takes every listing for the truth, without asking."""

    def doubt(self, market: MarketInfo) -> Doubt | None:
        return None

    async def verify(self, market: MarketInfo) -> None:
        pass


def hot_path(
    *,
    gate: GateConfig,
    limits: Limits,
    store: Store,
    exchange: Exchange,
    publish: Callable[[Decision], None],
    metrics: WorkerMetrics,
    strategy: type[Strategy] = BookImbalance,
    verifier: MarketVerifier | None = None,
    fence: Fence | None = None,
) -> tuple[Evaluator, OrderExecutor]:
    """Both, with one fence and one refusal cache between them; any market is trusted unless a
    verifier is given."""
    fence, refusals = fence or Fence(), RefusalCache()
    verifier = verifier or TrustingVerifier(SilentClob(), metrics)
    reporter = DecisionReporter(
        account_name="s", worker="w", publish=publish, refusal_window_ms=limits.cooldown_ms
    )
    evaluator = Evaluator(
        strategy=strategy,
        parameters=strategy.Parameters(),
        gate=gate,
        order=OrderConfig(),
        clock_doubt=ClockDoubt(),
        verifier=verifier,
        refusals=refusals,
        reporter=reporter,
        metrics=metrics,
    )
    executor = OrderExecutor(
        limits=limits,
        gate=gate,
        store=store,
        exchange=exchange,
        fence=fence,
        verifier=verifier,
        refusals=refusals,
        reporter=reporter,
        metrics=metrics,
    )
    return evaluator, executor
