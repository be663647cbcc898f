from __future__ import annotations

from typing import Annotated

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from pydantic import Field
from pydantic_settings import BaseSettings

from runtime.health import health_server
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
