"""The dead man's ping."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr, ValidationError

from executor.alerts.heartbeat import Heartbeat, pinged
from executor.alerts.sending import AlertMetrics
from executor.alerts.settings import AlertUrls
from tests.support.http_sink import http_sink, until

SECRET = "f00-uuid-of-mine"


async def test_a_ping_goes_out_while_all_is_well_and_then_no_more() -> None:
    well, metrics = True, AlertMetrics()
    async with http_sink() as sink:
        url = SecretStr(f"{sink.url}/ping/{SECRET}?status=up")
        task = asyncio.create_task(Heartbeat(url, lambda: well, metrics, every_s=0.01).run())
        try:
            await until(lambda: len(sink.requests) >= 2)
            well = False
            await until(lambda: metrics.heartbeats.labels("withheld")._value.get() >= 2)
            count = len(sink.requests)
            await asyncio.sleep(0.05)
            assert len(sink.requests) == count
            assert sink.requests[0] == (f"/ping/{SECRET}?status=up", "")
        finally:
            task.cancel()


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (200, None),
        (404, "HTTP 404"),
        (301, "HTTP 301: it leads elsewhere: set HEARTBEAT_URL to where it leads"),
    ],
)
async def test_an_answer_is_its_status(status: int, why: str | None) -> None:
    async with http_sink() as sink, http_sink() as elsewhere:
        sink.answer, sink.headers = (status, "<html>"), {"Location": elsewhere.url}
        assert await pinged(SecretStr(f"{sink.url}/{SECRET}")) == why
        assert not elsewhere.requests


async def test_no_answer_shows_nothing_of_the_url() -> None:
    why = await pinged(SecretStr(f"http://127.0.0.1:1/{SECRET}"))
    assert why == "ClientConnectorError"


@pytest.mark.parametrize(
    "url", [f"ftp://h/{SECRET}", f"http://u:{SECRET}@h/", f"https://h/{SECRET} x", "https:///"]
)
def test_what_cannot_be_pinged_is_refused_unseen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_URL", url)
    with pytest.raises(ValidationError) as refused:
        AlertUrls()
    assert SECRET not in str(refused.value)
