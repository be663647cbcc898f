"""Waiting for a dependency at start: one line a try, jittered back-off, never a traceback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from runtime.process import stop_if_told

T = TypeVar("T")
_log = structlog.get_logger()

WAIT_MAX_S = 15


async def until_reachable(
    what: str,
    attempt: Callable[[], Awaitable[T]],
    retry_on: tuple[type[Exception], ...] = (Exception,),
) -> T:
    """Call `attempt` until it succeeds; each failure is one logged line naming what and where.

    Unbounded on purpose: a service that starts before its dependencies waits for them, and its
    health check says so. Cancellation, SystemExit and whatever is not in `retry_on` end it.
    """

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.warning(
            "not_reachable",
            what=what,
            error=f"{type(error).__name__}: {error}",
            retry_in_s=round(state.upcoming_sleep, 1),
        )

    async for retrying in AsyncRetrying(
        wait=wait_exponential_jitter(multiplier=0.2, max=WAIT_MAX_S),
        retry=retry_if_exception_type(retry_on),
        before_sleep=report,
        reraise=True,
    ):
        with retrying:
            try:
                return await attempt()
            finally:
                stop_if_told()
    raise AssertionError("tenacity stopped without a stop condition")
