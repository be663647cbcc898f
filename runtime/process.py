"""The life of a service process: start with patience, run until a signal, stop in order.

Once a signal has come the process ends with 0, whatever the tidying up meets: a server that is
gone, or a library that raises while its connection closes, is one line of the log. Tidying up that
hangs is given up after STOP_MAX_S, with 1.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final

import structlog
import uvloop

from runtime.settings import refuse_to_start

STOP_MAX_S: Final = 10.0
"""From the first signal on. A worker's orders under way take six seconds of it at most."""
END_MAX_S: Final = 3.0
"""From the end of the tidying up on, for the event loop and the interpreter."""
EXIT_GIVEN_UP: Final = 1
DESCRIPTORS_MIN: Final = 64
"""For connections, pipes and the event loop itself."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
CANCEL_AGAIN_S: Final = 0.1
CANCELS_MAX: Final = 10
_log = structlog.get_logger()


def run_service(serve: Coroutine[Any, Any, None]) -> int:
    """Run `serve` on uvloop; SIGTERM or SIGINT cancels it, at start as well as later.

    `serve` tidies up in `finally` and lets the cancellation out. Returns the exit code: 0 after a
    signal, 1 when `serve` ended otherwise. What `serve` raises without a signal is raised;
    SystemExit (a refused configuration, or too few files that may be open) always is. The signals
    stay taken when this returns.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= allowed < DESCRIPTORS_MIN:  # below zero: no limit
        serve.close()
        refuse_to_start(f"ulimit -n: {allowed} open files are too few: allow {DESCRIPTORS_MIN}")
    return uvloop.run(_until_told(serve, _Stop()))


class _Stop:
    """The first SIGTERM or SIGINT. Later ones do nothing: they would cut short the tidying up, and
    with it orders under way.

    Python's own handlers, not the event loop's: those are gone before the process is, and a signal
    in between would kill it. A thread watches the time, because what hangs may be the event loop
    itself, or its end, which waits for threads: a name's resolution takes as long as it likes.
    """

    def __init__(self) -> None:
        self.cancel: Callable[[], object] = lambda: None
        self._told, self._tidied = threading.Event(), threading.Event()
        threading.Thread(target=self._watch, name="stop", daemon=True).start()
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    @property
    def told(self) -> bool:
        """Whether a signal has come."""
        return self._told.is_set()

    def tidied(self) -> None:
        """The service has ended; what is left is nobody's work."""
        self.cancel = lambda: None
        self._tidied.set()
        if self.told:
            # At its very end Python takes its handlers away, but leaves what is ignored ignored.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, *_: object) -> None:
        if not self.told:
            self._told.set()
            self.cancel()

    def _watch(self) -> None:
        self._told.wait()
        if not self._tidied.wait(STOP_MAX_S):
            _log.critical("stop_given_up", after_s=STOP_MAX_S)
            os._exit(EXIT_GIVEN_UP)
        time.sleep(END_MAX_S)
        os._exit(0)


async def _until_told(serve: Coroutine[Any, Any, None], stop: _Stop) -> int:
    task = asyncio.ensure_future(serve)
    stop.cancel = partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel)
    if stop.told:
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        # Without a signal it is a library's: a future that was cancelled under somebody's await.
        if not stop.told:
            _log.critical("ended_by_cancellation")
    except Exception as error:
        if not stop.told:
            raise
        _log.error("stopped_with_error", exc_info=error)
    finally:
        stop.tidied()
        # Libraries' tasks; the loop's own end would cancel them once, and wait for ever.
        await stop_tasks(*(asyncio.all_tasks() - {asyncio.current_task(), task}))
    return 0 if stop.told else 1


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
    stop_if_told(loops)
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
            raise RuntimeError(f"{task.get_coro()} ended")
    finally:
        await stop_tasks(*tasks)


def stop_if_told(unstarted: Iterable[Coroutine[Any, Any, Any]] = ()) -> None:
    """Raise CancelledError where a cancellation has got lost; `unstarted` coroutines are closed.

    `asyncio.wait_for` of Python 3.11, under nats-py, may end with its own result or error when a
    cancellation arrives at the same time. The service would then never stop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        for each in unstarted:
            each.close()
        raise asyncio.CancelledError


async def stop_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended, whatever they end with.

    Again and again, because one cancellation may get lost (`stop_if_told`).
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
