"""An HTTP proxy in front of a DynamoDB endpoint that loses replies and injects answers.

moto never throttles and never loses a reply after the write. This does, per request, by a script.
It does not model slow or half-sent replies.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web

Request: TypeAlias = tuple[str, dict[str, Any]]
"""(operation, its parameters)."""

MARKS = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "INJECTED"}
"""What shows that an answer is DynamoDB's."""

FORWARD = "forward"
LOSE_REPLY = "lose the reply"  # the write happens, the connection ends without an answer

Step: TypeAlias = str | Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
"""What to do with one request: FORWARD, LOSE_REPLY, or answer in the server's place."""


def refuse_with(code: str, status: int = 400) -> Step:
    """Answer with this error in the server's place."""

    def step(_: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return status, {
            "__type": f"com.amazonaws.dynamodb.v20120810#{code}",
            "message": "first line\n second line",
        }

    return step


class Proxy:
    """`script` holds a step for each of the next requests; without one they are forwarded."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: deque[Step] = deque()
        self.requests: list[Request] = []

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.requests]


@asynccontextmanager
async def proxy_to(upstream: str) -> AsyncIterator[Proxy]:
    """A proxy in front of `upstream` while the context lasts."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def answer(request: web.Request) -> web.Response:
            body = await request.read()
            parameters = json.loads(body)
            operation = request.headers["X-Amz-Target"].rpartition(".")[2]
            proxy.requests.append((operation, parameters))
            step = proxy.script.popleft() if proxy.script else FORWARD
            if callable(step):
                status, content = step(parameters)
                return web.Response(status=status, body=json.dumps(content), headers=MARKS)
            async with session.post(upstream, data=body, headers=request.headers) as reply:
                content_bytes = await reply.read()
                kept = {
                    name: value
                    for name, value in reply.headers.items()
                    if name.lower().startswith("x-amz")
                }
            if step == LOSE_REPLY:
                assert request.transport is not None
                request.transport.abort()
            return web.Response(
                status=reply.status,
                body=content_bytes,
                headers=kept | {"Content-Type": MARKS["Content-Type"]},
            )

        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy = Proxy(f"http://127.0.0.1:{runner.addresses[0][1]}")
            yield proxy
        finally:
            await runner.cleanup()
