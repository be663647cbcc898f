"""One function in one of the cloud's execution environments: what outlives an invocation.

The cloud runs a process, invokes a function in it one event at a time, freezes it in between, and
one day drops it without a word. So:

1. One event loop and one set of clients serve all invocations. They are opened in the first one; an
   opening that fails is not kept, nor are clients with which something failed (rotated credentials,
   a network that changed): the next invocation opens anew.
2. An invocation ends before the cloud ends it, and leaves nothing running: a task that sleeps
   through a freeze wakes up in another invocation's time.
3. Connections may be dead after a freeze, without having been closed. That costs a repetition,
   never a mistake: reads are sent again, and every write is conditional and may be sent twice.
4. A failure is one line in the log and one short exception: the invocation counts as failed.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog
from pydantic import ValidationError

from functions.adapters.secrets import SecretError
from functions.bootstrap import MisconfiguredError
from functions.ports import RecordsError, StoreError
from runtime.log import configure_logging
from runtime.proxies import ignore_proxies
from runtime.settings import mistakes_in

SPARE_S: Final = 2.0
"""Of the time the cloud leaves: for closing clients, and for a process that is slow to be heard."""
CLOSE_S: Final = 0.7
"""Twice at most: for the clients, and for tasks that they left behind."""
_log = structlog.get_logger()
_Opened = TypeVar("_Opened")


class Context(Protocol):
    """What is used of the object that the cloud hands over beside the event."""

    @property
    def aws_request_id(self) -> str:
        """Names the invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Until the cloud ends the invocation."""


class FunctionError(Exception):
    """The invocation failed; the text is one line, that is also in the log."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What an invocation answers, and whether what was opened may serve the next one."""

    result: dict[str, Any] | None
    healthy: bool = True


_REPORTED: Final = (StoreError, RecordsError, SecretError, MisconfiguredError, TimeoutError)


class Function(Generic[_Opened]):
    """`opening` opens what `work` works with; `work` gets the event and the loop's time at which
    it must have ended."""

    def __init__(
        self,
        name: str,
        opening: Callable[[AsyncExitStack], Awaitable[_Opened]],
        work: Callable[[_Opened, Any, float], Awaitable[Done]],
    ) -> None:
        self.name = name
        self._opening = opening
        self._work = work
        self._runner: asyncio.Runner | None = None
        self._opened: tuple[_Opened, AsyncExitStack] | None = None

    def invoke(self, event: Any, context: Context) -> dict[str, Any] | None:
        """Handle one event. Raises FunctionError."""
        if self._runner is None:
            configure_logging(service=self.name)
            ignore_proxies()
            self._runner = asyncio.Runner()
        within_s = context.get_remaining_time_in_millis() / 1000 - SPARE_S
        structlog.contextvars.bind_contextvars(request_id=context.aws_request_id)
        bounded = self._bounded(event, within_s)
        return self._runner.run(bounded, context=contextvars.copy_context())

    def close(self) -> None:
        """Close what is open, and the loop. The cloud does not call this; tests do."""
        if self._runner is not None:
            self._runner.run(self._forget())
            self._runner.close()
            self._runner = None

    async def _bounded(self, event: Any, within_s: float) -> dict[str, Any] | None:
        until_s = asyncio.get_running_loop().time() + within_s
        done: Done | None = None
        try:
            async with asyncio.timeout_at(until_s):
                done = await self._work(await self._open(), event, until_s)
                return done.result
        except ValidationError as error:
            raise self._failed(mistakes_in(error)) from None
        except _REPORTED as error:
            text = " ".join(str(error).split()) or f"not done within {within_s:.1f} s"
            raise self._failed(text) from None
        except Exception as error:  # noqa: BLE001 - a defect, logged as what it is
            _log.critical("defect", exc_info=error)
            raise FunctionError(f"{self.name}: {type(error).__name__}") from None
        finally:
            if done is None or not done.healthy:
                await self._forget()
            await _stop_what_is_left()

    async def _open(self) -> _Opened:
        if self._opened is None:
            async with AsyncExitStack() as stack:
                opened = await self._opening(stack)
                self._opened = opened, stack.pop_all()
        return self._opened[0]

    async def _forget(self) -> None:
        """Close what is open, if there is anything, so that the next invocation opens anew."""
        if self._opened is None:
            return
        (_, stack), self._opened = self._opened, None
        try:
            async with asyncio.timeout(CLOSE_S):
                await stack.aclose()
        except Exception as error:  # noqa: BLE001 - it is given up either way
            _log.warning("not_closed", error=type(error).__name__)

    def _failed(self, text: str) -> FunctionError:
        _log.error("failed", error=text)
        return FunctionError(f"{self.name}: {text}")


async def _stop_what_is_left() -> None:
    """Cancel tasks of libraries that a cancelled call left behind (a name's resolution, say)."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CLOSE_S)
