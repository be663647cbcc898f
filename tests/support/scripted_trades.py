"""`GET /data/trades` that answers exactly what a test says, and remembers who asked.

Does not model trades: the test hands over the bodies. For a venue that behaves like one there is
`sandbox.simulator`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from tests.support.user_channel_frames import page


class Request(NamedTuple):
    """One look-up."""

    query: dict[str, str]
    headers: Mapping[str, str]


class WireTrades:
    """`async with WireTrades().open() as trades:`; answers are given in turn, then empty pages."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[web.Response] = []
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.hold: asyncio.Event | None = None
        """While this is set and not yet done, nobody is answered."""

    def say(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Queue an answer: JSON where it looks like that, as the venue's, else somebody's page."""
        kind = "application/json" if body.startswith((b"{", b"[")) else "text/html"
        answer = web.Response(body=body, status=status, headers=headers, content_type=kind)
        self.answers.append(answer)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.put_nowait(Request(dict(request.query), request.headers))
        if self.hold is not None:
            await self.hold.wait()
        return self.answers.pop(0) if self.answers else web.Response(body=page())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[WireTrades]:
        app = web.Application()
        app.add_routes([web.get("/data/trades", self._answer)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()
