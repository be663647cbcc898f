"""Whether anybody looks at the console: what is read for people alone rests while nobody does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LOOK_LASTS_S: Final = 10.0
"""After the last page or stream: so long a browser may take to open its stream, or to come back."""


class Audience:
    """By view, who has a page of it open."""

    def __init__(self) -> None:
        self._open = Counter[str]()
        self._left_at_s: dict[str, float] = {}
        self._came = asyncio.Event()

    @contextmanager
    def looking(self, view: str) -> Iterator[None]:
        """Somebody looks at this view meanwhile."""
        self._open[view] += 1
        came, self._came = self._came, asyncio.Event()
        came.set()
        try:
            yield
        finally:
            self._open[view] -= 1
            self._left_at_s[view] = time.monotonic()

    def looks_at(self, *views: str) -> bool:
        """Whether somebody looks at one of these, or has just done so; without views, at any."""
        since_s = time.monotonic() - LOOK_LASTS_S
        return any(
            self._open[view] > 0 or self._left_at_s.get(view, since_s) > since_s
            for view in views or tuple(self._open)
        )

    async def come(self, *views: str) -> None:
        """Wait until somebody looks at one of these; without views, at any."""
        while not self.looks_at(*views):
            await self._came.wait()
