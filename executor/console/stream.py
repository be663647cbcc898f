"""Event streams: what has changed on a page, to the browsers that show it.

A page that several browsers show is rendered once for all of them. A browser that reads slowly gets
the next state, not each one in between; one that reads nothing is dropped. Each event is

    data: {"at_ms": ..., "data_at_ms": ..., "parts": {"<element id>": "<html>", ...}}

and comes at least twice a second, so that a browser can tell silence from "nothing has changed".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from executor.console.view import Query, View
from runtime.line_throttle import LineThrottle
from runtime.process import stop_tasks

RENDER_EVERY_S: Final = 0.2
RENDER_SHARE_MAX: Final = 0.05
"""Of a core, for one page: what takes longer to render is rendered less often."""
RENDER_EVERY_MAX_S: Final = 1.0
SAY_EVERY_S: Final = 0.5
WRITE_TIMEOUT_S: Final = 5.0
"""For a browser that takes nothing any more."""
STREAMS_MAX: Final = 32
PAGES_MAX: Final = 16
"""Pages, each with its query, that are rendered at once."""
PROBLEM_ID: Final = "console-problem"
FAILED: Final = "This view has failed; the log says why. What is shown here may be old."
_log = structlog.get_logger()


class ShownPage:
    """One view with one query, as all its browsers see it."""

    def __init__(
        self,
        view: View,
        query: Query,
        around: Callable[[], Mapping[str, str]],
        now_ms: Callable[[], int],
    ) -> None:
        self.browsers = 0
        self.round = 0
        """Counts what was announced."""
        self._view, self._query, self._around, self._now_ms = view, query, around, now_ms
        self._parts: dict[str, tuple[str, int]] = {}
        """HTML, and the round in which it became so."""
        self._said_at_s = float("-inf")
        self._data_at_ms = 0
        self._announced = asyncio.Event()
        self._events: dict[int, bytes] = {}
        self._failures = LineThrottle()

    async def run(self) -> None:
        """Render again and again, until cancelled."""
        while True:
            began_s = time.thread_time()
            self._render()
            took_s = time.thread_time() - began_s
            wait_s = max(RENDER_EVERY_S - took_s, took_s / RENDER_SHARE_MAX - took_s)
            await asyncio.sleep(min(wait_s, RENDER_EVERY_MAX_S))

    async def after(self, seen: int) -> None:
        """Wait until there is a round after the `seen` one."""
        while self.round <= seen:
            await self._announced.wait()

    def event(self, seen: int) -> bytes:
        """What has changed since the `seen` round."""
        if seen not in self._events:
            parts = {name: html for name, (html, at) in self._parts.items() if at > seen}
            told = {"at_ms": self._now_ms(), "data_at_ms": self._data_at_ms, "parts": parts}
            self._events[seen] = b"data: " + msgspec.json.encode(told) + b"\n\n"
        return self._events[seen]

    def _render(self) -> None:
        parts = {PROBLEM_ID: ""}
        try:
            parts |= self._around()
            parts |= self._view.parts(self._query)
            self._data_at_ms = self._view.data_at_ms()
        except Exception as error:  # noqa: BLE001 - the page says so, and the other views go on
            parts[PROBLEM_ID] = FAILED
            if (unlogged := self._failures.admit()) is not None:
                name = self._view.name
                _log.error(
                    "console_view_failed", view=name, exc_info=error, unlogged_before=unlogged
                )
        before = self._parts
        changed = {
            name: html
            for name, html in parts.items()
            if name not in before or before[name][0] != html
        }
        now_s = time.monotonic()
        if not changed and now_s - self._said_at_s < SAY_EVERY_S:
            return
        self.round += 1
        self._said_at_s = now_s
        self._parts = {
            name: (html, self.round) if name in changed else before[name]
            for name, html in parts.items()
        }
        self._events.clear()
        self._announced.set()
        self._announced = asyncio.Event()


class Streams:
    """All that are open."""

    def __init__(self, around: Callable[[], Mapping[str, str]], now_ms: Callable[[], int]) -> None:
        self._around, self._now_ms = around, now_ms
        self._pages: dict[tuple[str, ...], tuple[ShownPage, asyncio.Task[None]]] = {}
        self._open: set[asyncio.Task[Any]] = set()

    async def serve(self, request: web.Request, view: View) -> web.StreamResponse:
        """The stream of one browser, until it is gone or does not read. Raises HTTPException where
        there are too many."""
        query = dict(request.query)
        name = (view.name, *(text for pair in sorted(query.items()) for text in pair))
        if len(self._open) >= STREAMS_MAX or (
            name not in self._pages and len(self._pages) >= PAGES_MAX
        ):
            raise web.HTTPServiceUnavailable
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers run in one
        self._open.add(task)
        try:
            return await self._served(request, self._shown(name, view, query))
        finally:
            self._open.discard(task)
            await self._left(name)

    async def close(self, _: object = None) -> None:
        """End all of them, for `Application.on_shutdown`."""
        await stop_tasks(*self._open)
        await stop_tasks(*(task for _, task in self._pages.values()))

    def _shown(self, name: tuple[str, ...], view: View, query: Query) -> ShownPage:
        if name not in self._pages:
            page = ShownPage(view, query, self._around, self._now_ms)
            self._pages[name] = page, asyncio.create_task(page.run())
        page, _ = self._pages[name]
        page.browsers += 1
        return page

    async def _left(self, name: tuple[str, ...]) -> None:
        page, task = self._pages[name]
        page.browsers -= 1
        if not page.browsers:
            del self._pages[name]
            await stop_tasks(task)

    @staticmethod
    async def _served(request: web.Request, page: ShownPage) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = 0
        try:
            while True:
                await page.after(seen)
                event, seen = page.event(seen), page.round
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await response.write(event)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return response
