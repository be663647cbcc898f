"""What goes wrong on one connection of the market channel, as its reader sees it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from sandbox.simulator import Market, Venue, serve
from sandbox.simulator.market_faults import EVENT_OF, MarketConnection, mangled
from tests.sandbox.simulator.conftest import SHARES
from tests.support.two_connections import Line, line


@pytest.fixture
async def lines(url: str, venue: Venue, market: Market) -> AsyncIterator[tuple[Line, Line]]:
    """Both subscribed, their books read."""
    async with line(url, venue, market) as first, line(url, venue, market) as second:
        for each in (first, second):
            await each.subscribe()
            await each.read(1)
        yield first, second


@pytest.fixture
def lying(lines: tuple[Line, Line], venue: Venue) -> MarketConnection:
    """The venue's end of the first line."""
    first, second = venue.market_feed.connections
    assert (first.number, second.number) == (0, 1)
    return first


def change(venue: Venue, market: Market, *sizes: int) -> None:
    """One frame a size, all of the same level."""
    for size in sizes:
        venue.change_level(market.token("Up"), "BUY", 4700, size * SHARES)


def sizes_in(frames: list[dict[str, object]]) -> list[object]:
    return [f["price_changes"][0]["size"] for f in frames]  # type: ignore[index]


async def test_nothing_happens_unless_it_is_asked_for(
    lines: tuple[Line, Line], venue: Venue, market: Market
) -> None:
    change(venue, market, *range(1, 51))
    for each in venue.market_feed.connections:
        each.second()
    for each in lines:
        assert sizes_in(await each.read(50)) == [str(n) for n in range(1, 51)]
        assert await each.waiting() == []
    assert not venue.injections.log
    assert venue.chance.injected == {}


async def test_a_frozen_connection_answers_ping_and_says_nothing_else(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    first, second = lines
    before_ns = time.monotonic_ns()
    lying.freeze()
    change(venue, market, 1, 2)
    assert await first.waiting() == []
    async with asyncio.timeout(30):
        await (await first.ws.ping())
    await first.subscribe()
    assert await first.waiting() == [], "a frozen connection brings no book either"
    assert sizes_in(await second.read(2)) == ["1", "2"]
    ((kind, number, of_market, at_ns),) = venue.injections.log
    assert (kind, number, of_market) == ("market_frozen", 0, "")
    assert before_ns <= at_ns <= time.monotonic_ns()
    lying.thaw()
    change(venue, market, 3)
    assert sizes_in(await first.waiting()) == ["3"]


async def test_a_half_open_connection_says_nothing_at_all_and_does_not_end(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    first, second = lines
    lying.half_open()
    await first.ws.send("PING")
    pong = asyncio.create_task(first.ws.recv())
    answered = await first.ws.ping()
    change(venue, market, 1)
    # The venue has certainly looked at the other line's PING, which was sent later.
    assert len(await second.waiting()) == 1
    assert len(await second.waiting()) == 0
    assert not pong.done()
    assert not answered.done(), "nothing is read: the library would have answered by itself"
    assert len(venue.market_feed.connections) == 2
    pong.cancel()
    assert venue.chance.injected == {"market_half_open": 1}


async def test_the_venue_forgets_a_half_open_connection_in_the_end(
    lines: tuple[Line, Line],
    lying: MarketConnection,
    venue: Venue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox.simulator.market_faults.HALF_OPEN_S_MAX", 0.01)
    lying.half_open()
    async with asyncio.timeout(30):
        await venue.notice.until(lambda: len(venue.market_feed.connections) == 1)


async def test_a_delta_is_lost_on_one_connection(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.inject("market_lost")
    change(venue, market, 1, 2)
    assert sizes_in(await lines[0].waiting()) == ["2"]
    assert sizes_in(await lines[1].read(2)) == ["1", "2"]
    assert venue.injections.log[0][:3] == ("market_lost", 0, market.condition_id)


async def test_a_delta_comes_twice(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.inject("market_duplicated")
    change(venue, market, 1, 2)
    assert sizes_in(await lines[0].read(3)) == ["1", "1", "2"]
    assert sizes_in(await lines[1].read(2)) == ["1", "2"]


async def test_the_second_may_come_a_little_later(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    venue.faults.market_duplicated_ms = 6
    for _ in range(3):
        lying.inject("market_duplicated")
    change(venue, market, 1, 2, 3)
    first = [await lines[0].frame() for _ in range(6)]
    assert sorted(map(str, sizes_in(first))) == list("112233")
    assert sizes_in(first) != list("112233"), "not all of them at once"


async def test_deltas_overtake_each_other(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.inject("market_reordered", after=2)
    change(venue, market, 1, 2, 3, 4)
    assert sizes_in(await lines[0].waiting()) == ["2", "3", "1", "4"]
    assert sizes_in(await lines[1].read(4)) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("size", [7, 0])
async def test_a_size_is_wrong_and_its_hash_is_right(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market, size: int
) -> None:
    down = market.token("Down")
    lying.inject("market_corrupted", token=down)
    change(venue, market, size)
    ((*_, wrong), (*_, right)) = [
        [frame["price_changes"] for frame in await each.waiting()] for each in lines
    ]
    assert [e["asset_id"] for e in wrong] == [market.token("Up"), down]
    assert wrong[0] == right[0]
    assert wrong[1] | {"size": right[1]["size"]} == right[1]
    assert wrong[1]["size"] != right[1]["size"] == str(size)


async def test_a_hash_is_wrong_and_all_else_is_right(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.inject("market_wrong_hash")
    change(venue, market, 1)
    (wrong,) = (await lines[0].waiting())[0]["price_changes"][:1]
    (right,) = (await lines[1].read(1))[0]["price_changes"][:1]
    assert wrong | {"hash": right["hash"]} == right
    assert wrong["hash"] != right["hash"]
    assert len(wrong["hash"]) == 40


async def test_a_delta_comes_before_its_snapshot(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    first = lines[0]
    lying.inject("market_late_book", token=market.token("Up"), after=2)
    await first.subscribe()
    ((down,),) = await first.waiting()
    assert down["asset_id"] == market.token("Down"), "only the named token's book is late"
    change(venue, market, 1, 2)
    one, two, (book,) = await first.waiting()
    assert sizes_in([one, two]) == ["1", "2"]
    assert book["asset_id"] == market.token("Up")
    assert "0.47" not in [level["price"] for level in book["bids"]], "older than the deltas"
    assert int(book["timestamp"]) <= int(one["timestamp"])


async def test_a_snapshot_comes_after_newer_deltas(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.inject("market_stale_book", token=market.token("Up"), after=2)
    change(venue, market, 1, 2, 3, 4)
    frames = await lines[0].waiting()
    assert [frame["event_type"] for frame in frames] == ["price_change"] * 3 + ["book"] + [
        "price_change"
    ]
    assert {"price": "0.47", "size": "1"} in frames[3]["bids"]
    assert sizes_in(await lines[1].read(4)) == ["1", "2", "3", "4"]


async def test_no_book_comes_after_a_subscribe(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.inject("market_no_book")
    await lines[0].subscribe()
    assert await lines[0].waiting() == []
    await lines[0].subscribe()
    assert len(await lines[0].waiting()) == 1


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("market_no_book", ["tick_size_change"] * 2 + ["book", "price_change"]),
        ("market_late_book", ["tick_size_change"] * 2 + ["book", "book", "price_change"]),
    ],
)
async def test_a_new_tick_size_without_its_fresh_book(
    lines: tuple[Line, Line],
    lying: MarketConnection,
    venue: Venue,
    market: Market,
    fault: str,
    seen: list[str],
) -> None:
    lying.inject(fault, token=market.token("Up"))
    venue.change_tick_size(market, 10)
    change(venue, market, 1)
    frames = await lines[0].waiting()
    assert [frame["event_type"] for frame in frames] == seen
    # A late one comes after the next frame of the market, which here is the other token's book.
    assert frames[2]["asset_id"] == market.token("Down")


async def test_a_trade_price_is_late_on_one_connection(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.inject("market_reordered", event="last_trade_price", after=1)
    venue.trade(market.token("Up"), 5000, SHARES)
    change(venue, market, 1)
    frames = await lines[0].waiting()
    assert [f["event_type"] for f in frames] == ["book"] * 2 + ["price_change", "last_trade_price"]
    await lines[1].read(4)  # in order, and every hash is right


async def test_trade_prices_are_late_although_the_hash_has_them(
    lines: tuple[Line, Line], venue: Venue, market: Market
) -> None:
    venue.faults.late_trade_ms = 88
    traded_at_s = time.monotonic()
    venue.trade(market.token("Up"), 5000, SHARES)
    with pytest.raises(AssertionError, match="is not the hash of the book"):
        await lines[0].read(2)
    await lines[0].read(1)  # with which all is proven
    assert lines[0].reader.seen[-3:] == ["book", "book", "last_trade_price"]
    assert time.monotonic() - traded_at_s >= 0.087
    assert venue.chance.injected == {"late_trade_ms": 2}


async def test_a_connection_is_reset_in_the_middle_of_a_frame(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    change(venue, market, 1)
    lying.cut_midframe()
    change(venue, market, 2)
    assert sizes_in(await lines[0].read(1)) == ["1"]
    with pytest.raises(ConnectionClosedError) as ended:
        await lines[0].frame()
    assert isinstance(ended.value.__cause__, ConnectionResetError)
    assert sizes_in(await lines[1].read(2)) == ["1", "2"]
    assert venue.chance.injected == {"market_cut_midframe": 1}


async def test_a_connection_is_closed_as_if_a_message_was_too_big(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    change(venue, market, 1)
    lying.close_1009()
    assert sizes_in(await lines[0].read(1)) == ["1"]
    with pytest.raises(ConnectionClosed) as ended:
        await lines[0].frame()
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1009


async def test_a_connection_is_cut_without_a_word(
    lines: tuple[Line, Line], lying: MarketConnection, venue: Venue, market: Market
) -> None:
    lying.cut()
    with pytest.raises(ConnectionClosed) as ended:
        await lines[0].frame()
    assert ended.value.rcvd is None
    async with asyncio.timeout(30):
        await venue.notice.until(lambda: len(venue.market_feed.connections) == 1)


async def test_what_befalls_no_frame_is_refused(lying: MarketConnection) -> None:
    with pytest.raises(ValueError, match="'market_frozen' does not befall frames; there are: "):
        lying.inject("market_frozen")
    assert "market_lost" in EVENT_OF


def test_a_book_without_levels_cannot_be_corrupted(venue: Venue, market: Market) -> None:
    venue.set_book(market.token("Up"), [], [])
    text = venue.book_text(market.token("Up"))
    wrong = mangled("market_corrupted", text, None, venue.chance.stream("x"))
    assert json.loads(wrong) == json.loads(text)


def test_connections_end_on_the_sandbox_s_own_loop_too() -> None:
    """Its transports and sockets are other classes, which know less."""

    async def end(deed: str) -> BaseException | None:
        venue = Venue()
        now_ms = venue.now_ms()
        market = venue.add_market("btc-updown-15m-1", start_ms=now_ms, end_ms=now_ms + 900_000)
        async with serve(venue) as url, line(url, venue, market) as one:
            await one.subscribe()
            await one.read(1)
            getattr(venue.market_feed.connections[0], deed)()
            change(venue, market, 1)
            with pytest.raises(ConnectionClosed) as ended:
                await one.frame()
            return ended.value.__cause__

    assert uvloop.run(end("cut")) is None
    assert isinstance(uvloop.run(end("cut_midframe")), ConnectionResetError)
    assert uvloop.run(end("close_1009")) is None


async def _answers_after(deed: str) -> bool:
    venue = Venue()
    now_ms = venue.now_ms()
    market = venue.add_market("btc-updown-15m-1", start_ms=now_ms, end_ms=now_ms + 900_000)
    async with serve(venue) as url, line(url, venue, market) as one:
        await one.subscribe()
        await one.read(1)
        getattr(venue.market_feed.connections[0], deed)()
        change(venue, market, 1)
        answered = await one.ws.ping()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):  # silence has no event
                await answered
        return answered.done() and not answered.cancelled()


def test_connections_fall_silent_on_the_sandbox_s_own_loop_too() -> None:
    assert uvloop.run(_answers_after("freeze"))
    assert not uvloop.run(_answers_after("half_open"))
