"""A door in front of DynamoDB that throttles, fails, loses replies and delays, by chance.

Every request is one draw; `rates` may be changed at any time, and what was done is counted.

    throttle, conflict, error   answered here, nothing is forwarded; conflicts only meet writes
    foreign                     a portal's page with status 200, nothing is forwarded
    cut_before                  the connection is cut, nothing is forwarded
    cut_after                   forwarded, then the connection is cut: the reply is lost
    late                        forwarded after the caller has given up: a write that lands late
    slow                        forwarded at once, answered after the caller has given up

Not modelled: partly written batches, half-sent replies.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import aiohttp
from aiohttp import web

from runtime.process import stop_tasks

TOO_LONG_S: Final = 3.0
"""More than the services wait for an answer (`functions.adapters.dynamodb.table`: 2 s)."""
KINDS: Final = (
    *("throttle", "conflict", "error", "cut_before", "cut_after", "late", "slow"),
    "foreign",
)
_NAMESPACE: Final = "com.amazonaws.dynamodb.v20120810#"
_ANSWERS: Final = {
    "throttle": (400, "ProvisionedThroughputExceededException"),
    "conflict": (400, "TransactionConflictException"),
    "error": (500, "InternalServerError"),
}
_TRANSACTION: Final = "TransactWriteItems"
_WRITES: Final = frozenset({"UpdateItem", "PutItem", _TRANSACTION})
_MARKS: Final = {
    "Content-Type": "application/x-amz-json-1.0",
    "x-amzn-RequestId": "INJECTED",
}
"""What shows that an answer is DynamoDB's."""


class FaultyDynamo:
    """Where the door is, what it does, and what it has done."""

    def __init__(self, seed: int) -> None:
        self.url = ""
        self.rates: dict[str, float | int] = {}
        self.injected: Counter[str] = Counter()
        self.requests = 0
        self.late: set[asyncio.Task[web.Response]] = set()
        """Requests that are still to be forwarded, or answered."""
        self._random = Random(f"{seed}/dynamodb")

    def draw(self, operation: str) -> str | None:
        """What happens to the next request; None: nothing."""
        self.requests += 1
        chance = self._random.random()
        for kind in KINDS:
            rate = self.rates.get(kind, 0.0)
            if chance < rate:
                if kind == "conflict" and operation not in _WRITES:
                    return None
                self.injected[kind] += 1
                return kind
            chance -= rate
        return None


@asynccontextmanager
async def faulty_dynamodb(upstream: str, seed: int) -> AsyncIterator[FaultyDynamo]:
    """Serve on a free loopback port while the context lasts."""
    door = FaultyDynamo(seed)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:

        async def forward(body: bytes, headers: dict[str, str]) -> web.Response:
            async with session.post(upstream, data=body, headers=headers) as reply:
                kept = {n: v for n, v in reply.headers.items() if n.lower().startswith("x-amz")}
                return web.Response(
                    status=reply.status,
                    body=await reply.read(),
                    headers=kept | {"Content-Type": _MARKS["Content-Type"]},
                )

        async def forward_late(body: bytes, headers: dict[str, str]) -> web.Response:
            await asyncio.sleep(TOO_LONG_S)
            return await forward(body, headers)

        async def forward_slow(body: bytes, headers: dict[str, str]) -> web.Response:
            response = await forward(body, headers)
            await asyncio.sleep(TOO_LONG_S)
            return response

        async def answer(request: web.Request) -> web.Response:
            body = await request.read()
            operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
            headers = {n: v for n, v in request.headers.items() if n.lower() != "content-length"}
            kind = door.draw(operation)
            if kind in _ANSWERS:
                status, name = _ANSWERS[kind]
                content: dict[str, Any] = {"message": "injected"}
                if kind == "conflict" and operation == _TRANSACTION:  # has an error of its own
                    name = "TransactionCanceledException"
                    content["CancellationReasons"] = [{"Code": "TransactionConflict"}]
                content["__type"] = _NAMESPACE + name
                return web.Response(status=status, body=json.dumps(content), headers=_MARKS)
            if kind == "foreign":
                return web.Response(text="<html>Please log in</html>", content_type="text/html")
            if kind == "cut_before":
                return _cut(request)
            if kind in ("late", "slow"):
                # A task of its own: the caller hangs up long before.
                sending = forward_late if kind == "late" else forward_slow
                task = asyncio.create_task(sending(body, headers))
                door.late.add(task)
                task.add_done_callback(door.late.discard)
                return await asyncio.shield(task)
            response = await forward(body, headers)
            return _cut(request) if kind == "cut_after" else response

        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            door.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield door
        finally:
            await stop_tasks(*door.late)
            await runner.cleanup()


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)  # nobody is left to read it
