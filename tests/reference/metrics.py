"""Every metric that a process serves, from the registries that the processes make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Metric

from executor.alerts.sending import AlertMetrics
from feeder.books.metrics import FeederMetrics
from feeder.fills.metrics import UserMetrics
from functions.core.group import parse_strategies
from functions.schedule_metrics import ScheduleMetrics
from functions.settings import DEFAULT_STRATEGY
from functions.worker_metrics import WorkerMetrics
from protocol.series import parse_series
from runtime.health import SERVER_COMPLAINTS, LinesLost
from strategies.builtin import BUILTIN
from tests.reference.tables import table

(_ACCOUNT,) = (entry.account for entry in parse_strategies(DEFAULT_STRATEGY, "paper"))


def _of_every_process() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(LinesLost())
    registry.register(SERVER_COMPLAINTS)
    return registry


def registries() -> Mapping[str, CollectorRegistry]:
    """What each process serves, by its name."""
    reasons = {_ACCOUNT: BUILTIN[DEFAULT_STRATEGY].Reason}
    return {
        "Feeder": FeederMetrics([parse_series("btc-15m")]).registry,
        "User feeder": UserMetrics().registry,
        "Worker": WorkerMetrics(reasons).registry,
        "Schedule": ScheduleMetrics([_ACCOUNT]).registry,
        "Alerts": AlertMetrics().registry,
        "Every process": _of_every_process(),
    }


_SUFFIX: Final = {"counter": "_total"}


def part() -> str:
    """A table for each process."""
    return "\n".join(
        f"## {process}\n\n{table(('metric', 'type', 'labels', 'what it tells'), _rows(registry))}"
        for process, registry in registries().items()
    )


def _rows(registry: CollectorRegistry) -> Iterator[tuple[str, ...]]:
    for metric in sorted(registry.collect(), key=lambda each: each.name):
        name = metric.name + _SUFFIX.get(metric.type, "")
        yield f"`{name}`", metric.type, _labels(metric), f"{metric.documentation}."


def _labels(metric: Metric) -> str:
    """With their values, where these come from a closed set that is not long."""
    values: dict[str, dict[str, None]] = {}
    for sample in metric.samples:
        for label, value in sample.labels.items():
            if label != "le":
                values.setdefault(label, {})[value] = None
    return "; ".join(
        f"`{label}`" if label in ("strategy", "series") else f"`{label}`: {', '.join(names)}"
        for label, names in values.items()
    )
