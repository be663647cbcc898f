"""What a busy machine takes from a test that measures time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from runtime.process import stop_tasks

TICK_S: Final = 0.01


class LivedTime:
    """A clock that stands still while the machine has no time for this process.

    What our own code takes counts, so that whatever blocks here by its own work is no excuse.
    """

    def __init__(self) -> None:
        self._lived_s = 0.0
        self._seen_s, self._worked_s = time.monotonic(), time.process_time()

    def now_s(self) -> float:
        """To be looked at in each tick: of a longer time only two of them count, and work."""
        seen_s, worked_s = time.monotonic(), time.process_time()
        worked_by_us_s = worked_s - self._worked_s
        self._lived_s += min(seen_s - self._seen_s, 2 * TICK_S + worked_by_us_s)
        self._seen_s, self._worked_s = seen_s, worked_s
        return self._lived_s


@asynccontextmanager
async def lived_time() -> AsyncIterator[LivedTime]:
    """While it is open, the clock ticks."""
    clock = LivedTime()

    async def tick() -> None:
        while True:
            clock.now_s()
            await asyncio.sleep(TICK_S)

    ticking = asyncio.create_task(tick())
    try:
        yield clock
    finally:
        await stop_tasks(ticking)
