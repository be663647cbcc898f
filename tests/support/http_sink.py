"""A web server of the services that alerts go to, and of Telegram, on 127.0.0.1.

Telegram: `getUpdates` answers at once with what was not confirmed by an offset (a long poll's wait
is a tenth of a second here), `sendMessage` keeps what it is given. Does not model: webhooks,
`allowed_updates`, limits of rate or length, topics, the day after which Telegram forgets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

TOKEN = "123456789:AAsecretSECRETsecret_-x"
CHAT = 4242


class HttpSink:
    """`answer`: what every request but Telegram's gets; `requests`: what came."""

    def __init__(self) -> None:
        self.answer: tuple[int, str] = (200, "ok")
        self.headers: dict[str, str] = {}
        self.delay_s = 0.0
        self.requests: list[tuple[str, str]] = []
        self.updates: list[dict[str, Any]] = []
        self.confirmed: list[int] = []
        self.messages: list[dict[str, Any]] = []
        self.telegram_answer: tuple[int, str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def say(self, text: str, *, chat: int = CHAT, date: float = 0, number: int = 0) -> None:
        """An update of somebody who writes to the bot."""
        number = number or len(self.updates) + 1
        message = {"message_id": number, "date": int(date), "chat": {"id": chat}, "text": text}
        self.updates.append({"update_id": number, "message": message})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.requests.append((request.path_qs, body))
        await asyncio.sleep(self.delay_s)
        if request.path.startswith("/bot"):
            return await self._telegram(request)
        status, text = self.answer
        return web.Response(status=status, text=text, headers=self.headers)

    async def _telegram(self, request: web.Request) -> web.StreamResponse:
        if self.telegram_answer is not None:
            status, text = self.telegram_answer
            return web.Response(status=status, text=text)
        if not request.path.startswith(f"/bot{TOKEN}/"):
            return web.json_response({"ok": False, "error_code": 401}, status=401)
        wanted = await request.json()
        if request.path.endswith("/sendMessage"):
            self.messages.append(wanted)
            return web.json_response({"ok": True, "result": {"message_id": 1}})
        offset = wanted.get("offset", 0)
        if offset:
            self.confirmed.append(offset - 1)
        found = [each for each in self.updates if each.get("update_id", 0) >= offset]
        if not found:
            await asyncio.sleep(0.1)
        return web.json_response({"ok": True, "result": found})


async def until(holds: Callable[[], bool], within_s: float = 20) -> None:
    """Wait until it holds. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - of what other threads and processes do, too
            await asyncio.sleep(0.01)


@asynccontextmanager
async def http_sink() -> AsyncIterator[HttpSink]:
    """On a free port of 127.0.0.1."""
    sink = HttpSink()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", sink.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sink.port = runner.addresses[0][1]
        yield sink
    finally:
        await runner.cleanup()
