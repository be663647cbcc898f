"""The life of a service process: start with patience, run until a signal, stop in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Coroutine
from typing import Any, Final

import structlog
import uvloop

CANCEL_AGAIN_S: Final = 0.1
CANCELS_MAX: Final = 10
_log = structlog.get_logger()


def run_service(serve: Coroutine[Any, Any, None]) -> int:
    """Run `serve` on uvloop; SIGTERM or SIGINT cancels it, at start as well as later.

    `serve` tidies up in `finally` and lets the cancellation out. Returns the exit code: 0 after a
    signal, 1 when `serve` ended otherwise. SystemExit (a refused configuration) passes through.
    """
    return uvloop.run(_until_signalled(serve))


async def _until_signalled(serve: Coroutine[Any, Any, None]) -> int:
    task = asyncio.ensure_future(serve)
    loop = asyncio.get_running_loop()
    stopping = False

    def stop() -> None:
        nonlocal stopping
        # A second signal would cancel the tidying up, and with it orders under way.
        if not stopping:
            stopping = True
            task.cancel()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await task
        return 1
    return 0


def freeze_heap() -> None:
    """Take what exists now out of garbage collection; call it once everything is set up.

    A full collection walks every object, and the libraries alone leave hundreds of thousands:
    pauses of tens of milliseconds in the middle of an order. What comes later is collected as ever.
    """
    gc.collect()
    gc.freeze()


async def first_failure(*loops: Coroutine[Any, Any, None]) -> None:
    """Run endless loops side by side; when one ends or fails, cancel the others and say so.

    None of them is meant to end, so whichever does is an error: its exception is raised.
    """
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
            raise RuntimeError(f"{task.get_coro()} ended")
    finally:
        await stop_tasks(*tasks)


async def stop_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended, whatever they end with.

    Again and again, because one cancellation may get lost: `asyncio.wait_for` of Python 3.11, which
    nats-py is built on, returns its result instead when the two arrive together.
    """
    pending = {task for task in tasks if not task.done()}
    for _ in range(CANCELS_MAX):
        if not pending:
            break
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    for task in pending:
        _log.critical("task_does_not_stop", task=str(task.get_coro()))
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # seen: otherwise the loop prints a traceback of it later
