"""`executor console` as it is started: without store and NATS, with a key that it must not hold."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import Result

from executor.console.links import link_key, one_time_link
from local.status import SystemStatus, write_status
from tests.executor.conftest import Command

ROOT = Path(__file__).parents[3]
PIPE = asyncio.subprocess.PIPE
pytestmark = pytest.mark.usefixtures("forked")


async def test_it_serves_whatever_is_away_and_stops_at_once(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "executor", "console"),
        cwd=ROOT,
        env={**os.environ, "CONSOLE_PORT": "0", "EXECUTOR_DATA": str(tmp_path), "PRIVATE_KEY": "k"},
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stderr is not None
    log: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while not log or log[-1]["event"] != "console_started":
            log.append(json.loads(await process.stderr.readline()))
    assert (log[0]["event"], log[0]["variables"]) == ("console_keys_dropped", ["PRIVATE_KEY"])
    link = one_time_link(tmp_path, log[-1]["url"])
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(log[-1]["url"], cookie_jar=jar) as browser:
        assert (await browser.get(link)).status == 200
        text = await (await browser.get("/health")).text()
        assert "not connected to NATS at nats://127.0.0.1:1" in text
        told = await browser.get("/events/health")
        assert (await told.content.readline()).startswith(b"data: ")
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        stdout, stderr = await process.communicate()
    assert (process.returncode, stdout) == (0, b"")
    assert time.monotonic() - began_s < 20
    assert link.rpartition("/")[2].encode() not in stderr


def link_of(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


async def test_a_new_link_needs_no_console_but_its_folder(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTOR_DATA", str(tmp_path / "none"))
    result = await run("console", "--link")
    assert (result.exit_code, "no such folder" in result.output) == (2, True)
    monkeypatch.setenv("EXECUTOR_DATA", str(tmp_path))
    link = link_of(await run("console", "--link"))
    assert link.startswith("http://127.0.0.1:8765/open/")
    key = link_key(tmp_path)
    status = SystemStatus(
        pid=1,
        started_at_ms=1,
        written_at_ms=1,
        execution="paper",
        environment={},
        venue="",
        processes=(),
        console_url="http://127.0.0.1:9999",
    )
    write_status(tmp_path, status)
    link = link_of(await run("console", "--link"))
    assert link.startswith("http://127.0.0.1:9999/open/")
    assert link_key(tmp_path) == key
