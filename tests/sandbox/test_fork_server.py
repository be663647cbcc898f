"""What the fork server starts is a service like any other, from its first moment on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from local.child import ROOT
from sandbox.processes import ENDED_IN_ORDER

TIMEOUT_S = 50


async def said(fork_server: asyncio.subprocess.Process) -> dict[str, Any]:
    assert fork_server.stdout is not None
    line: dict[str, Any] = json.loads(await fork_server.stdout.readline())
    return line


async def test_a_service_told_to_stop_at_once_ends_as_one_that_had_nothing_to_tidy_up(
    tmp_path: Path,
) -> None:
    fork_server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox.fork_server"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert fork_server.stdin is not None
    env = {"NATS_URL": "nats://127.0.0.1:1", "METRICS_PORT": "0"}
    request = {"name": "feeder", "module": "feeder", "arguments": [], "env": env}
    request["log"] = str(tmp_path / "feeder.log")
    try:
        async with asyncio.timeout(TIMEOUT_S):
            assert await said(fork_server) == {"ready": True}
            for _ in range(5):
                fork_server.stdin.write(json.dumps(request).encode() + b"\n")
                started = await said(fork_server)
                os.kill(started["pid"], signal.SIGTERM)
                ended = await said(fork_server)
                assert ended == {"ended": "feeder", "pid": started["pid"], "code": ended["code"]}
                assert ended["code"] in ENDED_IN_ORDER
            fork_server.stdin.close()
            assert await fork_server.wait() == 0
    finally:
        if fork_server.returncode is None:
            fork_server.kill()
            await fork_server.wait()
