"""Whatever proxies the environment names: every client of ours connects directly."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVERY_CLIENT = """
import asyncio, structlog
from aiohttp import web
from runtime.log import configure_logging
from runtime.proxies import ignore_proxies

configure_logging(service="test")
ignore_proxies()

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
    from venue.websocket import open_websocket

    async with open_session() as http:
        await get_bytes(http, f"http://{where}", "/rest")
    orders = AsyncTransport(base_url=f"http://{where}")
    await orders.get_bytes("/orders")
    async with open_websocket(f"ws://{where}/ws") as websocket:
        assert await websocket.recv() == "here"
    async with open_client(region="eu-west-1", endpoint_url=f"http://{where}") as client:
        await Table(client, "t", "STATE_TABLE").get("get", Key={})
    assert asked == ["/rest", "/orders", "/ws", "DynamoDB_20120810.GetItem"], asked

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "proxy",
    ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "http://[", "http://a..b:99999", "\x7f", "h"],
)
async def test_no_client_uses_a_proxy_of_the_environment(proxy: str) -> None:
    named = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY", "WSS_PROXY"), proxy)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", EVERY_CLIENT),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "nowhere", **keys, **named},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    told = stderr.decode()
    assert process.returncode == 0, told
    [line] = told.splitlines()
    assert '"proxy_not_used"' in line
    for name in named:
        assert name.upper() in line
    assert proxy not in line
