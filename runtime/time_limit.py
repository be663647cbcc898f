"""A bound on code that awaits nothing and may not come to its end: a stranger's loop.

    with within_s(10):
        module = load()

Python runs a signal's handler between two instructions, so what is in a single call of C (a huge
power, a pattern that backtracks) ends first. Only the main thread can be interrupted: in another
one nothing is bounded. Nobody else here uses SIGALRM, SIGPROF or SIGVTALRM.

Where a stranger's code is called a thousand times a second, two system calls each are too many:
`CallWatch` looks at all those calls from outside.
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


class CallWatch:
    """Interrupts a call that does not come to its end.

        watch.call = object()      another one for each call
        ...                        what may not end
        watch.call = None

    While it looks, and only then: it looks every so much CPU time of the process, and raises
    TookTooLongError in the call that it finds there a second time.
    """

    def __init__(self) -> None:
        self.call: object | None = None

    @contextmanager
    def looking(self, every_s: float) -> Iterator[None]:
        """Of the main thread, and from it."""
        seen: object | None = None

        def look(*_: object) -> None:
            nonlocal seen
            if self.call is not None and self.call is seen:
                raise TookTooLongError
            seen = self.call

        before = signal.signal(signal.SIGVTALRM, look)
        signal.setitimer(signal.ITIMER_VIRTUAL, every_s, every_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
