"""What a busy machine takes from a test that measures time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.process import stop_tasks


@asynccontextmanager
async def noted_stalls() -> AsyncIterator[list[float]]:
    """How long, in seconds, the machine had no time for this process: what passed without any of
    our code running, so that whatever blocks here by its own work is no excuse."""
    stalls: list[float] = [0.0]
    noting = asyncio.create_task(_note(stalls))
    try:
        yield stalls
    finally:
        await stop_tasks(noting)


async def _note(stalls: list[float]) -> None:
    while True:
        began_s, worked_s = time.monotonic(), time.process_time()
        await asyncio.sleep(0.01)
        passed_s = time.monotonic() - began_s - 0.01
        stalls.append(passed_s - (time.process_time() - worked_s))
