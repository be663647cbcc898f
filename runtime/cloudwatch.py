"""What of a running process goes to CloudWatch: chosen Prometheus metrics, once a minute.

Nothing is counted for this: the metrics are read when a line is due, so a book costs nothing more.
The lines (`runtime.emf`) go to stdout; logs go to stderr.

1. A counter is written as what it grew by since the last line, 0 included: a process that does
   nothing must look different from one that is dead.
2. A gauge is written as it stands. One that is not a number (nothing is known yet) is left out.
3. A histogram is written as at most a hundred values (`runtime.emf.representatives`), left out when
   nothing was observed: no books have no age. Above a hundred the number of values is not the
   number of observations, so that needs a counter.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from runtime.emf import Unit, document, representatives
from runtime.output import STDOUT
from runtime.process import stop_tasks

EVERY_S: Final = 60.0
"""CloudWatch keeps one point a minute of a metric of standard resolution."""
_log = structlog.get_logger()


@dataclass(frozen=True)
class CloudWatchMetric:
    """One CloudWatch metric, and the Prometheus metrics (or children of one) that it is the sum of.

    Of the unit Milliseconds are histograms, which observe seconds.
    """

    name: str
    sources: tuple[Counter | Gauge | Histogram, ...]
    unit: Unit = "Count"
    of_group: bool = False
    """Told of the process's group as well, if it has a name."""


class Interval:
    """What has happened since the last line; what was counted before it was made is left out."""

    def __init__(
        self,
        stage: str,
        service: str,
        metrics: Sequence[CloudWatchMetric],
        group: str | None = None,
    ) -> None:
        self._stage = stage
        self._service = service
        self._group = group
        self._metrics = metrics
        self._before: dict[str, dict[float, float]] = {
            each.name: _read(each)[1] for each in metrics
        }

    def line(self, now_ms: int) -> str:
        """The document of the interval that ends now; the next one begins."""
        values = {each.name: self._value(each) for each in self._metrics}
        units = {each.name: each.unit for each in self._metrics}
        of_group = [each.name for each in self._metrics if each.of_group]
        return document(
            *(self._stage, self._service, values, now_ms, units),
            group=self._group,
            of_group=of_group,
        )

    def _value(self, wanted: CloudWatchMetric) -> float | list[float]:
        kind, now = _read(wanted)
        if kind == "gauge":
            return now[math.inf]
        before, self._before[wanted.name] = self._before[wanted.name], now
        grown = {bound: round(now[bound] - before[bound]) for bound in sorted(now)}
        if kind == "counter":
            return grown[math.inf]
        buckets, below = {}, 0
        for bound, reached in grown.items():
            buckets[bound] = reached - below
            below = reached
        return [1000 * value_s for value_s in representatives(buckets)]


def _read(wanted: CloudWatchMetric) -> tuple[str, dict[float, float]]:
    """The kind of the metrics, and their sum: by (cumulative) bucket, or all of it under inf."""
    kind = "counter"
    read: dict[float, float] = defaultdict(float)
    for source in wanted.sources:
        for metric in source.collect():
            kind = metric.type
            suffix = {"counter": "_total", "gauge": "", "histogram": "_bucket"}[kind]
            for sample in metric.samples:
                if sample.name == metric.name + suffix:
                    read[float(sample.labels.get("le", "inf"))] += sample.value
    return kind, read


@asynccontextmanager
async def reporting_to_cloudwatch(
    stage: str | None,
    service: str,
    metrics: Sequence[CloudWatchMetric],
    write: Callable[[str], str | None] = STDOUT.write,
    *,
    group: str | None = None,
) -> AsyncIterator[None]:
    """Write for CloudWatch while the context lasts: a line a minute, and what is left at its end.

    Without a stage nothing is written. `write` returns why a line could not be written; that is
    logged, and costs the line.
    """
    if stage is None:
        yield
        return
    interval = Interval(stage, service, metrics, group)

    def report() -> None:
        reason = write(interval.line(time.time_ns() // 1_000_000))
        if reason is not None:
            _log.error("metrics_not_written", error=reason)

    task = asyncio.create_task(_every_minute(report))
    task.add_done_callback(_log_defect)
    try:
        yield
    finally:
        await stop_tasks(task)
        report()


async def _every_minute(report: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(wait_s(time.time()))
        report()


def wait_s(now_s: float) -> float:
    """Until the middle of a minute of the clock: there no delay leaves a minute without a line."""
    return EVERY_S - (now_s - EVERY_S / 2) % EVERY_S


def _log_defect(task: asyncio.Task[None]) -> None:
    """A defect here must not stop a process that trades; that it has fallen silent is an alarm."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("task_failed", exc_info=error)
