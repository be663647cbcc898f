"""A bound on code that awaits nothing and may not come to its end: a stranger's loop.

    with within_s(10):
        module = load()

Python runs a signal's handler between two instructions, so what is in a single call of C (a huge
power, a pattern that backtracks) ends first. Only the main thread can be interrupted: in another
one nothing is bounded. Nobody else here uses SIGALRM or SIGPROF.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_WALL: Final = (signal.SIGALRM, signal.ITIMER_REAL)
_CPU: Final = (signal.SIGPROF, signal.ITIMER_PROF)
_AGAIN_S: Final = 0.5
"""Whoever catches everything is interrupted once more, until it is left."""


class TookTooLongError(BaseException):
    """Not an Exception: `except Exception` in a loop does not keep it from its end."""


@contextmanager
def within_s(seconds: float, *, cpu: bool = False) -> Iterator[None]:
    """Raises TookTooLongError in the block when so much time has passed.

    `cpu`: of this process's CPU time, so that a busy machine makes nothing late.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise TookTooLongError

    number, timer = _CPU if cpu else _WALL
    before = signal.signal(number, late)
    signal.setitimer(timer, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, before)
