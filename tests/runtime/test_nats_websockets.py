"""Websockets that are not let in. With both event loops."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import uvloop
from pydantic import SecretStr

from runtime.nats import connect_once
from runtime.nats_settings import Login
from tests.support.servers import NatsServer

LOGIN = Login("feeder", SecretStr("hunter2"))
LOOPS = [asyncio.run, uvloop.run]
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("answers", ["nobody", "a plain port", "another login"])
def test_a_websocket_that_is_not_let_in_leaves_nothing_open(
    run: Run, answers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[aiohttp.ClientSession] = []
    make = aiohttp.ClientSession

    def noted() -> aiohttp.ClientSession:
        made.append(make())
        return made[-1]

    monkeypatch.setattr("nats.aio.transport.aiohttp.ClientSession", noted)
    config = tmp_path / "nats.conf"
    config.write_text(
        "authorization { user: u, password: p }\n"
        'websocket { host: "127.0.0.1", port: -1, no_tls: true }'
    )

    async def tried() -> None:
        with NatsServer(tmp_path / "jetstream", config) as server:
            found = re.search(r"websocket clients on ws://127\.0\.0\.1:(\d+)", "".join(server.log))
            assert found
            ports = {"a plain port": urlsplit(server.url).port, "another login": found[1]}
            with pytest.raises(Exception):  # noqa: B017 - which, others ask
                await connect_once(f"ws://127.0.0.1:{ports.get(answers, 1)}", "test", LOGIN)
            await asyncio.sleep(0)
            assert made
            assert all(each.closed for each in made)

    run(tried())
