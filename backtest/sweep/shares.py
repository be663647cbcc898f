"""Work in shares, one a process; and how far it has come."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

_T = TypeVar("_T")
_TELL_EVERY_S: Final = 0.2


class SweepProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sweep has come."""

    done_share: float
    """From 0 to 1."""
    left_s: float | None
    """About; None while too little is done to tell."""
    text: str
    """What is being done."""


ShareProgress: TypeAlias = Callable[[float], None]
"""Called with how much of a share is done, from 0 to 1."""
Work: TypeAlias = Callable[[int, ShareProgress], _T]

_inherited: list[Work[Any]] = []
"""What processes do that are forked from this one: a feed's opener need not be sent to them."""


def in_shares(
    work: Work[_T],
    shares: int,
    text: str,
    progress: Callable[[SweepProgress], None] | None,
) -> list[_T]:
    """What `work` answers for each number below `shares`, in that order; one process each.

    What it answers is sent between processes, and so is what it raises. Raises BrokenProcessPool
    where one was killed.
    """
    teller = _Teller(text, progress)
    if shares == 1:
        return [work(0, teller.tell)]
    context = multiprocessing.get_context("fork")
    done = context.Array("d", shares, lock=False)
    _inherited.append(_writing(work, done))
    try:
        with ProcessPoolExecutor(shares, mp_context=context, initializer=_end_with_parent) as pool:
            futures: list[Future[_T]] = [pool.submit(_do, share) for share in range(shares)]
            running = set(futures)
            while running:
                _, running = wait(running, _TELL_EVERY_S, FIRST_COMPLETED)
                teller.tell(sum(done) / shares)
            return [future.result() for future in futures]
    finally:
        _inherited.pop()


def _writing(work: Work[_T], done: Any) -> Work[_T]:
    def write(share: int, _: ShareProgress) -> _T:
        def tell(part: float) -> None:
            done[share] = part

        return work(share, tell)

    return write


def _end_with_parent() -> None:
    """Whoever waits for work of a process that was killed waits for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this runs in a child

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _do(share: int) -> Any:
    return _inherited[-1](share, lambda _: None)


class _Teller:
    def __init__(self, text: str, progress: Callable[[SweepProgress], None] | None) -> None:
        self._text, self._progress = text, progress
        self._began_s = self._told_s = time.monotonic()

    def tell(self, done_share: float) -> None:
        """Now and then."""
        now_s = time.monotonic()
        if self._progress is None or now_s - self._told_s < _TELL_EVERY_S:
            return
        self._told_s = now_s
        took_s = now_s - self._began_s
        left_s = took_s / done_share - took_s if done_share > 0.01 else None
        self._progress(
            SweepProgress(done_share=min(1.0, done_share), left_s=left_s, text=self._text)
        )
