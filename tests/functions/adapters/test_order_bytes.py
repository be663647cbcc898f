"""What either order client sends, byte for byte what the official client itself would send."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from polymarket.errors import PolymarketError

from runtime.dialer import Dialer
from tests.support.live_desk import Desk, open_desk, signed_order_of
from venue.trading.direct_orders import DirectOrders
from venue.trading.kept_connection import KeptConnection
from venue.trading.official_orders import OfficialOrders
from venue.wire.order_answer import Rejected, RejectReason, Unknown


class Sent(list[httpx.Request]):
    """What the official client sends, which is answered with no answer."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        http = desk.exchange._client._ctx.secure_clob._client
        monkeypatch.setattr(http, "send", self._send)
        monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)  # it is signed

    async def _send(self, request: httpx.Request, **_: object) -> httpx.Response:
        self.append(request)
        return httpx.Response(200, text="{}", request=request)


async def test_an_order_is_sent_as_the_client_itself_would_send_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_desk(order_client=OfficialOrders) as desk:
        sent = Sent(desk, monkeypatch)
        order = await desk.prepare()
        assert isinstance(await desk.exchange.post(order), Unknown)
        with pytest.raises(PolymarketError):  # its own reader
            await desk.exchange._client.post_order(signed_order_of(order))
        ours, theirs = sent
        assert (ours.method, ours.url, ours.content) == (theirs.method, theirs.url, theirs.content)
        assert ours.headers == theirs.headers


async def test_the_bytes_of_a_direct_order_are_those_that_the_client_itself_would_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(KeptConnection, "begin", lambda _, request: written.append(request))
    async with open_desk(order_client=DirectOrders) as desk:
        sent = Sent(desk, monkeypatch)
        order = await desk.prepare()
        answered = await desk.exchange.post(order)
        assert isinstance(answered, Rejected)
        assert answered.reason is RejectReason.NOT_SENT
        with pytest.raises(PolymarketError):
            await desk.exchange._client.post_order(signed_order_of(order))
    [theirs] = sent
    lines = [b"%s: %s" % header for header in theirs.headers.raw]
    head = b"\r\n".join([b"POST /order HTTP/1.1", *lines, b"", b""])
    assert written == [head + theirs.content]


async def test_a_rehearsal_sends_nothing_and_opens_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    touched: list[str] = []
    made: list[tuple[bytes, bytes]] = []
    async with open_desk(order_client=DirectOrders) as desk:
        sent = Sent(desk, monkeypatch)
        await desk.exchange._ping()  # there are connections to send on
        for owner, name in ((KeptConnection, "begin"), (Dialer, "connect")):
            monkeypatch.setattr(owner, name, lambda *_, name=name: touched.append(name))
        requests = desk.exchange._orders._connection._requests  # type: ignore[attr-defined]
        make = requests.made
        monkeypatch.setattr(requests, "made", lambda *given: made.append(make(*given)))
        make_specimen = desk.exchange.rehearsal()
        assert make_specimen is not None
        for _ in range(5):
            assert make_specimen() is None
        await asyncio.sleep(0)
        assert (touched, sent, desk.venue.journal.entries) == ([], [], [])
    assert len(made) == 5
    assert all(request.startswith(b"POST /order HTTP/1.1\r\n") for request, _ in made)


async def test_the_official_client_rehearses_nothing() -> None:
    async with open_desk(order_client=OfficialOrders) as desk:
        assert desk.exchange.rehearsal() is None
