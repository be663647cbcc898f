"""Setting faults over HTTP, in process and while the venue runs as a process."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec
import pytest
from polymarket import AsyncSecureClient
from polymarket.errors import TransportError

from sandbox.simulator import Market, Venue
from sandbox.simulator.faults import Faults
from tests.sandbox.simulator.conftest import buy


async def call(url: str, path: str, body: object = None) -> tuple[int, Any]:
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, json=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_faults_are_set_shown_counted_and_ended(
    client: AsyncSecureClient, url: str, venue: Venue, market: Market
) -> None:
    off = {"seed": 0, **msgspec.structs.asdict(Faults())}
    assert await call(url, "/sandbox/faults") == (200, off)
    wanted = {"drop_after": 1, "restart_ms": 5}
    assert await call(url, "/sandbox/faults", wanted) == (200, {**off, **wanted})
    with pytest.raises(TransportError):
        await buy(client, market.token("Up"), "1", "0.52")
    _, journal = await call(url, "/sandbox/journal")
    assert journal["injected"] == {"drop_after": 1}
    assert journal["entries"][0]["faults"] == ["drop_after"]

    assert await call(url, "/sandbox/faults", {}) == (200, off)
    assert venue.faults == Faults()
    assert (await buy(client, market.token("Up"), "1", "0.52")).status == "matched"


async def test_no_faults_ends_open_windows(url: str, venue: Venue) -> None:
    venue.chance.in_window("restart", 1.0, 60_000, venue.now_ms())
    assert venue.chance.open("restart", venue.now_ms())
    await call(url, "/sandbox/faults", {})
    assert not venue.chance.open("restart", venue.now_ms())


async def test_a_seed_begins_again_and_none_goes_on(url: str, venue: Venue) -> None:
    first = [venue.chance.hit("delayed", 0.5) for _ in range(30)]
    await call(url, "/sandbox/faults", {"delayed": 0.5})
    assert [venue.chance.hit("delayed", 0.5) for _ in range(30)] != first
    assert await call(url, "/sandbox/faults", {"seed": 0}) == await call(url, "/sandbox/faults")
    assert [venue.chance.hit("delayed", 0.5) for _ in range(30)] == first


async def test_what_is_unknown_is_named_and_nothing_changes(url: str, venue: Venue) -> None:
    venue.faults.delayed = 0.5
    status, body = await call(url, "/sandbox/faults", {"drop": 1, "delayed": 0.1})
    assert status == 400
    assert body["error"].startswith("unknown faults: drop; there are: restart, restart_ms, ")
    assert (await call(url, "/sandbox/faults", {"delayed": 2}))[0] == 400
    assert venue.faults == Faults(delayed=0.5)
