from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from pydantic import Field
from pydantic_settings import BaseSettings

from runtime import health
from runtime.health import health_server
from runtime.line_throttle import LineThrottle
from runtime.settings import load_settings


class Example(BaseSettings):
    some_port: Annotated[int, Field(ge=0)] = 1
    private_key: Annotated[str, Field(min_length=5)]


def test_every_bad_variable_is_named_in_one_line_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_PORT", "-7")
    monkeypatch.setenv("PRIVATE_KEY", "hush")
    with pytest.raises(SystemExit) as refused:
        load_settings(Example)
    assert refused.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "SOME_PORT: " in line
    assert "PRIVATE_KEY: " in line
    assert "hush" not in line
    assert "-7" not in line


def test_a_missing_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PRIVATE_KEY", raising=False)
    with pytest.raises(SystemExit):
        load_settings(Example)
    assert "PRIVATE_KEY: Field required" in capsys.readouterr().err


async def test_metrics_and_health_are_served_on_a_free_port() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    problem: str | None = None
    async with (
        health_server("127.0.0.1", 0, registry, lambda: problem) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        async with client.get("/metrics") as response:
            assert response.status == 200
            text = await response.text()
            assert "things_total 3.0" in text
            assert "log_lines_lost_total " in text
        async with client.get("/healthz") as response:
            assert (response.status, await response.text()) == (200, "ok")
        problem = "the market channel is not connected"
        async with client.get("/healthz") as response:
            assert (response.status, await response.text()) == (503, problem)


STRANGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: \0\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n",
    b"GET /%ff%fe?\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a..b:1 HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n",
)


async def test_strange_requests_are_counted_and_fill_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = errors_counted()
    async with health_server("127.0.0.1", 0, CollectorRegistry(), lambda: None) as port:
        for request in STRANGE * 3:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            writer.write_eof()
            async with asyncio.timeout(30):
                with suppress(ConnectionError):
                    await reader.read()
            writer.close()
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
            client.get("/metrics") as response,
        ):
            assert "metrics_requests_failed_total" in await response.text()
    assert errors_counted() - before >= 6 * 3
    assert len(caplog.records) <= 1


def errors_counted() -> int:
    return health.SERVER_COMPLAINTS.count


async def test_a_defect_of_the_server_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health.SERVER_COMPLAINTS, "throttle", LineThrottle())

    def problem() -> str | None:
        raise ZeroDivisionError

    async with (
        health_server("127.0.0.1", 0, CollectorRegistry(), problem) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        for _ in range(5):
            async with client.get("/healthz") as response:
                assert response.status == 500
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_a_taken_port_is_refused_in_one_line_that_names_the_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry = CollectorRegistry()
    async with health_server("127.0.0.1", 0, registry, lambda: None) as port:
        with pytest.raises(SystemExit) as refused:
            async with health_server("127.0.0.1", port, registry, lambda: None):
                pass
    assert refused.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"cannot start: METRICS_PORT: cannot listen on 127.0.0.1:{port}: ")
    assert line.count("\n") == 1
