"""What the cloud is to its functions: a secrets manager, a context, one thread a process.

The secrets manager is a few lines of HTTP: it knows no permissions, versions, binary secrets or
signatures. An environment here is a `Function` of its own with a thread of its own; it is neither
frozen nor dropped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from functions.aws.environment import Function

KEY_SECRET, CREDENTIALS_SECRET = "signing-key", "api-credentials"


class Secrets:
    """`texts` by name; `asked` tells who was asked for."""

    def __init__(self) -> None:
        self.texts: dict[str, object] = {}
        self.asked: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """GetSecretValue, the one call."""
        assert request.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        name = json.loads(await request.text())["SecretId"]
        self.asked.append(name)
        marks = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "r"}
        if name not in self.texts:
            error = {"__type": "ResourceNotFoundException", "Message": "no such secret"}
            return web.Response(status=400, body=json.dumps(error), headers=marks)
        told = {"Name": name, "SecretString": self.texts[name]}
        return web.Response(body=json.dumps(told), headers=marks)


@asynccontextmanager
async def secrets_manager() -> AsyncIterator[Secrets]:
    """Serve while the context lasts."""
    secrets = Secrets()
    app = web.Application()
    app.router.add_post("/", secrets.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        secrets.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield secrets
    finally:
        await runner.cleanup()


class Context:
    """`remaining_s` until the cloud ends the invocation."""

    aws_request_id = "request-1"

    def __init__(self, remaining_s: float) -> None:
        self.remaining_s = remaining_s

    def get_remaining_time_in_millis(self) -> int:
        return round(self.remaining_s * 1000)


class Environment:
    """One execution environment of one function."""

    def __init__(self, function: Function[Any]) -> None:
        self.function = function
        self._thread = ThreadPoolExecutor(1)

    async def invoke(self, event: object = None, *, remaining_s: float = 10) -> Any:
        """What the handler answers; beside it, this loop serves venue and secrets."""
        loop = asyncio.get_running_loop()
        context = Context(remaining_s)
        return await loop.run_in_executor(self._thread, self.function.invoke, event, context)

    async def close(self) -> None:
        """Nothing may be running in it any more."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.function.close)
        self._thread.shutdown()


@asynccontextmanager
async def environment(function: Function[Any]) -> AsyncIterator[Environment]:
    """One environment, while the context lasts."""
    env = Environment(function)
    try:
        yield env
    finally:
        await env.close()
