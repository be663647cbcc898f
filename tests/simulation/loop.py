"""An asyncio loop with virtual time, simulated processes, and no source of chance but its seed.

    with simulated(seed) as sim:
        worker = sim.process("worker-1")
        worker.start(run_worker(...))       # production code, unchanged
        sim.run(scenario())                 # the scenario is the process "main"
    assert not sim.errors

1. Same seed, same run: across processes and PYTHONHASHSEED values. `sim.fingerprint` says so.
2. Time passes only while everybody waits, by a jump to the next timer, plus a microsecond a step
   (so that a loop which never waits still meets its timeouts). `time.*`, `random.*`, `os.urandom`
   and all that is built on them (`uuid4`, `secrets`) belong to the simulation while it lasts.
3. Callbacks of one process run in the order in which they were scheduled, as asyncio promises;
   between processes a seeded choice is made at every step, so seeds explore interleavings.
4. A killed process runs nothing ever again: no `finally`, no cancellation, no destructor. What it
   leaves is kept until the run is over, and then closed while nothing can be scheduled or sent.

Not modelled: threads (executor calls run inline), sockets and files, CPU time, skewed clocks. Not
under control: `datetime.now`, names imported by `from time import ...`, and the order of sets of
bare `asyncio.Future()` (tasks and `loop.create_future()` are fine); what decides anything must not
use them. A step runs undivided: a kill falls between two steps, or at the end of the step that
asked for its own.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import os
import random
import sys
import time
import warnings
import zlib
from asyncio import base_events, events
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, TypeVar
from unittest.mock import patch

import structlog

from runtime.output import STDERR
from tests.simulation.log_disk import LogDisk
from tests.simulation.processes import Process, SimError, current

T = TypeVar("T")
__all__ = ["Process", "SimError", "SimLoop", "Simulation", "simulated"]

EPOCH_MS: Final = 1_790_000_000_000  # 2026-09-21T14:13:20Z
MONOTONIC_START_NS: Final = 10_000 * 10**9
"""A machine has been up for a while: code may take 0.0 for "long ago"."""
STEP_NS: Final = 1_000
STEPS_MAX: Final = 2_000_000
EVENTS_KEPT: Final = 10_000
_CLOSES_MAX: Final = 20
_MASK: Final = (1 << 64) - 1


class DeadlockError(AssertionError):
    """Everybody waits, and nothing is scheduled that could end it."""


class LivelockError(AssertionError):
    """More steps than any run should take."""


class _Task(asyncio.Task[Any]):
    """Hashed by its number: `asyncio.wait` and others iterate sets of tasks."""

    def __init__(self, coro: Any, *, loop: SimLoop, name: str | None, context: Any) -> None:
        self.number = loop.next_number()
        super().__init__(coro, loop=loop, name=name or f"Task-{self.number}", context=context)

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[Any]):
    """As `_Task`."""

    def __init__(self, *, loop: Any = None) -> None:
        loop = loop or asyncio.get_running_loop()
        self.number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class SimLoop(base_events.BaseEventLoop):
    """The loop; see the module's text. Tests use `Simulation`."""

    def __init__(self, seed: int, steps_max: int) -> None:
        super().__init__()
        self.set_debug(False)
        self.now_ns = MONOTONIC_START_NS
        self.steps = 0
        self.over = False
        self.fingerprint = 0
        self.events: deque[tuple[Any, ...]] = deque(maxlen=EVENTS_KEPT)
        self.reported: list[SimError] = []
        self.processes: list[Process] = []
        self._steps_max = steps_max
        self._choose = random.Random(f"{seed}:interleaving").random
        self._runnable: list[Process] = []
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._numbers = 0
        self._graveyard: list[Any] = []
        self.root = self._running = self.add_process("main")

    def add_process(self, name: str) -> Process:
        process = Process(self, name, len(self.processes) + 1)
        self.processes.append(process)
        return process

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def record(self, *what: Any) -> None:
        if self.over:
            return
        event = (self.now_ns, *what)
        self.events.append(event)
        self.fingerprint = zlib.crc32(repr(event).encode(), self.fingerprint & 0xFFFFFFFF) | (
            self.fingerprint & ~0xFFFFFFFF
        )

    # -- queues ----------------------------------------------------------------------------------

    def queue(self, process: Process) -> None:
        if process._ready and not (process._queued or process.dead):
            process._queued = True
            self._runnable.append(process)

    def unqueue(self, process: Process) -> None:
        if process._queued:
            process._queued = False
            self._runnable.remove(process)

    def bury(self, things: Any) -> None:
        """Keep things of the dead alive, so that no destructor of theirs runs."""
        self._graveyard.extend(things)

    def _enqueue(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(current, self.root)  # type: ignore[attr-defined]
        if process.dead:
            self._graveyard.append(handle)
            return
        process._ready.append(handle)
        if not process._queued and not process.paused:
            process._queued = True
            self._runnable.append(process)

    # -- asyncio's interface ---------------------------------------------------------------------

    def time(self) -> float:
        return self.now_ns / 1e9

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = events.Handle(callback, args, self, context)
        if not self.over:
            self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self._schedule(
            self.now_ns + int(delay * 1e9), self.time() + delay, callback, args, context
        )

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self._schedule(int(when * 1e9) + 1, when, callback, args, context)

    def _schedule(
        self, when_ns: int, when: float, callback: Any, args: Any, context: Any
    ) -> asyncio.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        if not self.over:
            self._numbers += 1
            heapq.heappush(self._timers, (when_ns, self._numbers, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # dropped when its time comes

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> Any:
        task = _Task(coro, loop=self, name=name, context=context)
        belongs = current.get if context is None else partial(context.get, current)
        process = belongs(self.root)
        if self.over:
            coro.close()  # it would never be awaited, and say so
        (self._graveyard.append if process.dead else process.adopt)(task)
        return task

    def create_future(self) -> Any:
        return _Future(loop=self)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - handed over, as an executor does
                future.set_exception(error)

        self.call_soon(run)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.over:
            name = self._running.name  # not from the context, which has been left by now
            self.reported.append(SimError(name, context["message"], context.get("exception")))

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        if not self.over:
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]

    # -- running ---------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """Run until stopped (called by `run_forever`, which would call it again and again)."""
        runnable, timers = self._runnable, self._timers
        choose = self._choose
        while not self._stopping:  # type: ignore[attr-defined]
            while timers and timers[0][0] <= self.now_ns:
                timer = heapq.heappop(timers)[2]
                if not timer._cancelled:  # type: ignore[attr-defined]
                    self._enqueue(timer)
            if not runnable:
                self._jump()
                continue
            count = len(runnable)
            index = int(choose() * count) if count > 1 else 0
            process = runnable[index]
            handle = process._ready.popleft()
            cancelled = handle._cancelled  # type: ignore[attr-defined]
            if not cancelled and process.steps + 1 == process._kill_at:
                self._graveyard.append(handle)
                process.kill()
                continue
            if not process._ready:
                process._queued = False
                last = runnable.pop()
                if index < count - 1:
                    runnable[index] = last
            if cancelled:
                continue
            self._running = process
            process.steps += 1
            self.steps += 1
            self.now_ns += STEP_NS
            self.fingerprint = (
                self.fingerprint * 0x9E3779B97F4A7C15 + self.now_ns + process.number
            ) & _MASK
            try:
                handle._run()  # type: ignore[attr-defined]
            except SystemExit as stop:
                if process is self.root:
                    raise
                process.system_exit(stop)
            if self.steps > self._steps_max:
                raise LivelockError(f"more than {self._steps_max} steps; {self._who_waits()}")

    def _jump(self) -> None:
        """To the next timer that was not cancelled."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:  # type: ignore[attr-defined]
            heapq.heappop(timers)
        if not timers:
            raise DeadlockError(f"nothing is scheduled; {self._who_waits()}")
        self.now_ns = max(self.now_ns, timers[0][0])

    def _who_waits(self) -> str:
        waiting = [each for process in self.processes for each in process.waiting()]
        paused = [process.name for process in self.processes if process.paused]
        return f"waiting: {', '.join(waiting) or 'nobody'}; paused: {', '.join(paused) or 'nobody'}"

    def dispose(self) -> None:
        """Close what never ended, while nothing can be scheduled, recorded or reported."""
        self.over = True
        tasks = [each for each in self._graveyard if isinstance(each, asyncio.Task)]
        tasks += [each for process in self.processes for each in process._tasks]
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                events._set_running_loop(self)
                for task in sorted(tasks, key=hash, reverse=True):
                    if not task.done():
                        _close(task.get_coro())
                for process in self.processes:
                    process._ready.clear()
                    process._tasks.clear()
                self._timers.clear()
                self._runnable.clear()
                self._graveyard.clear()
        finally:
            events._set_running_loop(None)
            sys.unraisablehook = hook
            self.close()


def _close(coro: Any) -> None:
    for _ in range(_CLOSES_MAX):  # each await in its `finally` blocks takes another one
        try:
            coro.close()
        except (Exception, SystemExit, GeneratorExit, asyncio.CancelledError):  # noqa: BLE001, S112 - nobody is left
            continue
        return


class Simulation:
    """What a test holds; made by `simulated`."""

    def __init__(self, seed: int, epoch_ms: int, steps_max: int) -> None:
        self.seed = seed
        self.loop = SimLoop(seed, steps_max)
        self.logs: list[tuple[int, str, str, dict[str, Any]]] = []
        """(virtual epoch ms, process, level, fields with `event`) of every log line."""
        self.log_disk = LogDisk(self.random("log"))
        self._epoch_ns = epoch_ms * 1_000_000 - MONOTONIC_START_NS
        self._errors: list[SimError] | None = None

    def run(self, scenario: Coroutine[Any, Any, T]) -> T:
        """Run the scenario to its end, in the process "main". Raises what it raises."""
        return self.loop.run_until_complete(scenario)

    def process(self, name: str) -> Process:
        """A new process; nothing runs in it yet."""
        return self.loop.add_process(name)

    @property
    def current(self) -> Process:
        """The process whose code runs now."""
        return current.get(self.loop.root)

    def random(self, name: str) -> random.Random:
        """A stream of chance of its own: what one port draws does not shift another's."""
        return random.Random(f"{self.seed}:{name}")

    def record(self, *what: Any) -> None:
        """Tell the trace what happened; plain values only, they go into the fingerprint."""
        self.loop.record(*what)

    @property
    def events(self) -> deque[tuple[Any, ...]]:
        """(monotonic ns, what...) of the last recorded events."""
        return self.loop.events

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints: the same steps of the same processes at the same times."""
        return f"{self.loop.fingerprint:016x}-{self.loop.steps}"

    @property
    def over(self) -> bool:
        """The run has ended; ports do nothing any more."""
        return self.loop.over

    def time_ns(self) -> int:
        """Virtual time since the epoch."""
        return self._epoch_ns + self.loop.now_ns

    @property
    def now_ms(self) -> int:
        return self.time_ns() // 1_000_000

    @property
    def errors(self) -> list[SimError]:
        """Exceptions that nobody handled, in processes that were not killed."""
        if self._errors is not None:
            return self._errors
        unretrieved = [each for process in self.loop.processes for each in process.unretrieved()]
        return [*self.loop.reported, *unretrieved]

    def end(self) -> None:
        self._errors = self.errors
        self.loop.dispose()

    def log(self, _: Any, level: str, fields: dict[str, Any]) -> Any:
        """A structlog processor that keeps the line and prints nothing."""
        error = fields.get("exc_info")
        if isinstance(error, BaseException):
            fields["exc_info"] = f"{type(error).__name__}: {error}"
        if not self.over:
            self.logs.append((self.now_ms, self.current.name, level, fields))
            self.log_disk.take(level, fields)
        raise structlog.DropEvent


@contextmanager
def simulated(
    seed: int, *, epoch_ms: int = EPOCH_MS, steps_max: int = STEPS_MAX
) -> Iterator[Simulation]:
    """A simulation of its own; clock and chance are the process's again afterwards."""
    sim = Simulation(seed, epoch_ms, steps_max)
    entropy = sim.random("entropy").randbytes
    loop = sim.loop
    state, config = random.getstate(), structlog.get_config()
    collecting = gc.isenabled()
    with ExitStack() as stack:
        for target, name, replacement in (
            (time, "time", lambda: sim.time_ns() / 1e9),
            (time, "time_ns", sim.time_ns),
            (time, "monotonic", loop.time),
            (time, "monotonic_ns", lambda: loop.now_ns),
            (time, "perf_counter", loop.time),
            (time, "perf_counter_ns", lambda: loop.now_ns),
            (time, "sleep", _no_sleep),
            (os, "urandom", entropy),
            (random, "_urandom", entropy),  # SystemRandom, and with it `secrets`
            # Collecting would make destructors run at times that no seed decides; it is slow, too.
            (STDERR, "_write", sim.log_disk.write),
            (gc, "collect", lambda *_: 0),
            (gc, "freeze", lambda: None),
        ):
            stack.enter_context(patch.object(target, name, replacement))
        gc.disable()
        random.seed(seed)
        structlog.configure(
            processors=[sim.log],
            wrapper_class=structlog.make_filtering_bound_logger(20),
            cache_logger_on_first_use=False,
        )
        try:
            yield sim
        finally:
            sim.end()
            random.setstate(state)
            structlog.configure(**config)
            if collecting:
                gc.enable()


def _no_sleep(_: float) -> None:
    raise AssertionError("time.sleep would stop the whole simulation")
