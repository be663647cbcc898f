"""A venue or a gateway may repeat in its refusal whatever it was sent, at any length: what becomes
of that in claims, decisions and log is cut, and shows nothing that lets anybody in."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from functions.core.claim import ClaimState
from functions.core.lifecycle import TEXT_LENGTH_MAX, apply_answer
from protocol.decision import Timeline
from tests.support.live_desk import Desk, open_desk, send_orders_to
from tests.support.trading_builders import a_claim
from venue.auth import Credentials
from venue.errors import VenueError
from venue.rest import get_bytes, open_session
from venue.wire.order_answer import Answer, Unknown

SECRET: Final = ("POLY_SIGNATURE", "POLY_API_KEY", "POLY_PASSPHRASE")
FORMS: Final[dict[str, Callable[[str], Any]]] = {
    "error": lambda echo: {"error": echo},
    "refusal": lambda echo: {"error": f"not enough balance / allowance: {echo}"},
    "errorMsg": lambda echo: {"success": False, "errorMsg": echo, "orderID": "", "status": ""},
    "nested": lambda echo: {"error": {"message": echo, "detail": [echo]}},
    "code": lambda echo: {"code": echo},
    "beside": lambda echo: {"error": "not enough balance / allowance", "detail": echo},
    "text": lambda echo: echo,
}


class Echo:
    """Answers every request with its own headers and body."""

    def __init__(self, status: int, form: str) -> None:
        self.status = status
        self.form = form
        self.secrets: set[str] = set()

    async def answer(self, request: web.Request) -> web.Response:
        told = {name.upper(): value for name, value in request.headers.items()}
        secrets = {name: told[name] for name in SECRET}  # first: what comes late is cut
        self.secrets |= {each.rstrip("=") for each in secrets.values()}
        said = f"{json.dumps(secrets)} {await request.text()} {json.dumps(told)} "
        echo = said.replace("0x", "") + "x" * 9_000
        body, headers = FORMS[self.form](echo), {"X-Echo": told["POLY_SIGNATURE"]}
        if isinstance(body, str):
            return web.Response(text=body, status=self.status, headers=headers)
        return web.json_response(body, status=self.status, headers=headers)


@asynccontextmanager
async def serving(echo: Echo) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def refused(desk: Desk, echo: Echo) -> Answer:
    order = await desk.prepare()
    async with serving(echo) as url:
        send_orders_to(desk.exchange, url)
        return await desk.exchange.post(order)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 418, 422, 425, 429, 500, 503])
async def test_a_refusal_that_repeats_an_order_is_cut_and_lets_nobody_in(
    form: str, status: int
) -> None:
    echo = Echo(status, form)
    async with open_desk() as desk:
        answer = await refused(desk, echo)
        given = desk.exchange._client.credentials
    kept = apply_answer(a_claim(), answer, int(time.time() * 1000), Timeline())
    assert kept is not None
    assert kept.state in (ClaimState.UNKNOWN, ClaimState.RELEASED)
    assert len(kept.text) <= TEXT_LENGTH_MAX + 40
    assert not isinstance(answer, Unknown) or len(answer.text) <= TEXT_LENGTH_MAX
    assert len(echo.secrets) == 3
    for secret in (*echo.secrets, given.key, given.secret, given.passphrase):
        assert secret not in repr((answer, kept))


@pytest.mark.parametrize("form", FORMS)
async def test_a_refusal_that_repeats_a_question_is_cut_and_lets_nobody_in(form: str) -> None:
    mine = Credentials(
        address="0xa", key="the-key-4711", secret="c2VjcmV0", passphrase="the-phrase"
    )
    echo = Echo(400, form)
    async with serving(echo) as url, open_session() as http:
        with pytest.raises(VenueError) as told:
            await get_bytes(http, url, "/data/trades", credentials=mine)
    assert len(str(told.value)) <= TEXT_LENGTH_MAX
    for secret in (*echo.secrets, mine.key, mine.secret, mine.passphrase):
        assert secret not in f"{told.value} {vars(told.value)}"


@pytest.mark.parametrize("form", FORMS)
async def test_whatever_else_the_official_client_asks_is_logged_cut_and_lets_nobody_in(
    form: str,
) -> None:
    echo = Echo(400, form)
    async with open_desk() as desk, serving(echo) as url:
        send_orders_to(desk.exchange, url)
        with capture_logs() as logs:
            await desk.exchange._ping()
            await desk.exchange.refresh_balance()
        desk.exchange._last_answer.silent_max_s = -1
        said = [str(line["error"]) for line in logs] + [str(desk.exchange.problem())]
    assert len(said) == 3
    for text in said:
        assert len(text) <= TEXT_LENGTH_MAX
        assert not [secret for secret in echo.secrets if secret in text]
