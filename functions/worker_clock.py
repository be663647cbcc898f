"""What a worker tells about the clocks: a metric, a line in the log, and its health."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from functions.adapters.book_pull import Delivery
from functions.core.clock_watch import ClockTrouble, ClockWatch
from functions.worker_metrics import WorkerMetrics
from protocol.snapshot import BookSnapshot

LOOK_EVERY_S: Final = 10.0
SAID_EVERY_S: Final = 60.0
_log = structlog.get_logger()


class WorkerClock:
    """Looks at the times of all books of ten seconds; see `functions.core.clock_watch`."""

    def __init__(self, book_age_max_ms: int, metrics: WorkerMetrics) -> None:
        self._watch = ClockWatch(book_age_max_ms)
        self._metrics = metrics
        self._trouble: ClockTrouble | None = None
        self._said_at_s = float("-inf")

    def note(self, snapshot: BookSnapshot, delivery: Delivery) -> None:
        """One book, as it was delivered."""
        self._watch.note(snapshot, delivery.delivered_at_ns, delivery.stored_at_ns)

    def problem(self) -> str | None:
        """What keeps this worker from trading, for a person."""
        return self._trouble.text if self._trouble is not None and self._trouble.blocks else None

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Draw the conclusion from the books since the last one; without any the last one holds."""
        if not self._watch.conclusive:
            return
        self._metrics.book_way_min.set(self._watch.way_s)
        self._trouble = self._watch.conclude()
        if self._trouble is None:
            self._said_at_s = float("-inf")
        elif time.monotonic() - self._said_at_s >= SAID_EVERY_S:
            self._said_at_s = time.monotonic()
            _log.error("clocks_differ", problem=self._trouble.text)
