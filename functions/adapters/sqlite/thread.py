"""One SQLite connection and the thread that it lives in, asked from the event loop.

SQLite's calls block: on a lock that another process holds (which may be suspended), and on a disk.
So they are made on a thread of their own, one after the other. A hop there and back costs about
30 microseconds. The thread is a daemon: a disk that does not answer keeps no process from ending,
and what was not answered is then as after a crash.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from functions.ports import StoreBusyError, StoreError

CALL_TIMEOUT_S: Final = 8.0
"""As on DynamoDB. A lock is waited for less long; what takes so long is a disk that fails, or calls
without end before this one."""
_T = TypeVar("_T")


class _Job(Generic[_T]):
    """One call. Either the thread begins it, or whoever waits gives it up; never both."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._taken = threading.Lock()
        self.answer: asyncio.Future[_T] = self._loop.create_future()

    def take(self) -> bool:
        """Whether nobody has taken it before: to begin it, or to give it up."""
        return self._taken.acquire(blocking=False)

    def run(self) -> None:
        """On the thread."""
        if not self.take():
            return
        result: _T | None = None
        failure: BaseException | None = None
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is whoever called that it is raised at
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._tell, result, failure)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def give_up(self, text: str) -> None:
        """Whoever waits is told so, unless it has been answered."""
        if not self.answer.done():
            failure = StoreBusyError if self.take() else StoreError
            self.answer.set_exception(failure(text))

    def _tell(self, result: Any, failure: BaseException | None) -> None:
        if self.answer.done():
            return  # cancelled, or given up
        if failure is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(failure)


class SqlThread:
    """Runs what it is given in order. Starts with the first call, and anew after `end`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job[Any] | None] | None = None

    async def run(self, what: str, work: Callable[[], _T]) -> _T:
        """The result of `work()`, called on the thread; raises what that raises.

        Bounded in time: StoreBusyError where it had not begun by then and never will, else
        StoreError. Cancelled, a call that has begun goes on to its end.
        """
        if self._jobs is None:
            jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
            thread = threading.Thread(target=_run_jobs, args=(jobs,), name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # as many as this user may have
                raise StoreBusyError(f"{what}: {self._name}: {error}") from error
            self._jobs = jobs
        job = _Job(work)
        self._jobs.put(job)
        text = f"{what}: {self._name}: no answer within {CALL_TIMEOUT_S:g} s"
        # A claim waits for it: a bound on the future is half the work of one on the task.
        timer = asyncio.get_running_loop().call_later(CALL_TIMEOUT_S, job.give_up, text)
        try:
            return await job.answer
        except asyncio.CancelledError:
            job.take()
            raise
        finally:
            timer.cancel()

    def end(self) -> None:
        """Let the thread end once it has done what it was given."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


def _run_jobs(jobs: queue.SimpleQueue[_Job[Any] | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # not kept while it waits for the next one
