from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from feeder import market_channel
from feeder.core import sessions
from feeder.core.sessions import MarketSession, SessionTable
from feeder.market_channel import ChannelTimes, MarketChannel
from feeder.metrics import FeederMetrics
from protocol.market import MarketInfo
from protocol.series import parse_series
from tests.feeder.core.test_sessions import info
from tests.feeder.wire import DOWN, MARKET, UP, book, change, price_change, tick_size_change
from tests.feeder.wire_venue import Caller, WireVenue

SERIES = parse_series("btc-15m")
OTHER, OTHER_UP, OTHER_DOWN = "0xother", "3" * 77, "4" * 77
BOOKS = [book(), book(DOWN, [("0.47", "5")], [("0.48", "6")])]
TOKENS = sorted([UP, DOWN])
QUICK = ChannelTimes(upkeep_every_s=0.01)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def running(market: str = MARKET, tokens: tuple[str, str] = (UP, DOWN)) -> MarketInfo:
    return info(market, tokens, start_ms=now_ms() - 60_000)


class Bench:
    """A channel on a wire venue, and what it offered to the publisher."""

    def __init__(self) -> None:
        self.table = SessionTable([SERIES], epoch=1)
        self.metrics = FeederMetrics([SERIES])
        self.offered: asyncio.Queue[MarketSession] = asyncio.Queue()
        self.channel: MarketChannel

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0

    def follow(self, market: MarketInfo) -> None:
        self.table.follow(market, now_ms())

    @asynccontextmanager
    async def run(self, url: str, times: ChannelTimes = QUICK) -> AsyncIterator[None]:
        self.channel = MarketChannel(url, self.table, self.metrics, self.offered.put_nowait, times)
        task = asyncio.create_task(self.channel.run())
        try:
            async with asyncio.timeout(15):
                yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the table and the counters offer nothing to wait on
            await asyncio.sleep(0.002)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def venue() -> AsyncIterator[WireVenue]:
    async with WireVenue().open() as opened:
        yield opened


async def first_message(caller: Caller) -> dict[str, Any]:
    message = await caller.next_operation()
    assert message["type"] == "market"
    return message


async def test_both_tokens_are_subscribed_and_a_market_is_offered_once_both_have_a_book(
    bench: Bench, venue: WireVenue
) -> None:
    bench.follow(running())
    async with bench.run(venue.url):
        caller = await venue.caller()
        assert await first_message(caller) == {"type": "market", "assets_ids": TOKENS}
        await caller.send([BOOKS[0]])
        await bench.until(lambda: bench.value("events_total", type="book") == 1)
        assert bench.offered.empty()
        await caller.send([BOOKS[1]])
        session = await bench.offered.get()
        assert session.info.condition_id == MARKET
        await caller.send(price_change(change()))
        await bench.offered.get()
        assert bench.channel.problem() is None
    assert bench.value("book_updates_total", series="btc-15m") == 3
    assert bench.value("events_total", type="price_change") == 1


async def test_it_connects_only_when_there_is_something_to_follow(
    bench: Bench, venue: WireVenue
) -> None:
    async with bench.run(venue.url):
        await asyncio.sleep(0.05)  # this is about what it does NOT do
        assert venue.callers_waiting == 0
        assert bench.channel.problem() == f"the market channel at {venue.url} is not connected"
        bench.follow(running())
        bench.channel.nudge()
        await first_message(await venue.caller())


async def test_windows_come_and_go_on_one_connection(bench: Bench, venue: WireVenue) -> None:
    ending = running()
    bench.follow(ending)
    async with bench.run(venue.url, ChannelTimes(upkeep_every_s=5)):
        caller = await venue.caller()
        await first_message(caller)
        bench.follow(running(OTHER, (OTHER_UP, OTHER_DOWN)))
        bench.channel.nudge()
        assert await caller.next_operation() == {
            "operation": "subscribe",
            "assets_ids": [OTHER_UP, OTHER_DOWN],
        }
        bench.table.drop_ended(ending.end_ms + 10_000)  # both would have ended: follow one again
        bench.follow(running(OTHER, (OTHER_UP, OTHER_DOWN)))
        bench.channel.nudge()
        assert await caller.next_operation() == {"operation": "unsubscribe", "assets_ids": TOKENS}
        await caller.send([book(token, market=OTHER) for token in (OTHER_UP, OTHER_DOWN)])
        assert (await bench.offered.get()).info.condition_id == OTHER
    assert venue.callers_waiting == 0
    assert bench.value("reconnects_total") == 0


async def test_an_ended_market_is_unsubscribed(
    bench: Bench, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "END_GRACE_MS", 0)
    bench.follow(info(start_ms=now_ms() - 900_000 + 300))  # ends in 0.3 s
    bench.follow(running(OTHER, (OTHER_UP, OTHER_DOWN)))
    async with bench.run(venue.url):
        caller = await venue.caller()
        assert len((await first_message(caller))["assets_ids"]) == 4
        assert await caller.next_operation() == {"operation": "unsubscribe", "assets_ids": TOKENS}


async def test_after_a_reconnect_nothing_is_offered_until_both_tokens_got_a_fresh_book(
    bench: Bench, venue: WireVenue
) -> None:
    bench.follow(running())
    async with bench.run(venue.url):
        caller = await venue.caller()
        await caller.send(BOOKS)
        await bench.offered.get()
        await caller.hang_up()
        caller = await venue.caller()
        assert (await first_message(caller))["assets_ids"] == TOKENS
        while not bench.offered.empty():
            bench.offered.get_nowait()
        await caller.send(price_change(change(), change(DOWN)))
        await caller.send([BOOKS[0]])
        await caller.send(price_change(change()))
        await bench.until(lambda: bench.value("events_total", type="price_change") == 2)
        assert bench.offered.empty()
        assert bench.value("changes_ignored_total") == 2
        await caller.send([BOOKS[1]])
        await bench.offered.get()
    assert bench.value("reconnects_total") == 1


async def test_a_book_that_does_not_come_after_a_dynamic_subscribe_is_asked_for_again(
    bench: Bench, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SNAPSHOT_WAIT_MS", 50)
    bench.follow(running())
    async with bench.run(venue.url):
        caller = await venue.caller()
        await first_message(caller)
        await caller.send(BOOKS)
        await bench.offered.get()
        bench.follow(running(OTHER, (OTHER_UP, OTHER_DOWN)))
        subscribe = {"operation": "subscribe", "assets_ids": [OTHER_UP, OTHER_DOWN]}
        assert await caller.next_operation() == subscribe
        await caller.send(price_change(change(OTHER_UP), market=OTHER))  # a delta, but no book
        assert await caller.next_operation() == subscribe | {"operation": "unsubscribe"}
        assert await caller.next_operation() == subscribe
        await caller.send([book(token, market=OTHER) for token in (OTHER_UP, OTHER_DOWN)])
        assert (await bench.offered.get()).info.condition_id == OTHER
    assert bench.value("resubscribes_total") == 1
    assert bench.value("reconnects_total") == 0


async def test_a_suspect_book_is_subscribed_again_at_once(bench: Bench, venue: WireVenue) -> None:
    bench.follow(running())
    async with bench.run(venue.url, ChannelTimes(upkeep_every_s=60)):
        caller = await venue.caller()
        await first_message(caller)
        await caller.send(BOOKS)
        await bench.offered.get()
        await caller.send(price_change(change(best_bid="0.01", best_ask="0.53")))
        assert await caller.next_operation() == {"operation": "unsubscribe", "assets_ids": TOKENS}
        assert await caller.next_operation() == {"operation": "subscribe", "assets_ids": TOKENS}
        await caller.send(price_change(change()))
        await caller.send([BOOKS[0]])
        await caller.send([BOOKS[1]])  # the healthy token's changes were not sent meanwhile either
        await bench.offered.get()
    assert bench.value("books_suspect_total", cause="top_mismatch") == 1
    assert bench.value("changes_ignored_total") == 1


async def test_a_connection_that_brings_no_book_is_replaced(
    bench: Bench, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SNAPSHOT_WAIT_MS", 10)
    bench.follow(running())
    async with bench.run(venue.url):
        await (await venue.caller()).gone()
        caller = await venue.caller()
        await first_message(caller)
        await caller.send(BOOKS)
        await bench.offered.get()
    assert bench.value("resubscribes_total") == sessions.RESYNCS_BEFORE_RECONNECT
    assert bench.value("reconnects_total") == 1


async def test_a_tick_size_change_stops_a_market_until_its_fresh_books(
    bench: Bench, venue: WireVenue
) -> None:
    bench.follow(running())
    async with bench.run(venue.url):
        caller = await venue.caller()
        await caller.send(BOOKS)
        await bench.offered.get()
        while not bench.offered.empty():
            bench.offered.get_nowait()
        for token in (UP, DOWN):
            await caller.send(tick_size_change(token))
            await caller.send(price_change(change(token)))
        await bench.until(lambda: bench.value("changes_ignored_total") == 2)
        assert bench.offered.empty()
        await caller.send(BOOKS)
        assert (await bench.offered.get()).info.tick_size_e4 == 10
    assert bench.value("books_suspect_total", cause="tick_size_change") == 2


async def test_rejected_frames_are_counted_and_their_market_is_subscribed_again(
    bench: Bench, venue: WireVenue
) -> None:
    bench.follow(running())
    bench.follow(running(OTHER, (OTHER_UP, OTHER_DOWN)))
    with capture_logs() as logs:
        async with bench.run(venue.url, ChannelTimes(upkeep_every_s=5)):
            caller = await venue.caller()
            await first_message(caller)
            await caller.send(BOOKS)
            await caller.send([book(token, market=OTHER) for token in (OTHER_UP, OTHER_DOWN)])
            await bench.until(lambda: all(session.ready for session in bench.table))
            await caller.send("INVALID OPERATION")  # text: no book is in doubt
            await caller.send(price_change(change(side="HOLD")))
            assert (await caller.next_operation())["assets_ids"] == TOKENS
            assert (await caller.next_operation())["operation"] == "subscribe"
            await caller.send(BOOKS)
            await bench.until(lambda: all(session.ready for session in bench.table))
            await caller.send('{"event_type":"price_cha')  # may have been about any market
            assert len((await caller.next_operation())["assets_ids"]) >= 2
    assert bench.value("frames_rejected_total", cause="not_json") == 2
    assert bench.value("frames_rejected_total", cause="malformed") == 1
    assert bench.value("books_suspect_total", cause="bad_frame") == 6
    rejected = [line for line in logs if line["event"] == "frame_rejected"]
    assert len(rejected) == 1  # the others are within the same ten seconds


async def test_unknown_events_are_counted_and_named_once(bench: Bench, venue: WireVenue) -> None:
    bench.follow(running())
    with capture_logs() as logs:
        async with bench.run(venue.url):
            caller = await venue.caller()
            for _ in range(3):
                await caller.send({"event_type": "best_bid_ask", "market": MARKET})
            await caller.send(BOOKS)
            await bench.offered.get()
    assert bench.value("events_total", type="unknown") == 3
    named = [line["event_type"] for line in logs if line["event"] == "unknown_event_type"]
    assert named == ["best_bid_ask"]


async def test_ping_is_text_and_any_answer_keeps_the_connection(
    bench: Bench, venue: WireVenue
) -> None:
    bench.follow(running())
    times = ChannelTimes(upkeep_every_s=0.01, ping_every_s=0.02, silence_max_s=0.2)
    async with bench.run(venue.url, times):
        caller = await venue.caller()
        await first_message(caller)
        for _ in range(20):  # twice the silence that would end it
            assert await caller.next() == "PING"
            await caller.send("PONG")
        assert bench.value("events_total", type="pong") >= 19
        await caller.gone()  # no PONG any more
        await first_message(await venue.caller())
    assert bench.value("reconnects_total") == 1


async def test_a_socket_that_answers_pong_but_brings_no_data_is_replaced(
    bench: Bench, venue: WireVenue
) -> None:
    bench.follow(running())
    times = ChannelTimes(upkeep_every_s=0.01, ping_every_s=0.02, data_silence_max_s=0.3)
    async with bench.run(venue.url, times):
        caller = await venue.caller()
        await first_message(caller)
        await caller.send(BOOKS)
        await bench.offered.get()
        assert bench.channel.problem() is None
        answering = asyncio.create_task(_answer_pings(caller))
        second = await venue.caller()
        await answering
        await first_message(second)
        problem = bench.channel.problem()
        assert problem is not None
        assert problem.startswith("no market data for ")


async def _answer_pings(caller: Caller) -> None:
    with suppress(Exception):
        while True:
            if await caller.next() == "PING":
                await caller.send("PONG")


async def test_reconnecting_backs_off_and_says_where(bench: Bench) -> None:
    async with WireVenue().open() as venue:
        pass  # now the port is known and free
    bench.follow(running())
    with capture_logs() as logs:
        async with bench.run(venue.url):
            await bench.until(lambda: len(logs) >= 2)
            async with venue.open(int(venue.url.split(":")[2].partition("/")[0])):
                caller = await venue.caller()
                await caller.send(BOOKS)
                await bench.offered.get()
    assert all(line["event"] == "not_reachable" for line in logs[:2])
    assert venue.url in logs[0]["what"]
    assert all("retry_in_s" in line for line in logs[:2])


async def test_while_disconnected_no_book_is_usable(bench: Bench) -> None:
    bench.follow(running())
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(WireVenue().open())
        async with bench.run(venue.url):
            await (await venue.caller()).send(BOOKS)
            session = await bench.offered.get()
            assert session.ready
            await stack.aclose()  # the venue is gone
            await bench.until(lambda: not session.ready)
            await bench.until(lambda: bench.channel.problem() is not None)


async def test_a_connection_that_lasted_is_replaced_without_delay(
    bench: Bench, venue: WireVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_channel, "STABLE_S", 0.0)
    bench.follow(running())
    with capture_logs() as logs:
        async with bench.run(venue.url):
            await (await venue.caller()).hang_up()
            await first_message(await venue.caller())
    events = [line["event"] for line in logs]
    assert "market_channel_lost" in events
    assert "not_reachable" not in events
