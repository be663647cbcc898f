"""The user feeder as the process it is: real nats-server, simulated venue, official client."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from polymarket import AsyncSecureClient

from protocol.fill import Fill, TradeStatus, decode_fill
from protocol.subjects import FILLS
from runtime.nats import connect, ensure_stream
from sandbox.simulator import Market, Venue, serve
from sandbox.simulator.auth import ApiKey
from tests.feeder.books.test_service import NOWHERE, Process, feeder, get
from tests.sandbox.simulator.conftest import ADDRESS, KEY, SIGNER, buy, environment
from tests.support.servers import NatsServer
from tests.support.user_channel_frames import CREDENTIALS, SECRETS

SHARES = 1_000_000
pytestmark = pytest.mark.usefixtures("forked")


class System:
    """A venue with an account that trades, and a stream that is watched."""

    def __init__(self, venue: Venue, url: str, client: AsyncSecureClient, key: ApiKey) -> None:
        self.venue = venue
        self.url = url
        self.key = key
        self.client = client
        now_ms = time.time_ns() // 1_000_000
        self.market: Market = venue.add_market(
            "btc-updown-15m-1800000000", start_ms=now_ms - 60_000, end_ms=now_ms + 840_000
        )
        self.up = self.market.token("Up")

    async def buy(self) -> tuple[str, str]:
        """Buy for a dollar; returns the order's and the trade's id."""
        self.venue.set_book(self.up, [(4800, 10 * SHARES)], [(5000, 100 * SHARES)])
        accepted = await buy(self.client, self.up, "1", "0.5")
        (trade,) = (
            each
            for each in self.venue.journal.trades.values()
            if each.order_id == accepted.order_id
        )
        return trade.order_id, trade.trade_id

    def variables(self, nats_url: str) -> dict[str, str]:
        return {
            "NATS_URL": nats_url,
            "CLOB_URL": self.url,
            "USER_WS_URL": self.url.replace("http://", "ws://") + "/ws/user",
            "API_KEY": self.key.key,
            "API_SECRET": self.key.secret,
            "API_PASSPHRASE": self.key.passphrase,
            "API_ADDRESS": SIGNER,
        }

    def secrets(self) -> tuple[str, ...]:
        return (self.key.key, self.key.secret, self.key.passphrase)


@asynccontextmanager
async def running_venue() -> AsyncIterator[System]:
    venue = Venue()
    key = venue.keys.create(SIGNER.lower(), 0)  # the client derives this one
    assert key is not None
    async with (
        serve(venue) as url,
        await AsyncSecureClient.create(
            private_key=KEY, wallet=ADDRESS, environment=environment(url)
        ) as client,
    ):
        yield System(venue, url, client, key)


@asynccontextmanager
async def fills(server: NatsServer) -> AsyncIterator[asyncio.Queue[Fill]]:
    """What appears on the stream, from now on."""
    nc: Client = await connect(server.url, "observer")
    await ensure_stream(nc.jetstream(), FILLS)
    seen: asyncio.Queue[Fill] = asyncio.Queue()

    async def observe(message: Any) -> None:
        seen.put_nowait(decode_fill(message.data))

    await nc.subscribe("fill.>", cb=observe)
    await nc.flush()
    yield seen
    await nc.close()


async def statuses(seen: asyncio.Queue[Fill], trade_id: str, last: TradeStatus) -> set[TradeStatus]:
    """The statuses of a trade, until `last` has come."""
    found: set[TradeStatus] = set()
    while last not in found:
        fill = await seen.get()
        if fill.trade_id == trade_id:
            found.add(fill.status)
    return found


async def test_trades_at_the_venue_become_fills_and_a_signal_ends_it_cleanly(
    nats_server: NatsServer,
) -> None:
    async with (
        running_venue() as system,
        fills(nats_server) as seen,
        feeder("user", **system.variables(nats_server.url)) as process,
    ):
        port = int((await process.line("user_feeder_started"))["metrics_port"])
        await process.line("trades_fetched")
        order_id, trade_id = await system.buy()
        first = await seen.get()
        assert first == Fill(
            trade_id=trade_id,
            order_id=order_id,
            condition_id=system.market.condition_id,
            token_id=system.up,
            status=TradeStatus.MATCHED,
            price_e4=5000,
            size_e6=2 * SHARES,
            matched_at_ms=system.venue.journal.trades[trade_id].matched_at_ms // 1000 * 1000,
        )
        later = await statuses(seen, trade_id, TradeStatus.CONFIRMED)
        assert later == {TradeStatus.MINED, TradeStatus.CONFIRMED}
        assert await get(port, "/healthz") == (200, "ok")
        _, metrics = await get(port, "/metrics")
        assert 'feeder_user_events_total{kind="trade"} 3.0' in metrics
        assert "feeder_user_fills_published_total" in metrics
        assert trade_id not in metrics

        begun_s = time.monotonic()
        assert await process.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begun_s < 20
        words = await process.last_words()
    assert json.loads(words.strip().splitlines()[-1])["event"] == "user_feeder_stopped"
    assert not any(secret in metrics + words for secret in system.secrets())


async def test_what_happened_while_it_was_away_is_fetched(nats_server: NatsServer) -> None:
    async with running_venue() as system, fills(nats_server) as seen:
        _, before = await system.buy()
        async with feeder("user", **system.variables(nats_server.url)) as process:
            assert TradeStatus.CONFIRMED in await statuses(seen, before, TradeStatus.CONFIRMED)
            await process.line("trades_fetched")

            # Live events get lost, as when a connection breaks without anybody noticing.
            (connection,) = system.venue.user_feed.connections
            connection.send = lambda text: None  # type: ignore[method-assign]
            _, missed = await system.buy()
            connection.abort()
            assert await statuses(seen, missed, TradeStatus.CONFIRMED)
            await process.line("user_channel_connected")
            _, after = await system.buy()
            live = await statuses(seen, after, TradeStatus.CONFIRMED)
            assert live == {TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.CONFIRMED}
            assert await process.stop() == 0


async def test_a_restart_of_nats_in_the_middle_loses_no_fill(nats_server: NatsServer) -> None:
    async with (
        running_venue() as system,
        feeder("user", **system.variables(nats_server.url)) as process,
    ):
        port = int((await process.line("user_feeder_started"))["metrics_port"])
        await process.line("trades_fetched")
        nats_server.stop()
        _, trade_id = await system.buy()
        await process.line("fill_not_published")
        status, sentence = await get(port, "/healthz")
        assert (status, sentence) == (503, f"not connected to NATS at {nats_server.url}")
        nats_server.start()
        reader = await connect(nats_server.url, "reader")
        stream = await reader.jetstream().subscribe("fill.>")
        found: list[TradeStatus] = []
        while len(found) < 3:
            fill = decode_fill((await stream.next_msg(timeout=20)).data)
            assert fill.trade_id == trade_id
            found.append(fill.status)
        assert found == [TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.CONFIRMED]
        await reader.close()
        assert await process.stop() == 0


@pytest.mark.parametrize(
    "bent",
    [
        {"API_KEY": CREDENTIALS.key},
        {"API_SECRET": CREDENTIALS.secret},
        {"API_PASSPHRASE": CREDENTIALS.passphrase},
        {"API_ADDRESS": CREDENTIALS.address},
    ],
    ids=lambda bent: next(iter(bent)),
)
async def test_credentials_that_are_not_the_signer_s_are_one_line_and_not_shown(
    nats_server: NatsServer, bent: dict[str, str]
) -> None:
    async with running_venue() as system:
        async with feeder("user", **system.variables(nats_server.url) | bent) as process:
            await process.line("user_feeder_started")
            assert await process.exit_code() == 2
            words = await process.last_words()
        assert "cannot start: API_KEY: the venue does not take these API credentials" in words
        assert "Traceback" not in words
        assert not any(secret in words for secret in (*SECRETS, *system.secrets()))


async def test_another_signer_s_wallet_is_refused_before_anybody_is_asked() -> None:
    async with feeder("user", **given_variables(WALLET="0x" + "11" * 20)) as process:
        assert "API_ADDRESS: WALLET is not a wallet of this signer" in await refusal(process)
    async with feeder(
        "user", **given_variables(WALLET=CREDENTIALS.address, NATS_URL=f"nats://{NOWHERE}")
    ) as process:
        await process.line("user_feeder_started")


async def test_a_venue_that_does_not_say_whose_they_are_is_waited_for(
    nats_server: NatsServer,
) -> None:
    variables = given_variables(NATS_URL=nats_server.url, CLOB_URL="http://127.0.0.1:1")
    async with feeder("user", **variables) as process:
        port = int((await process.line("user_feeder_started"))["metrics_port"])
        waits = await process.line("not_reachable")
        assert waits["what"] == "the venue at http://127.0.0.1:1"
        assert await get(port, "/healthz") == (503, "waiting for the venue at http://127.0.0.1:1")
        assert await process.stop() == 0


def given_variables(**bent: str) -> dict[str, str]:
    return {
        "API_KEY": CREDENTIALS.key,
        "API_SECRET": CREDENTIALS.secret,
        "API_PASSPHRASE": CREDENTIALS.passphrase,
        "API_ADDRESS": CREDENTIALS.address,
        **bent,
    }


async def test_it_waits_for_nats_says_where_and_can_be_stopped_meanwhile() -> None:
    variables = given_variables(NATS_URL=f"nats://{NOWHERE}", CLOUDWATCH_STAGE="dev")
    async with feeder("user", **variables) as process:
        port = int((await process.line("user_feeder_started"))["metrics_port"])
        assert (await process.line("not_reachable"))["what"] == f"NATS at nats://{NOWHERE}"
        assert await get(port, "/healthz") == (503, f"not connected to NATS at nats://{NOWHERE}")
        assert await process.stop() == 0
        assert "Traceback" not in await process.last_words()
        (*_, told) = await process.told()
        assert (told["Stage"], told["Service"], told["FillsWaiting"]) == ("dev", "user-feeder", 0)


async def refusal(process: Process) -> str:
    assert await process.exit_code() == 2
    line = await process.last_words()
    assert line.startswith("cannot start: ")
    assert line.count("\n") == 1
    return line


async def test_a_signing_key_in_its_environment_is_refused() -> None:
    async with feeder("user", **given_variables(PRIVATE_KEY=KEY)) as process:
        line = await refusal(process)
    assert line == "cannot start: PRIVATE_KEY: this process must not hold a signing key: unset it\n"


async def test_missing_credentials_are_one_line() -> None:
    async with feeder("user") as process:
        line = await refusal(process)
    for name in ("API_KEY", "API_SECRET", "API_PASSPHRASE", "API_ADDRESS"):
        assert f"{name}: " in line


@pytest.mark.parametrize("role", [("trader",), ("market", "user"), ("--user",)])
async def test_an_unknown_role_is_one_line(role: tuple[str, ...]) -> None:
    async with feeder(*role) as process:
        line = await refusal(process)
    assert "market (the default) or user" in line


async def test_market_is_a_role_too() -> None:
    async with feeder("market", SERIES="bitcoin") as process:
        assert "SERIES" in await refusal(process)
