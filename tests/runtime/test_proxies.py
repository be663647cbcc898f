"""Whatever proxies the environment names: every client of ours connects directly."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EVERY_CLIENT = """
import asyncio, json, os, sys
from aiohttp import web
from runtime.log import configure_logging
from runtime.proxies import ignore_proxies

configure_logging(service="test")

async def main():
    asked = []
    async def answer(request):
        asked.append(request.headers.get("X-Amz-Target") or request.path)
        if request.path == "/ws":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str("here")
            return socket
        marks = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "r"}
        return web.Response(text="{}", headers=marks)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    where = f"127.0.0.1:{runner.addresses[0][1]}"

    from functions.adapters.dynamodb.table import Table, open_client
    from polymarket.clients._transport import AsyncTransport
    from venue.rest import get_bytes, open_session
    from venue.websocket_connection import open_websocket

    async with open_session() as http:
        await get_bytes(http, f"http://{where}", "/rest")
    orders = AsyncTransport(base_url=f"http://{where}")
    await orders.get_bytes("/orders")
    async with open_websocket(f"ws://{where}/ws") as websocket:
        assert await websocket.first_frame() == b"here"
    async with open_client(region="eu-west-1", endpoint_url=f"http://{where}") as client:
        table = Table(client, "t", "STATE_TABLE")
        await table.get("get", Key={})
        await table.update("update", Key={})
    stored = [f"DynamoDB_20120810.{name}" for name in ("GetItem", "UpdateItem")]
    assert asked == ["/rest", "/orders", "/ws", *stored], asked

names, *proxies = json.loads(sys.argv[1])
for proxy in proxies:  # the first one is there already, while all of this is imported
    os.environ.update(dict.fromkeys(names, proxy), NO_PROXY="nowhere")
    os.environ.pop("no_proxy", None)
    ignore_proxies()
    asyncio.run(main())
"""
PROXIES = (
    *("http://127.0.0.1:1", "socks5://127.0.0.1:1", "http://["),
    *("http://a..b:99999", "\x7f", "h"),
)


async def test_no_client_uses_a_proxy_of_the_environment() -> None:
    """One process for all of them: its imports take seconds of a processor."""
    names = ("HTTP_PROXY", "https_proxy", "ALL_PROXY", "WSS_PROXY")
    named = dict.fromkeys(names, PROXIES[0])
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", EVERY_CLIENT, json.dumps([names, *PROXIES])),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "nowhere", **keys, **named},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    told = stderr.decode()
    assert process.returncode == 0, told
    lines = told.splitlines()
    assert len(lines) == len(PROXIES)
    for line, proxy in zip(lines, PROXIES, strict=True):
        assert '"proxy_not_used"' in line
        for name in named:
            assert name.upper() in line
        assert proxy not in line
