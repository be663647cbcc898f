"""The evaluator and the executor of one worker, composed as `functions.worker` does."""

from __future__ import annotations

from collections.abc import Callable

from functions.core.account import Limits
from functions.core.clock_doubt import ClockDoubt
from functions.core.configuration import Configuration
from functions.core.fencing import Fence
from functions.core.gate import GateConfig
from functions.handlers.follow_configuration import ConfigurationInForce
from functions.handlers.follow_group import GroupFollower
from functions.handlers.trading_account import (
    OpenedAccount,
    TradingAccount,
    WorkerParts,
    trading_account,
)
from functions.handlers.verify_markets import Doubt, MarketVerifier
from functions.ports import Exchange, RecordsError, Store
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision
from protocol.market import MarketInfo
from strategies.book_imbalance import BookImbalance
from strategies.builtin import BUILTIN
from strategies.interface import Strategy
from tests.support.configuration_builders import a_configuration
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


def opened_account(
    store: Store, exchange: Exchange, configuration: Configuration | None = None, name: str = "s"
) -> OpenedAccount:
    """Of `book_imbalance_crypto`, unless the configuration is another strategy's."""
    configuration = configuration or a_configuration()
    in_force = ConfigurationInForce(configuration)
    return OpenedAccount(name, BUILTIN[configuration.strategy], store, exchange, in_force)


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
    group: GroupFollower | None = None,
) -> TradingAccount:
    """An account, with a fence of its own unless one is given; any market is trusted unless a
    verifier is given. Its configuration is of version 0, which an account without any takes."""
    in_force = ConfigurationInForce(a_configuration(limits=limits, gate=gate, strategy=strategy))
    verifier = verifier or TrustingVerifier(SilentClob(), metrics)
    return trading_account(
        OpenedAccount("s", strategy, store, exchange, in_force, group),
        WorkerParts("w", fence or Fence(), ClockDoubt(), verifier, metrics),
        publish,
    )
