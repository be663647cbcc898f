from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
import time

import pytest
from prometheus_client import CollectorRegistry

from runtime import probe
from runtime.health import health_server


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(probe.main, list(arguments))


async def test_it_says_what_the_process_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem: str | None = None
    async with health_server("127.0.0.1", 0, CollectorRegistry(), lambda: problem) as port:
        monkeypatch.setenv("METRICS_PORT", str(port))
        assert await run() == 0
        assert capsys.readouterr().out == "200 ok\n"
        problem = "the market channel is not connected\nfor a while"
        assert await run() == 1
        assert capsys.readouterr().out == "503 the market channel is not connected\n"
        monkeypatch.setenv("METRICS_PORT", "1")
        assert await run(str(port), "/nowhere") == 1
        assert capsys.readouterr().out == "404 404: Not Found\n"
        assert await run(str(port)) == 1


@pytest.mark.parametrize("port", ["", "x", "99999999"])
def test_without_a_port_it_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    monkeypatch.delenv("METRICS_PORT", raising=False)
    assert probe.main([port] if port else []) == 1
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("said", [b"", b"hello\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", None])
async def test_whoever_says_nothing_useful_in_time_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: bytes | None
) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.1)
    asked = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        if said is None:
            await reader.read()  # until the other side has given up
        else:
            writer.write(said)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await run(str(port)) == 1
        assert asked.is_set()
    assert capsys.readouterr().out.startswith(f"no answer from port {port}: ")
    # Nobody listens there any more.
    assert await run(str(port)) == 1


async def test_a_trickle_does_not_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.1)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.transport.is_closing():
            writer.write(b"H")
            await asyncio.sleep(0.01)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        started_s = time.monotonic()
        assert await run(str(server.sockets[0].getsockname()[1])) == 1
        assert time.monotonic() - started_s < 20


def test_it_is_a_program_that_imports_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import runtime.probe; "
        "print(sorted(set(sys.modules) - before)); sys.exit(runtime.probe.main(['1']))"
    )
    probed = subprocess.run(  # noqa: S603 - our own interpreter, no shell
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (probed.returncode, probed.stderr) == (1, "")
    assert not {"asyncio", "email", "pydantic"} & set(
        ast.literal_eval(probed.stdout.splitlines()[0])
    )
