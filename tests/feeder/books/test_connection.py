from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
from structlog.testing import capture_logs

from feeder.books import connection as connection_module
from feeder.books.connection import Connection, LineTimes
from feeder.books.frame_intake import FrameIntake
from feeder.books.metrics import FeederMetrics
from feeder.core.book.token_book import Trouble
from feeder.core.market.market_session import LINES, MarketSession
from runtime.process import stop_tasks
from tests.fuzz.venue import Market
from tests.support.raw_websocket import RawWebsockets, raw_frame
from tests.support.scripted_market_channel import Caller, WireVenue
from tests.support.session_bench import SERIES, Bench, info_of
from venue import websocket, websocket_connection

QUICK = LineTimes(upkeep_every_s=0.01)
ENDLESS = LineTimes(upkeep_every_s=60)
"""Whoever wants something from the channel has to nudge it."""
OTHER = Market(8, Random(8), hidden_inputs=False)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Channel(Bench):
    """Connections to a wire venue, and what they offered."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = now_ms()
        self.follow(self.market)
        self.metrics = FeederMetrics([SERIES])
        self.offered: asyncio.Queue[MarketSession] = asyncio.Queue()
        self._intake = FrameIntake(self.table, self.metrics, self.offered.put_nowait, lambda: None)

    def follow(self, market: Market) -> None:
        listed = info_of(market, start_ms=self.now_ms - 60_000, end_ms=self.now_ms + 600_000)
        self.table.follow(listed, now_ms())

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0

    def usable(self, line: int) -> bool:
        return self.session.views[line].usable

    @asynccontextmanager
    async def connection(
        self, url: str, line: int = 0, times: LineTimes = QUICK, *, tokens: bool = True
    ) -> AsyncIterator[Connection]:
        connection = Connection(
            url,
            line,
            self.table,
            self._intake,
            self.metrics,
            self.offered.put_nowait,
            times,
            first_replacement_s=times.replace_every_s,
        )
        connection.tokens |= self.tokens if tokens else set()
        task = asyncio.create_task(connection.run())
        try:
            async with asyncio.timeout(30):
                yield connection
        finally:
            await stop_tasks(task)

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the table and the counters offer nothing to wait on
            await asyncio.sleep(0.002)

    async def greet(self, venue: WireVenue) -> Caller:
        """Take the next connection and send it the books."""
        caller = await venue.caller()
        assert (await caller.next_operation())["type"] == "market"
        await caller.send(self.opening().decode())
        return caller


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Channel:
    monkeypatch.setattr(websocket, "STABLE_S", 0)  # reconnect at once
    return Channel()


@pytest.fixture
async def venue() -> AsyncIterator[WireVenue]:
    async with WireVenue().open() as opened:
        yield opened


async def test_all_tokens_are_subscribed_and_what_comes_is_offered(
    bench: Channel, venue: WireVenue
) -> None:
    async with bench.connection(venue.url, line=1) as connection:
        caller = await venue.caller()
        first = await caller.next_operation()
        assert first == {"type": "market", "assets_ids": sorted(bench.tokens)}
        await caller.send(bench.opening().decode())
        assert await bench.offered.get() is bench.session
        assert bench.is_up_to_date()
        assert connection.connected
    assert not connection.connected
    assert bench.value("connections_total", line="1") == 1
    assert bench.value("reconnects_total", line="1") == 0


async def test_frames_of_one_market_in_one_read_are_offered_once_with_the_newest_book(
    bench: Channel,
) -> None:
    shown: list[bool] = []
    bench._intake._offer = lambda _: shown.append(bench.is_up_to_date())
    async with RawWebsockets().open() as server, bench.connection(server.url):
        caller = await server.caller()
        caller.say(raw_frame(bench.opening()))
        await bench.until(lambda: bench.usable(0))
        assert shown == [True]
        bench.now_ms = now_ms()
        first, second, third = (raw_frame(bench.change(size)) for size in range(1, 4))
        caller.say(first + second + third)
        await bench.until(lambda: bench.value("events_total", type="price_change") == 3)
        assert shown == [True, True]
        first, second = (raw_frame(bench.change(size)) for size in range(4, 6))
        caller.say(first + second[:40])
        await bench.until(lambda: bench.value("events_total", type="price_change") == 4)
        assert shown == [True, True, False]  # the other one is not here
        caller.say(second[40:])
        await bench.until(lambda: bench.value("events_total", type="price_change") == 5)
        assert shown == [True, True, False, True]
        caller.hang_up()
    assert bench.value("conflated_total", series="btc-15m") == 2


async def test_it_connects_when_there_is_something_to_bring(
    bench: Channel, venue: WireVenue
) -> None:
    async with bench.connection(venue.url, tokens=False) as connection:
        await asyncio.sleep(0.05)  # this is about what it does NOT do
        assert venue.callers_waiting == 0
        connection.tokens |= bench.tokens
        connection.nudge()
        await bench.greet(venue)


async def test_markets_come_and_go_on_one_connection(bench: Channel, venue: WireVenue) -> None:
    tokens = {token.token_id for token in OTHER.tokens}
    async with bench.connection(venue.url, times=ENDLESS) as connection:
        caller = await bench.greet(venue)
        await bench.offered.get()
        bench.follow(OTHER)
        connection.tokens |= tokens
        connection.nudge()
        assert await caller.next_operation() == {
            "operation": "subscribe",
            "assets_ids": sorted(tokens),
        }
        assert all(session.views[0].subscribed for session in bench.table)
        for token in OTHER.tokens:
            await caller.send(f"[{OTHER.opening_book(token)}]")
        assert (await bench.offered.get()).info.condition_id == OTHER.condition_id
        assert bench.session.ready  # the first one's books are none the worse for it
        connection.tokens -= bench.tokens
        connection.nudge()
        assert await caller.next_operation() == {
            "operation": "unsubscribe",
            "assets_ids": sorted(bench.tokens),
        }
    assert venue.callers_waiting == 0
    assert bench.value("reconnects_total", line="0") == 0


async def test_a_lost_connection_takes_its_books_and_is_made_again(
    bench: Channel, venue: WireVenue
) -> None:
    bench.open(1)
    async with bench.connection(venue.url):
        caller = await bench.greet(venue)
        await bench.until(lambda: bench.usable(0))
        await caller.hang_up()
        await bench.until(lambda: not bench.usable(0))
        assert bench.session.views[0].troubles() == (Trouble.NO_SNAPSHOT,) * 2
        assert bench.is_up_to_date()  # from the other line
        await bench.greet(venue)
        await bench.until(lambda: bench.usable(0))
    assert bench.value("reconnects_total", line="0") == 1
    assert bench.value("connections_total", line="0") == 2


async def test_what_a_lost_connection_has_not_published_yet_is_published_by_the_other_line(
    bench: Channel, venue: WireVenue
) -> None:
    async with bench.connection(venue.url):
        caller = await bench.greet(venue)
        await bench.offered.get()
        bench.open(1)
        bench.show()
        bench.now_ms = now_ms()
        frame = bench.change()
        await caller.send(frame.decode())
        await bench.offered.get()
        bench.send(1, frame)
        await caller.hang_up()
        assert await bench.offered.get() is bench.session
        assert bench.is_up_to_date()


async def test_ping_is_text_and_any_answer_keeps_the_connection(
    bench: Channel, venue: WireVenue
) -> None:
    times = LineTimes(upkeep_every_s=0.01, ping_every_s=0.02, silence_max_s=0.3)
    async with bench.connection(venue.url, times=times):
        caller = await bench.greet(venue)
        for _ in range(30):  # twice the silence that would end it
            assert await caller.next() == "PING"
            await caller.send("PONG")
        assert bench.value("events_total", type="pong") >= 29
        await caller.gone()  # no PONG any more
        await bench.greet(venue)
    assert bench.value("reconnects_total", line="0") == 1


async def test_a_connection_in_doubt_is_replaced_at_once_when_the_other_line_has_its_markets(
    bench: Channel, venue: WireVenue
) -> None:
    bench.open(1)
    async with bench.connection(venue.url, times=ENDLESS) as connection:
        caller = await bench.greet(venue)
        await bench.until(lambda: bench.usable(0))
        connection.replace("in doubt")
        await caller.gone()
        await bench.greet(venue)
    assert bench.value("reconnects_total", line="0") == 1


async def test_a_connection_in_doubt_that_alone_has_a_market_is_kept_while_it_brings_data(
    bench: Channel, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "REPLACE_WAIT_MAX_S", 0.1)
    async with bench.connection(venue.url) as connection:
        caller = await bench.greet(venue)
        await bench.offered.get()
        connection.replace("in doubt")
        await caller.send(bench.change().decode())
        await bench.offered.get()
        await asyncio.sleep(0.3)  # this is about what it does NOT do
        assert bench.usable(0)
        bench.open(1)
        await caller.gone()


async def test_a_connection_in_doubt_that_brings_nothing_is_not_kept_for_long(
    bench: Channel, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "REPLACE_WAIT_MAX_S", 0.2)
    async with bench.connection(venue.url) as connection:
        caller = await bench.greet(venue)
        await bench.offered.get()
        asked_at_s = time.monotonic()
        connection.replace("in doubt")
        await caller.send("PONG")
        await caller.gone()
        assert time.monotonic() - asked_at_s >= 0.2


async def test_lines_in_doubt_at_once_are_replaced_one_after_the_other(
    bench: Channel, venue: WireVenue
) -> None:
    async with (
        bench.connection(venue.url, 0) as first,
        bench.connection(venue.url, 1) as second,
    ):
        await bench.greet(venue)
        await bench.greet(venue)
        await bench.until(lambda: bench.usable(0) and bench.usable(1))
        for connection in (first, second):
            connection.replace("in doubt")
        for _ in range(2):
            caller = await venue.caller()
            await caller.next_operation()
            await asyncio.sleep(0.05)  # this is about what the other one does NOT do
            assert bench.usable(0) != bench.usable(1)
            assert venue.callers_waiting == 0
            await caller.send(bench.opening().decode())
        await bench.until(lambda: bench.usable(0) and bench.usable(1))


async def test_a_scheduled_replacement_waits_for_the_other_line(
    bench: Channel, venue: WireVenue
) -> None:
    times = msgspec.structs.replace(QUICK, replace_every_s=0.1)
    with capture_logs() as logs:
        async with bench.connection(venue.url, times=times):
            caller = await bench.greet(venue)
            await bench.offered.get()
            await asyncio.sleep(0.3)  # this is about what it does NOT do
            assert bench.usable(0)
            bench.open(1)
            await caller.gone()
            await bench.greet(venue)
            await bench.until(lambda: bench.usable(0))
    lost = [line["error"] for line in logs if line["event"] == "channel_lost"]
    assert lost[0] == "ChannelLostError: replaced as scheduled"


async def test_a_connection_that_stays_behind_is_replaced_by_one_with_the_books_of_now(
    bench: Channel, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "BEHIND_MAX_S", 0.05)
    bench.open(1)
    async with bench.connection(venue.url) as connection:
        caller = await bench.greet(venue)
        await bench.until(lambda: bench.usable(0))
        connection._set_behind(True)  # and no frame shows that it is not
        await caller.gone()
        await bench.greet(venue)
        await bench.until(lambda: bench.usable(0))
        assert not connection.behind


async def test_a_connection_without_trouble_sleeps_until_something_is_due(
    bench: Channel, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    upkeep = Connection.upkeep

    async def counted(connection: Connection, now_s: float) -> None:
        looks.append(now_s)
        await upkeep(connection, now_s)

    monkeypatch.setattr(Connection, "upkeep", counted)
    times = LineTimes(upkeep_every_s=0.001, ping_every_s=0.05)
    async with bench.connection(venue.url, times=times) as connection:
        caller = await bench.greet(venue)
        for _ in range(4):
            assert await caller.next() == "PING"
            await caller.send("PONG")
        assert len(looks) < 20  # of 200
        connection.replace("in doubt")
        looks.clear()
        async with asyncio.timeout(1):  # no other line has its market: it is asked again and again
            await bench.until(lambda: len(looks) > 40)  # by PINGs alone: 20


async def test_a_connection_that_has_caught_up_again_is_kept(
    bench: Channel, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "BEHIND_MAX_S", 0.02)
    async with bench.connection(venue.url) as connection:
        await bench.greet(venue)
        await bench.until(lambda: bench.usable(0))
        connection._set_behind(True)
        await asyncio.sleep(0.1)  # no other line has its market, so it stays
        connection._set_behind(False)
        bench.open(1)
        await asyncio.sleep(0.05)  # this is about what it does NOT do
        assert bench.usable(0)


async def test_a_frame_beyond_all_bounds_ends_the_connection_and_not_the_feeder(
    bench: Channel, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "FRAME_BYTES_MAX", 50_000)
    async with bench.connection(venue.url):
        caller = await bench.greet(venue)
        await caller.send("x" * 60_000)
        await bench.greet(venue)
        await bench.until(lambda: bench.usable(0))


async def test_nothing_can_be_replaced_while_nothing_is_connected(bench: Channel) -> None:
    async with bench.connection("ws://127.0.0.1:9/ws/market") as connection:
        connection.replace("in doubt")
        async with WireVenue().open() as venue, bench.connection(venue.url):
            await bench.greet(venue)


async def test_reconnecting_backs_off_and_says_where(
    bench: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "STABLE_S", 10)
    async with WireVenue().open() as venue:
        pass  # now the port is known and free
    with capture_logs() as logs:
        async with bench.connection(venue.url):
            await bench.until(lambda: len(logs) >= 2)
            async with venue.open(int(venue.url.split(":")[2].partition("/")[0])):
                await bench.greet(venue)
                await bench.offered.get()
    assert all(line["event"] == "not_reachable" for line in logs[:2])
    assert f"{venue.url} (line 0)" in logs[0]["what"]


async def test_it_stops_in_the_middle_of_anything(bench: Channel, venue: WireVenue) -> None:
    async with bench.connection(venue.url):
        pass
    async with bench.connection(venue.url):
        await venue.caller()
    async with bench.connection(venue.url):
        await bench.greet(venue)
        await bench.offered.get()
    assert all(not bench.usable(line) for line in range(LINES))
