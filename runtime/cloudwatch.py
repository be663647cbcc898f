"""What CloudWatch is told of a running process: chosen Prometheus metrics, once a minute.

Nothing is counted for this: the metrics are read when a line is due, so a book costs nothing more.
The lines (`runtime.emf`) go to stdout; logs go to stderr.

1. A counter is told as what it grew by since the last line, 0 included: a process that does nothing
   must look different from one that is dead.
2. A gauge is told as it stands. One that is not a number (nothing is known yet) is left out.
3. A histogram is told as at most a hundred values (`runtime.emf.representatives`), left out when
   nothing was observed: no books have no age. Above a hundred the number of values is not the
   number of observations, so a counter has to tell that.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from runtime.emf import Unit, document, representatives
from runtime.process import stop_tasks

EVERY_S: Final = 60.0
"""CloudWatch keeps one point a minute of a metric of standard resolution."""
_log = structlog.get_logger()


@dataclass(frozen=True)
class Told:
    """One CloudWatch metric, and the Prometheus metrics (or children of one) that it is the sum of.

    Of the unit Milliseconds are histograms, which observe seconds.
    """

    name: str
    sources: tuple[Counter | Gauge | Histogram, ...]
    unit: Unit = "Count"


class Interval:
    """What has happened since the last line; what was counted before it was made is not told."""

    def __init__(self, stage: str, service: str, told: Sequence[Told]) -> None:
        self._stage = stage
        self._service = service
        self._told = told
        self._before: dict[str, dict[float, float]] = {each.name: _read(each)[1] for each in told}

    def line(self, now_ms: int) -> str:
        """The document of the interval that ends now; the next one begins."""
        values = {told.name: self._value(told) for told in self._told}
        units = {told.name: told.unit for told in self._told}
        return document(self._stage, self._service, values, now_ms, units)

    def _value(self, told: Told) -> float | list[float]:
        kind, now = _read(told)
        if kind == "gauge":
            return now[math.inf]
        before, self._before[told.name] = self._before[told.name], now
        grown = {bound: round(now[bound] - before[bound]) for bound in sorted(now)}
        if kind == "counter":
            return grown[math.inf]
        buckets, below = {}, 0
        for bound, reached in grown.items():
            buckets[bound] = reached - below
            below = reached
        return [1000 * value_s for value_s in representatives(buckets)]


def _read(told: Told) -> tuple[str, dict[float, float]]:
    """The kind of the metrics, and their sum: by (cumulative) bucket, or all of it under inf."""
    kind = "counter"
    read: dict[float, float] = defaultdict(float)
    for source in told.sources:
        for metric in source.collect():
            kind = metric.type
            wanted = {"counter": "_total", "gauge": "", "histogram": "_bucket"}[kind]
            for sample in metric.samples:
                if sample.name == metric.name + wanted:
                    read[float(sample.labels.get("le", "inf"))] += sample.value
    return kind, read


@asynccontextmanager
async def telling(
    stage: str | None,
    service: str,
    told: Sequence[Told],
    write: Callable[[str], object] | None = None,
) -> AsyncIterator[None]:
    """Tell CloudWatch while the context lasts: a line a minute, and what is left at its end.

    Without a stage nothing is told. That stdout cannot be written is logged and costs the line.
    """
    if stage is None:
        yield
        return
    interval = Interval(stage, service, told)
    write = write or _write_line

    def tell() -> None:
        try:
            write(interval.line(time.time_ns() // 1_000_000))
        except (OSError, ValueError, AttributeError) as error:  # gone, closed, never there
            _log.error("metrics_not_told", error=f"{type(error).__name__}: {error}")

    task = asyncio.create_task(_every_minute(tell))
    task.add_done_callback(_report)
    try:
        yield
    finally:
        await stop_tasks(task)
        tell()


async def _every_minute(tell: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(wait_s(time.time()))
        tell()


def wait_s(now_s: float) -> float:
    """Until the middle of a minute of the clock: there no delay leaves a minute without a line."""
    return EVERY_S - (now_s - EVERY_S / 2) % EVERY_S


def _report(task: asyncio.Task[None]) -> None:
    """A defect here must not stop a process that trades; that it has fallen silent is an alarm."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("task_failed", exc_info=error)


def _write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
