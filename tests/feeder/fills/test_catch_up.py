from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from feeder.core.missing_trades import OVERLAP_S, MissingTrades
from feeder.fills import catch_up as catch_up_module
from feeder.fills.catch_up import CatchUp
from feeder.fills.intake import Intake
from feeder.fills.metrics import UserMetrics
from feeder.fills.publisher import FillPublisher
from feeder.fills.trade_history import TradeHistory
from protocol.fill import Fill, decode_fill
from protocol.subjects import FILLS
from runtime.nats import connect, ensure_stream
from tests.support.market_channel_frames import frame
from tests.support.scripted_trades import WireTrades
from tests.support.servers import NatsServer
from tests.support.user_channel_frames import CREDENTIALS, MATCHED_AT_S, SECRETS, page, trade
from venue.wire.trades import VenueTrade
from venue.wire.user_channel import decode_user_frame

START_S = MATCHED_AT_S - 1_000


def fill(trade_id: str) -> Fill:
    (event,) = decode_user_frame(frame(trade(trade_id)))
    assert isinstance(event, VenueTrade)
    return event.fill


class Bench:
    """Catching up between scripted look-ups and a real stream; the test is the channel."""

    def __init__(self, server: NatsServer, backlog_max: int) -> None:
        self.server = server
        self.backlog_max = backlog_max
        self.wire = WireTrades()
        self.metrics = UserMetrics()
        self.missing = MissingTrades(START_S)
        self.catch_up: CatchUp
        self.publisher: FillPublisher

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_user_{name}", labels) or 0.0

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the counters offer nothing to wait on
            await asyncio.sleep(0.002)

    async def after_s(self) -> int:
        """What the next look-up asks for."""
        return int((await self.wire.requests.get()).query["after"])

    async def stream(self) -> list[str]:
        """Trade ids on the stream, in order."""
        state = (await self.js.stream_info(FILLS.name)).state
        messages = [
            await self.js.get_msg(FILLS.name, sequence)
            for sequence in range(state.first_seq, state.last_seq + 1)
        ]
        return [decode_fill(message.data or b"").trade_id for message in messages]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        nc = await connect(self.server.url, "test")
        self.js = nc.jetstream()
        await ensure_stream(self.js, FILLS)
        self.publisher = FillPublisher(
            nc,
            self.metrics,
            lambda each: self.missing.acknowledged(each, int(time.time())),
            backlog_max=self.backlog_max,
        )
        async with (
            self.wire.open(),
            TradeHistory(self.wire.url, CREDENTIALS, self.metrics) as history,
        ):
            self.catch_up = CatchUp(
                history, self.publisher, self.missing, Intake(self.metrics), self.metrics
            )
            tasks = [
                asyncio.create_task(self.publisher.run()),
                asyncio.create_task(self.catch_up.run()),
            ]
            try:
                async with asyncio.timeout(30):
                    yield
            finally:
                for task in tasks:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                await nc.close()


@pytest.fixture
def bench(nats_server: NatsServer) -> Bench:
    return Bench(nats_server, backlog_max=100)


async def test_the_first_connection_fetches_since_the_start_and_duplicates_vanish(
    bench: Bench,
) -> None:
    bench.wire.say(page(trade("a"), trade("b"), next_cursor="Mg=="))
    bench.wire.say(page(trade("c"), trade("d", status="ODD")))
    async with bench.run():
        bench.catch_up.from_channel(fill("b"))
        bench.catch_up.subscribed()
        assert await bench.after_s() == START_S
        await bench.until(lambda: bench.value("refetches_total") == 1)
        assert await bench.stream() == ["b", "a", "c", "d"]
        assert bench.missing.owed_from_s is None
    assert bench.value("fills_duplicate_total") == 1
    assert bench.value("trades_fetched_total") == 4
    assert bench.value("trades_unknown_status_total") == 1


async def test_the_next_one_fetches_since_the_newest_trade_and_a_minute(bench: Bench) -> None:
    async with bench.run():
        bench.catch_up.subscribed()
        await bench.after_s()
        await bench.until(lambda: bench.value("refetches_total") == 1)
        bench.catch_up.from_channel(fill("a"))
        await bench.publisher.drained()
        bench.catch_up.subscribed()
        assert await bench.after_s() == MATCHED_AT_S - OVERLAP_S


async def test_a_failing_fetch_is_retried_from_its_start_while_live_fills_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up_module, "FAILING_S", 0)
    bench.wire.say(page(trade("new"), next_cursor="Mg=="))
    bench.wire.say(b"oops", 500)
    with capture_logs() as logs:
        async with bench.run():
            bench.catch_up.subscribed()
            assert [await bench.after_s() for _ in range(2)] == [START_S, START_S]
            bench.wire.hold = asyncio.Event()
            bench.wire.say(page(trade("new"), trade("missed")))
            await bench.until(lambda: bench.catch_up.problem() is not None)
            said = bench.catch_up.problem()
            assert said is not None
            assert "answered 500" in said
            bench.catch_up.from_channel(fill("live"))
            await bench.publisher.drained()
            assert await bench.stream() == ["new", "live"]
            assert await bench.after_s() == START_S
            bench.wire.hold.set()
            await bench.until(lambda: bench.value("refetches_total") == 1)
            assert await bench.stream() == ["new", "live", "missed"]
            assert bench.catch_up.problem() is None
    assert bench.value("fetch_failures_total", cause="bad_answer") == 1
    assert [line["event"] for line in logs if line["event"] == "not_reachable"]


async def test_refused_credentials_show_at_once(bench: Bench) -> None:
    bench.wire.say(b'{"error":"Unauthorized/Invalid api key"}', 401)
    with capture_logs() as logs:
        async with bench.run():
            bench.catch_up.subscribed()
            await bench.until(lambda: bench.catch_up.problem() is not None)
            said = bench.catch_up.problem()
            assert said is not None
            assert "check API_KEY" in said
            await bench.until(lambda: bench.value("refetches_total") == 1)
            assert bench.catch_up.problem() is None
    assert not any(secret in str(logs) for secret in SECRETS)


async def test_what_the_backlog_drops_is_fetched(nats_server: NatsServer) -> None:
    bench = Bench(nats_server, backlog_max=2)
    async with bench.run():
        bench.catch_up.subscribed()
        await bench.after_s()
        await bench.until(lambda: bench.value("refetches_total") == 1)
        nats_server.pause()
        bench.wire.say(page(*(trade(name) for name in "abcde")))
        bench.catch_up.from_channel(fill("a"))
        await bench.until(lambda: bench.value("fills_waiting") == 0)  # under way
        for name in "bcde":
            bench.catch_up.from_channel(fill(name))
        assert bench.value("fills_dropped_total") == 2
        assert await bench.after_s() == MATCHED_AT_S - OVERLAP_S
        nats_server.resume()
        await bench.until(lambda: bench.value("refetches_total") == 2)
        assert await bench.stream() == ["a", "b", "c", "d", "e"]
        assert bench.missing.owed_from_s is None


async def test_a_fetch_counts_only_when_the_stream_has_everything(
    bench: Bench, nats_server: NatsServer
) -> None:
    bench.wire.say(page(trade("a"), trade("b")))
    async with bench.run():
        nats_server.stop()
        bench.catch_up.subscribed()
        await bench.until(lambda: bench.value("trades_fetched_total") == 2)
        await bench.until(lambda: bench.value("publish_failures_total", cause="disconnected") > 0)
        assert bench.missing.owed_from_s == START_S
        nats_server.start()
        await bench.until(lambda: bench.value("refetches_total") == 1)
        assert await bench.stream() == ["a", "b"]
        assert bench.missing.owed_from_s is None


async def test_a_reconnect_during_a_fetch_is_fetched_too(bench: Bench) -> None:
    async with bench.run():
        bench.wire.hold = asyncio.Event()
        bench.catch_up.subscribed()
        assert await bench.after_s() == START_S
        bench.catch_up.subscribed()
        bench.wire.hold.set()
        assert await bench.after_s() == START_S
        await bench.until(lambda: bench.value("refetches_total") == 2)
        assert bench.missing.owed_from_s is None
