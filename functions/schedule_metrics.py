"""What the scheduled functions export to Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from functions.handlers.reconcile import ReconcileReport
from functions.handlers.redeem import WEI
from functions.handlers.settle import SettleReport


class ScheduleMetrics:
    """What the scheduled functions export."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        runs = Counter(
            "schedule_runs", "Runs, by function and result", ["name", "result"], registry=r
        )
        self.runs = {
            (name, result): runs.labels(name, result)
            for name in ("reconcile", "settle")
            for result in ("done", "failed")
        }
        self.looked = Counter("schedule_claims_looked", "Claims asked about", registry=r)
        self.resolved = Counter("schedule_claims_resolved", "Claims resolved", registry=r)
        self.settled = Counter("schedule_claims_settled", "Positions settled", registry=r)
        self.failures = Counter(
            "schedule_failures", "Claims or questions without an answer", registry=r
        )
        self.overdue = Gauge(
            "schedule_claims_overdue", "ALARM: claims unresolved for too long", registry=r
        )
        self.mismatches = Gauge(
            "schedule_position_mismatches", "ALARM: tokens whose position differs", registry=r
        )
        self.strangers = Gauge(
            "schedule_claims_of_another_trader",
            "ALARM: claims of another account than these credentials",
            registry=r,
        )
        self.unresolved = Gauge(
            "schedule_claims_unresolved_30s",
            "ALARM: claims claimed or unknown for more than 30 s",
            registry=r,
        )
        self.halted = Gauge("schedule_halted", "1 while trading is halted", registry=r)
        self.daily_loss_reached = Gauge(
            "schedule_daily_loss_reached", "ALARM: 1 once today's loss is at its limit", registry=r
        )
        self.slots_used = Gauge("schedule_slots_used", "Claims that the account holds", registry=r)
        self.pnl_today = Gauge("schedule_pnl_today_usd", "P&L of the UTC day", registry=r)
        self.spent_today = Gauge("schedule_spent_today_usd", "Spent on the UTC day", registry=r)
        self.redeeming = Gauge("schedule_redeeming", "Markets with winnings to redeem", registry=r)
        self.unsettled = Gauge(
            "schedule_claims_unsettled",
            "ALARM: claims that are live an hour after their market's end",
            registry=r,
        )
        self.redemptions_stuck = Gauge(
            "schedule_redemptions_stuck",
            "ALARM: markets whose winnings were asked for in vain",
            registry=r,
        )
        self.winnings_not_noted = Counter(
            "schedule_winnings_not_noted", "Winnings that are never asked for", registry=r
        )
        self.redeem_requests = Counter("schedule_redeem_requests", "Requests to redeem", registry=r)
        self.redeem_reverted = Counter(
            "schedule_redeem_reverted", "Transactions that the chain has refused", registry=r
        )
        self.redeem_gas = Counter(
            "schedule_redeem_gas_pol", "Gas that our own transactions have cost", registry=r
        )

        self.group_exposure = Gauge(
            "schedule_group_exposure_usd", "At stake in the group's live claims", registry=r
        )
        self.group_pnl_today = Gauge(
            "schedule_group_pnl_today_usd", "P&L of the UTC day of all its accounts", registry=r
        )
        self.group_difference = Gauge(
            "schedule_group_difference_usd",
            "ALARM: the group's exposure less what its claims add up to",
            registry=r,
        )

    def after_reconciling(self, report: ReconcileReport, daily_loss_limit_e6: int) -> None:
        """After a run of `reconcile`; the limit is the account's."""
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
