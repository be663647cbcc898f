"""Between the venue's trades and the stream: sees to it that none is missing for good.

1. Subscribed first, then fetched: a trade in between comes both ways, and the stream keeps one.
2. A live fill is never waited for: when the backlog is full it is dropped, counted, and owed.
3. What a fetch brings waits for room, so a fetch cannot overflow the backlog; and it counts as done
   only when the stream has acknowledged all of it. Until then it is begun again from the start.

What is owed, and when it is paid, is `feeder.core.missing_trades`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Final

import structlog

from feeder.core.missing_trades import MissingTrades
from feeder.fills.intake import Intake
from feeder.fills.metrics import UserMetrics
from feeder.fills.publisher import FillPublisher
from feeder.fills.trade_history import FetchError, FetchRefusedError, TradeHistory
from protocol.fill import Fill
from runtime.retry import until_reachable

FAILING_S: Final = 30
"""Fetching may fail for so long before the health check says so."""

_log = structlog.get_logger()


class CatchUp:
    """`from_channel` takes what the channel brings, `run` fetches what it did not bring."""

    def __init__(
        self,
        history: TradeHistory,
        publisher: FillPublisher,
        missing: MissingTrades,
        intake: Intake,
        metrics: UserMetrics,
    ) -> None:
        self._history = history
        self._publisher = publisher
        self._missing = missing
        self._intake = intake
        self._metrics = metrics
        self._owing = asyncio.Event()
        self._failing_since_s: float | None = None
        self._failure = ""
        self._refused = False

    def from_channel(self, fill: Fill) -> None:
        """A fill came over the channel."""
        if not self._publisher.offer(fill):
            self._metrics.dropped.inc()
            self._missing.dropped(fill)
            self._owing.set()

    def subscribed(self) -> None:
        """The channel is connected again; call it before its first event is taken."""
        self._missing.interrupted()
        self._owing.set()

    def problem(self) -> str | None:
        """One sentence on why trades may be missing, None when they are not."""
        since_s = self._failing_since_s
        if since_s is None or (not self._refused and time.monotonic() - since_s < FAILING_S):
            return None
        return f"missed trades cannot be fetched from {self._history.url}: {self._failure}"

    async def run(self) -> None:
        """Fetch whenever something is owed, until cancelled."""
        while True:
            await self._owing.wait()
            self._owing.clear()
            await until_reachable(
                f"trades at {self._history.url}", self._fetch, retry_on=(FetchError,)
            )

    async def _fetch(self) -> None:
        after_s = self._missing.begin_fetch()
        if after_s is None:
            return
        trades = 0
        try:
            async with aclosing(self._history.pages(after_s)) as pages:
                async for events in pages:
                    trades += len(events)
                    for fill in self._intake.from_history(events):
                        await self._publisher.put(fill)
        except FetchError as error:
            if self._failing_since_s is None:
                self._failing_since_s = time.monotonic()
            self._failure = str(error)
            self._refused = isinstance(error, FetchRefusedError)
            raise
        self._failing_since_s = None
        await self._publisher.drained()
        self._missing.fetched()
        self._metrics.refetches.inc()
        _log.info("trades_fetched", after_s=after_s, trades=trades)
