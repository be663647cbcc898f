"""The metrics of a worker with one account, `s`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from functions.account_metrics import AccountMetrics
from functions.schedule_metrics import AccountScheduleMetrics, ScheduleMetrics
from functions.worker_metrics import WorkerMetrics

ACCOUNT = "s"


def worker_metrics(reasons: Iterable[StrEnum] = ()) -> WorkerMetrics:
    return WorkerMetrics({ACCOUNT: reasons})


def account_metrics() -> AccountMetrics:
    return worker_metrics().accounts[ACCOUNT]


def counted(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    """Of the account, `worker_<name>`."""
    wanted = {"strategy": ACCOUNT, **labels}
    return metrics.registry.get_sample_value(f"worker_{name}", wanted)


def schedule_metrics() -> tuple[ScheduleMetrics, AccountScheduleMetrics]:
    """All, and those of the account."""
    metrics = ScheduleMetrics([ACCOUNT])
    return metrics, metrics.accounts[ACCOUNT]
