"""Simulated operating system processes; `tests.simulation.loop` says how they live and die."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.simulation.loop import SimLoop

T = TypeVar("T")

current: contextvars.ContextVar[Process] = contextvars.ContextVar("simulated_process")
"""Whose code runs; every callback's context holds it."""


@dataclass(frozen=True)
class SimError:
    """An exception that nobody handled."""

    process: str
    what: str
    exception: BaseException | None


class Process:
    """One operating system process: all that is scheduled from its code belongs to it.

    A dead one stays dead; a restart is another `sim.process` of the same name.
    """

    def __init__(self, loop: SimLoop, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.steps = 0
        """Callbacks run so far."""
        self.dead = False
        self.paused = False
        self.exit_code: int | None = None
        """None while it runs, and for ever when it was killed."""
        self.ended = asyncio.Event()
        self.main: asyncio.Task[Any] | None = None
        self._loop = loop
        self._context = contextvars.Context()
        self._context.run(current.set, self)
        self._ready: deque[asyncio.Handle] = deque()
        self._queued = False
        self._kill_at = 0
        self._told = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._prune_at = 64
        self._at_death: list[Callable[[], object]] = []

    # -- running code in it ----------------------------------------------------------------------

    def start(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run the process's main coroutine; when it ends, the process ends as under asyncio.run."""
        assert self.main is None, f"{self.name} was started before"
        self.main = self.spawn(self._main(coro))
        return self.main

    def spawn(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this process, whoever calls."""
        return self._loop.create_task(coro, context=self._context.copy())

    def call_soon(self, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        """Call back in this process, whoever calls: how a port's server does its work."""
        return self._loop.call_soon(callback, *args, context=self._context)

    def call_later(
        self, delay_s: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """As `call_soon`, after `delay_s` virtual seconds."""
        return self._loop.call_later(delay_s, callback, *args, context=self._context)

    def at_death(self, callback: Callable[[], object]) -> None:
        """Call back (synchronously) once it is dead, however it died: its sockets close."""
        if self.dead:
            callback()
        else:
            self._at_death.append(callback)

    # -- what can happen to it -------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL, now."""
        if not self.dead:
            self._loop.record("killed", self.name)
            self._die()

    def kill_at_step(self, step: int) -> None:
        """SIGKILL right before its `step`-th callback (counted from 1)."""
        assert step > self.steps, f"{self.name} has already made {self.steps} steps"
        self._kill_at = step

    def spare(self) -> None:
        """Call off a death that is still to come."""
        self._kill_at = None

    def pause(self) -> None:
        """SIGSTOP: what becomes due is held, in order."""
        if not self.paused and not self.dead:
            self.paused = True
            self._loop.unqueue(self)

    def resume(self) -> None:
        """SIGCONT."""
        self.paused = False
        self._loop.queue(self)

    def terminate(self) -> None:
        """SIGTERM, as `runtime.process.run_service` takes it: the first one cancels main."""
        if self.main is not None and not self._told and not self.dead:
            self._told = True
            self.call_soon(self.main.cancel)

    # -- inside ----------------------------------------------------------------------------------

    async def _main(self, coro: Coroutine[Any, Any, Any]) -> Any:
        code = 1
        try:
            result = await coro
            code = 0
            return result
        except asyncio.CancelledError:
            if self.exit_code is None and not self._told:
                raise
            code = 0
            return None
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
            return None
        finally:
            if not self._loop.over:
                await self._exit(code)

    async def _exit(self, code: int) -> None:
        left = [each for each in self._tasks if not each.done() and each is not self.main]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        self.exit_code = code if self.exit_code is None else self.exit_code
        self._loop.record("exited", self.name, self.exit_code)
        self._die()

    def system_exit(self, stop: SystemExit) -> None:
        """SystemExit out of a task that is not main."""
        self.exit_code = stop.code if isinstance(stop.code, int) else 1
        if self.main is not None:
            self.main.cancel()

    def _die(self) -> None:
        self.dead = True
        self._loop.unqueue(self)
        self._loop.bury(self._ready)
        self._loop.bury(each for each in self._tasks if not each.done())
        self._ready = deque()
        if self.exit_code is None:
            # Nobody can retrieve what its tasks had raised; exited ones still show theirs.
            self._tasks = []
        callbacks, self._at_death = self._at_death, []
        for callback in callbacks:
            callback()
        self.ended.set()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Keep a task alive; forget those that ended well."""
        self._tasks.append(task)
        if len(self._tasks) >= self._prune_at:
            self._tasks = [each for each in self._tasks if not each.done() or unretrieved_in(each)]
            self._prune_at = 2 * len(self._tasks) + 64

    def unretrieved(self) -> list[SimError]:
        return [
            SimError(self.name, f"task {task.get_coro().__qualname__} failed", task.exception())
            for task in self._tasks
            if task.done() and unretrieved_in(task)
        ]

    def waiting(self) -> list[str]:
        return [
            f"{self.name}: {getattr(task.get_coro(), '__qualname__', task)}"
            for task in self._tasks
            if not task.done()
        ]


def unretrieved_in(task: asyncio.Task[Any]) -> bool:
    return bool(task._log_traceback)  # type: ignore[attr-defined]
