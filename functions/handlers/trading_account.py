"""One account as a worker trades it: its configuration, what decides for it and what orders for it.

A worker may hold several: they share `WorkerParts`, and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from functions.account_metrics import AccountMetrics
from functions.core.clock_doubt import ClockDoubt
from functions.core.configuration import Configuration
from functions.core.fencing import Fence
from functions.core.refusal_cache import RefusalCache
from functions.handlers.evaluate import Evaluator
from functions.handlers.execute import OrderExecutor
from functions.handlers.follow_configuration import ConfigurationFollower, ConfigurationInForce
from functions.handlers.follow_group import GroupFollower
from functions.handlers.report_decisions import DecisionReporter
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import Exchange, Store
from functions.worker_metrics import WorkerMetrics
from protocol.decision import Decision
from strategies.interface import Strategy


@dataclasses.dataclass(frozen=True)
class OpenedAccount:
    """What an account consists of outside: where its claims live, where its orders go, and what it
    may do. `in_force.now` is taken once a book: what decides and what orders are given the same.

    Accounts of one wallet have the same exchange, which no other has.
    """

    name: str
    strategy: type[Strategy]
    store: Store
    exchange: Exchange
    in_force: ConfigurationInForce
    group: GroupFollower | None = None
    """Of the group whose collective limits bind it, which its accounts in this worker share."""
    wallet: str = ""
    """Whose trades its fills are; empty on paper."""
    problem_of_store: Callable[[], str | None] = lambda: None
    """Why its store does not answer, for a person."""


@dataclasses.dataclass(frozen=True)
class WorkerParts:
    """What all accounts of a worker share."""

    name: str
    fence: Fence
    clock_doubt: ClockDoubt
    verifier: MarketVerifier
    metrics: WorkerMetrics


@dataclasses.dataclass(frozen=True)
class TradingAccount:
    """An opened account, and what decides and orders for it."""

    opened: OpenedAccount
    follower: ConfigurationFollower
    evaluator: Evaluator
    executor: OrderExecutor
    metrics: AccountMetrics

    @property
    def name(self) -> str:
        """Of the account."""
        return self.opened.name

    @property
    def configuration(self) -> Configuration:
        """The one in force, as far as this worker knows."""
        return self.opened.in_force.now


def trading_account(
    opened: OpenedAccount, worker: WorkerParts, publish: Callable[[Decision], None]
) -> TradingAccount:
    """Compose it."""
    refusals, in_force = RefusalCache(), opened.in_force
    metrics = worker.metrics.accounts[opened.name]
    reporter = DecisionReporter(
        account_name=opened.name,
        worker=worker.name,
        publish=publish,
        refusal_window_ms=in_force.now.limits.cooldown_ms,
    )
    follower = ConfigurationFollower(
        opened.store,
        in_force,
        account_name=opened.name,
        parameters=opened.strategy.Parameters,
    )

    def changed(configuration: Configuration) -> None:
        refusals.forget_beliefs()
        reporter.set_refusal_window(configuration.limits.cooldown_ms)
        metrics.config_version.set(configuration.version)

    in_force.tell(changed)
    if opened.group is not None:
        opened.group.tell(refusals.forget_beliefs)
    evaluator = Evaluator(
        strategy=opened.strategy,
        clock_doubt=worker.clock_doubt,
        verifier=worker.verifier,
        refusals=refusals,
        reporter=reporter,
        metrics=metrics,
    )
    executor = OrderExecutor(
        store=opened.store,
        exchange=opened.exchange,
        fence=worker.fence,
        verifier=worker.verifier,
        refusals=refusals,
        reporter=reporter,
        metrics=metrics,
        config_changed=follower.look,
        group=opened.group,
    )
    return TradingAccount(
        opened=opened, follower=follower, evaluator=evaluator, executor=executor, metrics=metrics
    )
