"""The evaluator and the executor of one worker, composed as `functions.worker` does."""

from __future__ import annotations

from collections.abc import Callable

from functions.core.account import Limits
from functions.core.book_imbalance import book_imbalance_crypto
from functions.core.fencing import Fence
from functions.core.gate import GateConfig
from functions.core.refusal_cache import RefusalCache
from functions.core.strategy import OrderConfig, Strategy
from functions.handlers.evaluate import Evaluator
from functions.handlers.execute import OrderExecutor
from functions.handlers.report_decisions import DecisionReporter
from functions.ports import Exchange, Store
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision


def hot_path(
    *,
    gate: GateConfig,
    limits: Limits,
    store: Store,
    exchange: Exchange,
    publish: Callable[[Decision], None],
    metrics: WorkerMetrics,
    strategy: Strategy = book_imbalance_crypto,
) -> tuple[Evaluator, OrderExecutor]:
    """Both, with one fence and one refusal cache between them."""
    fence, refusals = Fence(), RefusalCache()
    reporter = DecisionReporter(
        account_name="s", worker="w", publish=publish, refusal_window_ms=limits.cooldown_ms
    )
    evaluator = Evaluator(
        strategy=strategy,
        gate=gate,
        order=OrderConfig(),
        fence=fence,
        refusals=refusals,
        reporter=reporter,
        metrics=metrics,
    )
    executor = OrderExecutor(
        limits=limits,
        book_age_max_ms=gate.book_age_max_ms,
        store=store,
        exchange=exchange,
        fence=fence,
        refusals=refusals,
        reporter=reporter,
        metrics=metrics,
    )
    return evaluator, executor
