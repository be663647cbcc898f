"""What the scheduled functions export to Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from functions.handlers.reconcile import ReconcileReport
from functions.handlers.redeem import WEI
from functions.handlers.settle import SettleReport

_LABEL: Final = "strategy"


class ScheduleMetrics:
    """One registry a process."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        families = _Families(self.registry)
        self.accounts = {account: AccountScheduleMetrics(families, account) for account in accounts}


class _Families:
    """The metrics of all accounts, under the label `strategy` (the account's name)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"schedule_{name}", text, [*labels, _LABEL], registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"schedule_{name}", text, [_LABEL], registry=registry)

        self.runs = counter("runs", "Runs, by function and result", "name", "result")
        self.looked = counter("claims_looked", "Claims asked about")
        self.resolved = counter("claims_resolved", "Claims resolved")
        self.settled = counter("claims_settled", "Positions settled")
        self.failures = counter("failures", "Claims or questions without an answer")
        self.overdue = gauge("claims_overdue", "ALARM: claims unresolved for too long")
        self.mismatches = gauge("position_mismatches", "ALARM: tokens whose position differs")
        self.strangers = gauge(
            "claims_of_another_trader", "ALARM: claims of another account than these credentials"
        )
        self.unresolved = gauge(
            "claims_unresolved_30s", "ALARM: claims claimed or unknown for more than 30 s"
        )
        self.halted = gauge("halted", "1 while trading is halted")
        self.daily_loss_reached = gauge(
            "daily_loss_reached", "ALARM: 1 once today's loss is at its limit"
        )
        self.slots_used = gauge("slots_used", "Claims that the account holds")
        self.pnl_today = gauge("pnl_today_usd", "P&L of the UTC day")
        self.spent_today = gauge("spent_today_usd", "Spent on the UTC day")
        self.redeeming = gauge("redeeming", "Markets with winnings to redeem")
        self.unsettled = gauge(
            "claims_unsettled", "ALARM: claims that are live an hour after their market's end"
        )
        self.redemptions_stuck = gauge(
            "redemptions_stuck", "ALARM: markets whose winnings were asked for in vain"
        )
        self.winnings_not_noted = counter("winnings_not_noted", "Winnings that are never asked for")
        self.redeem_requests = counter("redeem_requests", "Requests to redeem")
        self.redeem_reverted = counter("redeem_reverted", "Transactions that the chain has refused")
        self.redeem_gas = counter("redeem_gas_pol", "Gas that our own transactions have cost")
        self.group_exposure = gauge(
            "group_exposure_usd",
            "At stake in the live claims of the group, if this one looks at it",
        )
        self.group_pnl_today = gauge(
            "group_pnl_today_usd", "P&L of the UTC day of all accounts of the group, likewise"
        )
        self.group_difference = gauge(
            "group_difference_usd", "ALARM: the group's exposure less what its claims add up to"
        )


class AccountScheduleMetrics:
    """Of one account."""

    def __init__(self, of: _Families, account: str) -> None:
        self.runs = {
            (name, result): of.runs.labels(name, result, account)
            for name in ("reconcile", "settle")
            for result in ("done", "failed")
        }
        self.looked = of.looked.labels(account)
        self.resolved = of.resolved.labels(account)
        self.settled = of.settled.labels(account)
        self.failures = of.failures.labels(account)
        self.overdue = of.overdue.labels(account)
        self.mismatches = of.mismatches.labels(account)
        self.strangers = of.strangers.labels(account)
        self.unresolved = of.unresolved.labels(account)
        self.halted = of.halted.labels(account)
        self.daily_loss_reached = of.daily_loss_reached.labels(account)
        self.slots_used = of.slots_used.labels(account)
        self.pnl_today = of.pnl_today.labels(account)
        self.spent_today = of.spent_today.labels(account)
        self.redeeming = of.redeeming.labels(account)
        self.unsettled = of.unsettled.labels(account)
        self.redemptions_stuck = of.redemptions_stuck.labels(account)
        self.winnings_not_noted = of.winnings_not_noted.labels(account)
        self.redeem_requests = of.redeem_requests.labels(account)
        self.redeem_reverted = of.redeem_reverted.labels(account)
        self.redeem_gas = of.redeem_gas.labels(account)
        self.group_exposure = of.group_exposure.labels(account)
        self.group_pnl_today = of.group_pnl_today.labels(account)
        self.group_difference = of.group_difference.labels(account)

    def after_reconciling(self, report: ReconcileReport, daily_loss_limit_e6: int | None) -> None:
        """After a run of `reconcile`; the limit is the account's, None where nobody knows it."""
        self.looked.inc(report.looked)
        self.resolved.inc(report.resolved)
        self.failures.inc(report.failures)
        self.overdue.set(len(report.overdue))
        self.strangers.set(len(report.strangers))
        if not report.incomplete:
            self.mismatches.set(len(report.mismatches))
        self.unresolved.set(report.unresolved)
        self.halted.set(report.halted)
        self.slots_used.set(report.slots_used)
        self.pnl_today.set(report.pnl_today_e6 / 1e6)
        self.spent_today.set(report.spent_today_e6 / 1e6)
        if daily_loss_limit_e6 is not None:
            self.daily_loss_reached.set(report.pnl_today_e6 <= -daily_loss_limit_e6)
        if report.group_exposure_e6 is not None:
            self.group_exposure.set(report.group_exposure_e6 / 1e6)
            self.group_pnl_today.set(report.group_pnl_today_e6 / 1e6)
        if report.group_difference_e6 is not None:
            self.group_difference.set(report.group_difference_e6 / 1e6)

    def after_settling(self, report: SettleReport) -> None:
        """After a run of `settle`."""
        self.settled.inc(report.settled)
        self.failures.inc(report.failures)
        self.redeeming.set(report.redeeming)
        self.unsettled.set(len(report.unsettled))
        self.redemptions_stuck.set(len(report.stuck))
        self.winnings_not_noted.inc(report.not_noted)
        self.redeem_requests.inc(report.requests)
        self.redeem_reverted.inc(report.reverted)
        self.redeem_gas.inc(report.gas_wei / WEI)
