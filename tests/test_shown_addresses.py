"""A key in an address (`https://host/v2/<key>`) leaves no process, whichever way a text goes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from executor.doctor.finding import fail
from executor.rendering import findings_view
from feeder.recording.recorder import Recorder
from feeder.settings import MarketChannelSettings
from functions.adapters.live_exchange import LiveExchange
from runtime.health import health_server
from runtime.log import line_of
from runtime.output import complain
from venue.errors import VenueRefusedError
from venue.rest import get_bytes, open_session

KEY = "hunter2"
URL = f"https://u:{KEY}@h.example:1/v2/{KEY}?key={KEY}"
SHOWN = "https://h.example:1"


def test_a_line_of_the_log() -> None:
    said = {"event": f"at {URL}", "url": URL, "in": [{"it": (URL,)}], "exc_info": ValueError(URL)}
    line = line_of("error", said)
    assert KEY not in line
    assert json.loads(line)["url"] == SHOWN
    assert f"ValueError: {SHOWN}" in json.loads(line)["exception"]


def test_a_line_to_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    complain(f"failed: logging in at {URL}: no answer")
    assert capsys.readouterr().err == f"failed: logging in at {SHOWN}: no answer\n"


async def test_the_health_of_a_process() -> None:
    async with (
        health_server("127.0.0.1", 0, CollectorRegistry(), lambda: f"{URL} is silent") as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
        client.get("/healthz") as response,
    ):
        assert (response.status, await response.text()) == (503, f"{SHOWN} is silent")


def test_a_finding_of_the_doctor() -> None:
    view = findings_view([fail("CLOB", f"{URL}: HTTP 500", "wait")]).plain
    assert f"{SHOWN}: HTTP 500 -> wait" in view
    assert KEY not in view


def test_what_is_published_of_an_order() -> None:
    given = SimpleNamespace(key="k1", secret="s1", passphrase="p1")
    client = SimpleNamespace(credentials=given, signer="0x1", wallet="0x2")
    told = LiveExchange(client, client)._describe(OSError(f"Request to {URL} failed"))  # type: ignore[arg-type] # no more of it is used
    assert told == f"OSError: Request to {SHOWN} failed"


def test_a_recording(tmp_path: object) -> None:
    settings = MarketChannelSettings(market_ws_url=f"wss://h/{KEY}", gamma_url=f"https://g/{KEY}")
    [head, *_] = Recorder(settings, tmp_path)._head(1)  # type: ignore[arg-type]
    assert KEY not in repr(head)


async def test_a_page_that_repeats_what_was_asked() -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=404, text=f"Cannot GET {request.path}")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}/v2/{KEY}"
        async with open_session() as http:
            with pytest.raises(VenueRefusedError) as refused:
                await get_bytes(http, base, "/time")
    finally:
        await runner.cleanup()
    assert str(refused.value) == "HTTP 404: Cannot GET ***/time"
