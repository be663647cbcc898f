"""The doctor compares this clock with NATS'."""

from __future__ import annotations

import time
from types import SimpleNamespace

import nats
import pytest

from executor.doctor import nats as nats_doctor
from executor.doctor.finding import Finding, Level
from protocol.subjects import BOOKS
from runtime.nats import ensure_stream
from runtime.nats_settings import NatsSettings
from tests.support.servers import NatsServer


async def examined(server: NatsServer) -> Finding:
    findings = await nats_doctor.check(NatsSettings(nats_url=server.url))
    return next(each for each in findings if each.what == "clock against NATS'")


@pytest.mark.parametrize(
    ("offset_ms", "level", "text"),
    [(0, Level.OK, ""), (-400, Level.FAIL, " ms behind"), (400, Level.FAIL, " ms ahead")],
)
async def test_a_clock_that_differs_from_nats_fails(
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    offset_ms: int,
    level: Level,
    text: str,
) -> None:
    client = await nats.connect(nats_server.url)
    await ensure_stream(client.jetstream(), BOOKS)
    await client.close()
    shifted = SimpleNamespace(time_ns=lambda: time.time_ns() + offset_ms * 1_000_000)
    monkeypatch.setattr(nats_doctor, "time", shifted)
    found = await examined(nats_server)
    assert found.level is level
    assert text in found.text


async def test_without_a_stream_there_is_nothing_to_ask(nats_server: NatsServer) -> None:
    found = await examined(nats_server)
    assert found.level is Level.OK
    assert "not compared" in found.text
