from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed

from feeder.fills import user_channel
from feeder.fills.intake import Intake
from feeder.fills.metrics import UserMetrics
from feeder.fills.user_channel import UserChannel
from protocol.fill import Fill
from protocol.side import Side
from tests.support.scripted_market_channel import Caller, WireVenue
from tests.support.user_channel_frames import CREDENTIALS, SECRETS, order, trade
from tests.venue.wire.test_user_channel import FILL
from venue import websocket
from venue.websocket import ChannelTimes
from venue.wire import subscriptions

CREDENTIALS_FRAME = json.loads(subscriptions.user_channel(CREDENTIALS))


class Bench:
    """A user channel on a wire venue, and what it called."""

    def __init__(self) -> None:
        self.metrics = UserMetrics()
        self.calls: asyncio.Queue[Fill | str] = asyncio.Queue()
        self.channel: UserChannel

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_user_{name}", labels) or 0.0

    @asynccontextmanager
    async def run(
        self,
        url: str,
        times: ChannelTimes = ChannelTimes(),  # noqa: B008 - frozen
    ) -> AsyncIterator[None]:
        self.channel = UserChannel(
            url,
            CREDENTIALS,
            Intake(self.metrics),
            self.metrics,
            on_fill=self.calls.put_nowait,
            on_subscribed=lambda: self.calls.put_nowait("subscribed"),
            times=times,
        )
        task = asyncio.create_task(self.channel.run())
        try:
            async with asyncio.timeout(30):
                yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the counters offer nothing to wait on
            await asyncio.sleep(0.002)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def venue() -> AsyncIterator[WireVenue]:
    async with WireVenue().open() as opened:
        yield opened


async def welcome(venue: WireVenue) -> Caller:
    """Take the next connection as the venue does when the credentials are right."""
    caller = await venue.caller()
    assert await caller.next() == CREDENTIALS_FRAME
    assert await caller.next() == "PING"
    await caller.send("PONG")
    return caller


async def refuse(caller: Caller, words: str = "") -> None:
    """Close as the venue does when they are wrong."""
    await caller.next()
    with suppress(ConnectionClosed):
        await caller._websocket.close(1008, words)


async def test_credentials_at_once_then_subscribed_then_fills(
    bench: Bench, venue: WireVenue
) -> None:
    async with bench.run(venue.url):
        caller = await venue.caller()
        assert await caller.next() == CREDENTIALS_FRAME
        assert await caller.next() == "PING"
        assert bench.calls.empty()
        assert bench.channel.problem() == f"the user channel at {venue.url} is not connected"
        await caller.send("PONG")
        assert await bench.calls.get() == "subscribed"
        assert bench.channel.problem() is None
        await caller.send([order("PLACEMENT"), order("NEWS"), trade(), trade(trader_side="MAKER")])
        assert await bench.calls.get() == FILL
        await caller.send(trade(side="SELL"))  # its order id says whose it is
        assert await bench.calls.get() == msgspec.structs.replace(FILL, side=Side.SELL)
        await caller.send(trade(status="LOST"))
        assert await bench.calls.get() == FILL  # provisional, and counted
        await caller.send("INVALID OPERATION")
        await caller.send({"event_type": "balance"})
        await bench.until(lambda: bench.value("events_total", kind="unknown") == 1)
        assert bench.calls.empty()
    assert bench.value("events_total", kind="order") == 2
    assert bench.value("events_total", kind="trade") == 4
    assert bench.value("events_total", kind="rejected") == 1
    assert bench.value("order_events_total", change="placement") == 1
    assert bench.value("order_events_total", change="other") == 1
    assert bench.value("trades_skipped_total", reason="maker") == 1
    assert bench.value("trades_unknown_status_total") == 1
    assert bench.value("rejected_total", cause="not_json") == 1
    assert 0 <= bench.value("last_event_age_seconds") < 15


async def test_an_event_that_comes_before_the_pong_is_kept(bench: Bench, venue: WireVenue) -> None:
    async with bench.run(venue.url):
        caller = await venue.caller()
        await caller.send(trade())
        assert await bench.calls.get() == "subscribed"
        assert await bench.calls.get() == FILL


async def test_each_connection_is_announced(bench: Bench, venue: WireVenue) -> None:
    async with bench.run(venue.url):
        await (await welcome(venue)).hang_up()
        await (await welcome(venue)).send(trade())
        assert [await bench.calls.get() for _ in range(3)] == ["subscribed", "subscribed", FILL]
    assert bench.value("reconnects_total") == 1
    assert bench.value("connections_total") == 2


async def test_pings_go_on_and_any_answer_keeps_the_connection(
    bench: Bench, venue: WireVenue
) -> None:
    times = ChannelTimes(ping_every_s=0.02, silence_max_s=0.3, upkeep_every_s=0.01)
    async with bench.run(venue.url, times):
        caller = await welcome(venue)
        for _ in range(30):  # twice the silence that would end it
            assert await caller.next() == "PING"
            await caller.send("PONG")
        assert bench.value("reconnects_total") == 0
        await caller.gone()  # no PONG any more
        assert bench.channel.problem() is not None
        await welcome(venue)
    assert bench.value("reconnects_total") == 1
    assert bench.value("refused_total") == 0


async def test_refused_credentials_are_said_clearly_and_trying_goes_on(
    bench: Bench, venue: WireVenue
) -> None:
    with capture_logs() as logs:
        async with bench.run(venue.url):
            for _ in range(user_channel.REFUSALS_BEFORE_SAYING):
                await refuse(await venue.caller(), f"bad {CREDENTIALS.passphrase}")
            await bench.until(
                lambda: bench.value("refused_total") == user_channel.REFUSALS_BEFORE_SAYING
            )
            said = bench.channel.problem()
            assert said is not None
            assert "check API_KEY, API_SECRET and API_PASSPHRASE" in said
            await refuse(await venue.caller())
            await welcome(venue)  # somebody mended the key at the venue
            assert await bench.calls.get() == "subscribed"
            assert bench.channel.problem() is None
    refused = [line for line in logs if line["event"] == "credentials_refused"]
    assert len(refused) == 1
    assert refused[0]["log_level"] == "critical"
    assert not any(secret in str(logs) for secret in SECRETS)
    assert "bad ***" in str(logs)


async def test_losses_of_good_connections_are_no_refusals(bench: Bench, venue: WireVenue) -> None:
    async with bench.run(venue.url):
        for _ in range(user_channel.REFUSALS_BEFORE_SAYING + 1):
            await (await welcome(venue)).hang_up()
        await welcome(venue)
        for _ in range(user_channel.REFUSALS_BEFORE_SAYING + 2):
            assert await bench.calls.get() == "subscribed"
        assert bench.value("refused_total") == 0
        assert bench.channel.problem() is None


async def test_reconnecting_backs_off_and_says_where(bench: Bench) -> None:
    async with WireVenue().open() as venue:
        pass  # now the port is known and free
    with capture_logs() as logs:
        async with bench.run(venue.url):
            await bench.until(lambda: len(logs) >= 2)
            async with venue.open(int(venue.url.split(":")[2].partition("/")[0])):
                await welcome(venue)
                assert await bench.calls.get() == "subscribed"
    assert all(line["event"] == "not_reachable" for line in logs[:2])
    assert logs[0]["what"] == f"user channel at {venue.url}"
    assert bench.value("refused_total") == 0


async def test_a_connection_that_lasted_is_replaced_without_delay(
    bench: Bench, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "STABLE_S", 0.0)
    with capture_logs() as logs:
        async with bench.run(venue.url):
            await (await welcome(venue)).hang_up()
            await welcome(venue)
    events = [line["event"] for line in logs]
    assert "channel_lost" in events
    assert "not_reachable" not in events


async def test_nothing_that_is_logged_at_any_level_holds_a_secret(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        async with AsyncExitStack() as stack:
            venue = await stack.enter_async_context(WireVenue().open())
            async with bench.run(venue.url):
                caller = await welcome(venue)
                await caller.send(f"INVALID {CREDENTIALS_FRAME}")
                await caller.send([{"event_type": "x", **CREDENTIALS_FRAME}, "nothing"])
                await bench.until(lambda: bench.value("events_total", kind="unknown") == 1)
                await stack.aclose()
                await bench.until(lambda: bench.channel.problem() is not None)
    # The server of this test logs what it receives; that is not ours.
    own = [record for record in caplog.records if record.name != "websockets.server"]
    said = str(logs) + "".join(f"{record.getMessage()} {record.exc_text}" for record in own)
    assert "user_event_rejected" in said
    # Long texts get shortened in the middle, so a part of a secret is one, too.
    assert not any(part in said for secret in SECRETS for part in (secret[:9], secret[-9:]))
