"""An HTTP proxy before DynamoDB that keeps a record of every call."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


class StoreCalls:
    """(operation, time_ns) of each call that passed, oldest first."""

    def __init__(self) -> None:
        self.made: list[tuple[str, int]] = []

    def between(self, start_ns: int, end_ns: int) -> list[str]:
        """Operations whose request arrived in this span.

        Without GetItem, which a worker sends every few seconds to keep its connection open and
        never for a book (it has no other use for it once it runs).
        """
        return [
            name for name, at_ns in self.made if start_ns <= at_ns <= end_ns and name != "GetItem"
        ]


@asynccontextmanager
async def counting_proxy(upstream: str) -> AsyncIterator[tuple[str, StoreCalls]]:
    """Forward everything to `upstream`; yields the proxy's URL and its record."""
    calls = StoreCalls()

    async def forward(request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        calls.made.append((target.rpartition(".")[2], time.time_ns()))
        headers = {key: value for key, value in request.headers.items() if key != "Host"}
        async with session.post(upstream, data=await request.read(), headers=headers) as response:
            # With what shows that the answer is DynamoDB's.
            kept = {n: v for n, v in response.headers.items() if n.lower().startswith("x-amz")}
            kept["Content-Type"] = response.headers["Content-Type"]
            return web.Response(body=await response.read(), status=response.status, headers=kept)

    app = web.Application()
    app.router.add_post("/", forward)
    runner = web.AppRunner(app, access_log=None)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", calls
        finally:
            await runner.cleanup()
