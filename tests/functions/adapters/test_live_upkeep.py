"""What the live adapter does beside the orders, and what it says of it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.adapters import live_exchange
from functions.adapters.live_exchange import LiveExchange
from tests.support.canned_venue import account as canned_account
from tests.support.canned_venue import canned_venue
from tests.support.live_desk import open_desk
from venue.trading import official_client
from venue.trading.login import secure_client
from venue.trading.official_orders import OfficialOrders


async def test_a_venue_that_does_not_answer_or_restricts_the_account_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with canned_venue() as venue:
        client = await secure_client(canned_account(venue.url))
        exchange = LiveExchange(client, OfficialOrders(client))
        exchange._last_answer.silent_max_s = -1.0
        path = "/auth/ban-status/closed-only"
        venue.says(path, {"error": "down"}, 500)
        await exchange._ping()
        said = exchange.problem()
        assert said is not None
        assert said.startswith("the venue has not answered where orders go for 0 s: ")
        exchange._last_answer.silent_max_s = 30.0
        for closed_only in (True, False):
            venue.says(path, {"closed_only": closed_only})
            await exchange._ping()
            restricted = "the venue lets this account only close positions"
            assert exchange.problem() == (restricted if closed_only else None)
        await exchange.close()


async def test_metadata_that_never_comes_do_not_keep_the_order_connection_from_being_kept_warm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pings = 0

    async def ping() -> None:
        nonlocal pings
        pings += 1

    async def slow(*_: object) -> None:
        await asyncio.sleep(0.02)
        raise TimeoutError

    monkeypatch.setattr(official_client, "market_facts", slow)
    monkeypatch.setattr(live_exchange, "KEEP_WARM_S", 0.05)
    async with open_desk() as desk:
        monkeypatch.setattr(desk.exchange, "_ping", ping)
        for number in range(100):  # strangers' markets, say
            desk.exchange._warmed[f"0x{number}"] = (
                float("-inf"),
                msgspec.structs.replace(desk.info(), condition_id=f"0x{number}"),
            )
        with capture_logs() as logs, pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await desk.exchange.upkeep()
        assert pings > 2
        assert len([each for each in logs if each["event"] == "warming_failed"]) == 1
        assert next(iter(desk.exchange._warmed)) != "0x0"  # the others have their turn


async def test_nothing_is_kept_of_a_market_that_is_forgotten() -> None:
    async with open_desk() as desk:
        exchange, info = desk.exchange, desk.info()
        cache = exchange._client._ctx.order_metadata
        before = dict(cache._conditions._values), dict(cache._markets._values)
        await exchange.warm(info)
        assert len(cache._markets._values) == len(before[1]) + 1
        assert len(cache._conditions._values) == len(before[0]) + 2
        exchange.forget(info.condition_id)
        assert (cache._conditions._values, cache._markets._values) == before
        assert exchange._warmed == {}
        exchange.forget(info.condition_id)  # again does no harm
        assert (await desk.prepare()).spend_e6 == 1_100_000  # it is asked for anew
