"""The view Latency: how long each stage takes, from a book to an order, and how old books are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from typing import Any, Final

import msgspec
from aiohttp import web
from markupsafe import Markup

from executor.console.charts.bars import bar_chart
from executor.console.charts.line import Line, line_chart
from executor.console.formats import millis
from executor.console.latency_history import (
    HOUR_MS,
    QUARTER_MS,
    SLOT_MS,
    STAGES,
    Key,
    LatencyHistory,
    StageTimes,
    stage_times,
)
from executor.console.view import Query, Shared
from functions.account_metrics import SECONDS_BUCKETS

MINUTE_MS: Final = 60_000
READING_MS: Final = 1_500
"""What a reading may take: until the next one is there, none is old."""
WORKER: Final = "worker"
"""How the names of processes begin whose stages these are."""
_PARTS: Final = "latency_parts.html"


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one account."""

    name: str
    account: str
    """Empty: of all accounts together."""
    text: str
    quarter: StageTimes
    hour: StageTimes


class LatencyView:
    """See the top of this module."""

    name, title, template = "latency", "Latency", "latency.html"

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        shared.metrics.want(self.name, [f"{stage.histogram}_bucket" for stage in STAGES])
        self._history = LatencyHistory()
        self._parts: dict[str, str] = {}

    def variables(self, query: Query) -> dict[str, Any]:
        """What the page shows."""
        return {"parts": self._shared.pages.made(self.parts(query))}

    def parts(self, query: Query) -> dict[str, str]:
        """What of it changes: with every reading, not with every look."""
        return self._parts or self._rendered()

    def data_at_ms(self) -> int:
        """Of the newest reading of a worker."""
        read = (
            at_ms for name, at_ms in self._shared.metrics.read_at_ms.items() if _is_worker(name)
        )
        newest_ms = max(read, default=0)
        now_ms = self._shared.now_ms()
        still_new_ms = self._shared.metrics.every_s * 1_000 + READING_MS
        return now_ms if newest_ms and now_ms - newest_ms < still_new_ms else newest_ms

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """None beside its page."""
        return ()

    async def run(self) -> None:
        """Take what the workers count, until cancelled."""
        while True:
            self.read()
            await asyncio.sleep(SLOT_MS / 1_000)

    def read(self) -> None:
        """Once, now."""
        metrics = self._shared.metrics
        workers = {name: families for name, families in metrics.of.items() if _is_worker(name)}
        self._history.read(self._shared.now_ms(), workers)
        self._parts = self._rendered()

    def _rendered(self) -> dict[str, str]:
        now_ms, history, part = self._shared.now_ms(), self._history, self._shared.pages.part
        keys = history.keys()
        rows = [self._row(key, now_ms) for key in keys]
        charts = [
            self._chart(row, key, now_ms) for row, key in zip(rows, keys, strict=True)
            if row.hour.count
        ]  # fmt: skip
        since_ms = max(history.since_ms, now_ms - HOUR_MS)
        return {
            "latency-stages": part(
                _PARTS, "stages", rows=rows, since_ms=since_ms, notes=self._notes(keys)
            ),
            "latency-ages": part(_PARTS, "pictures", charts=self._ages(now_ms)),
            "latency-charts": part(_PARTS, "pictures", charts=charts),
        }

    def _notes(self, keys: Sequence[Key]) -> list[str]:
        errors = self._shared.metrics.errors
        notes = [f"{name}: {why}" for name, why in errors.items() if _is_worker(name)]
        if not keys and not notes:
            notes.append(
                "No worker's numbers have been read yet: they come from the processes that the"
                " system on this machine names (executor paper)."
            )
        return notes

    def _row(self, key: Key, now_ms: int) -> StageRow:
        stage = next(each for each in STAGES if each.name == key[0])
        return StageRow(
            name=stage.name,
            account=key[1],
            text=stage.text,
            quarter=stage_times(self._history.counts(key, QUARTER_MS, now_ms)),
            hour=stage_times(self._history.counts(key, HOUR_MS, now_ms)),
        )

    def _chart(self, row: StageRow, key: Key, now_ms: int) -> Markup:
        median, tail = [], []
        this_minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        for at_ms in range(this_minute_ms - HOUR_MS, this_minute_ms + 1, MINUTE_MS):
            until_ms = at_ms + MINUTE_MS - 1
            times = stage_times(self._history.counts(key, MINUTE_MS, until_ms))
            median.append((float(at_ms), _drawn(times.p50_ms)))
            tail.append((float(at_ms), _drawn(times.p99_ms)))
        return line_chart(
            [Line("p50", median), Line("p99", tail)],
            title=f"{row.name} {row.account}".strip(),
            y_label=f"{row.name} {row.account}, ms".replace(" ,", ","),
        )

    def _ages(self, now_ms: int) -> list[Markup]:
        counts = self._history.counts((STAGES[0].name, ""), QUARTER_MS, now_ms)
        if not counts:
            return []
        bounds = [*SECONDS_BUCKETS, inf]
        bars = [(_bound_text(bound), float(counts.get(bound, 0))) for bound in bounds]
        shown = [place for place, (_, count) in enumerate(bars) if count]
        return [
            bar_chart(
                bars[shown[0] : shown[-1] + 1],
                title="Age of the books that were decided on, the last 15 minutes",
                y_label="books, by age up to",
            )
        ]


def _is_worker(process: str) -> bool:
    return process.startswith(WORKER)


def _drawn(value_ms: float | None) -> float | None:
    """What is beyond the last bucket is drawn at its bound."""
    return None if value_ms is None else min(value_ms, SECONDS_BUCKETS[-1] * 1_000)


def _bound_text(bound_s: float) -> str:
    if bound_s == inf:
        return "more"
    return millis(bound_s * 1_000).replace(".00", "").replace(".0 ", " ")
