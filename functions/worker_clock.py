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
SERIES_SAID_MAX: Final = 20
"""Within SAID_EVERY_S: their names come with the books."""
_log = structlog.get_logger()


class WorkerClock:
    """Looks at the times of all books of ten seconds; see `functions.core.clock_watch`."""

    def __init__(self, book_age_max_ms: int, metrics: WorkerMetrics) -> None:
        self._watch = ClockWatch(book_age_max_ms)
        self._metrics = metrics
        self._concluded: dict[str, ClockTrouble | None] = {}
        """Series -> its trouble, of those whose latest books show anything."""
        self._said_at_s: dict[str, float] = {}
        """Series -> when its trouble was logged, within the last SAID_EVERY_S."""

    def set_book_age_max(self, book_age_max_ms: int) -> None:
        """What is too old to be traded on has changed."""
        self._watch.set_age_max(book_age_max_ms)

    def note(self, snapshot: BookSnapshot, delivery: Delivery) -> None:
        """One book, as it was delivered."""
        self._watch.note(snapshot, delivery.delivered.epoch_ns, delivery.stored_at_ns)

    def problem(self) -> str | None:
        """What keeps this worker from trading, for a person: its own clock, or that there is no
        series whose books it can trade on."""
        troubles = {name: each for name, each in self._concluded.items() if each is not None}
        for trouble in troubles.values():
            if trouble.here:
                return trouble.text
        if len(troubles) < len(self._concluded) or not all(t.blocks for t in troubles.values()):
            return None
        return "; ".join(f"{name}: {each.text}" for name, each in troubles.items()) or None

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Draw the conclusion from the books since the last one; without any the last one holds.

        One line a minute for each series in trouble, although others may be traded.
        """
        if not self._watch.conclusive:
            return
        self._metrics.book_way_min.set(self._watch.way_s)
        self._concluded = self._watch.conclude()
        troubled = sum(trouble is not None for trouble in self._concluded.values())
        self._metrics.clocks_differing.set(troubled)
        now_s = time.monotonic()
        recently = {n: at_s for n, at_s in self._said_at_s.items() if now_s - at_s < SAID_EVERY_S}
        for name, trouble in self._concluded.items():
            if trouble is None:
                recently.pop(name, None)
            elif name not in recently and len(recently) < SERIES_SAID_MAX:
                recently[name] = now_s
                _log.error("clocks_differ", series=name, problem=trouble.text)
        self._said_at_s = recently
