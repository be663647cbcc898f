"""What the benchmarks send: signals that are taken back."""

from __future__ import annotations

import json
import time

from websockets.asyncio.client import connect

from benchmarks.scripted_markets import (
    BEST_BID_E4,
    STRONG_E6,
    SignalDriver,
    longest_left,
    scripted_venue,
    series_of,
)
from protocol.series import parse_series
from sandbox.simulator import serve
from sandbox.simulator.frames import hash_of


def test_one_frame_in_a_hundred_is_a_signal_that_the_market_s_next_one_takes_back() -> None:
    venue, markets = scripted_venue(50)
    sent: list[tuple[str, int, int]] = []
    driver = SignalDriver(venue, markets)
    driver._write = lambda token, price, size: sent.append((token, price, size)) or 0  # type: ignore
    for _ in range(10_000):
        driver._send_frame()
    signals = [n for n, (_, _, size) in enumerate(sent) if size == STRONG_E6]
    assert len(signals) == 100
    for number in signals[:-1]:
        token = sent[number][0]
        following = next(frame for frame in sent[number + 1 :] if frame[0] == token)
        assert following[1] == BEST_BID_E4
        assert following[2] < STRONG_E6


def test_the_windows_that_run_do_not_end_soon_whenever_a_run_begins() -> None:
    midnight_s = 1_796_014_800  # in New York, where windows of four hours begin by its clocks
    for minute in range(0, 30 * 24 * 60, 7):
        now_s = midnight_s + 60 * minute - 30
        series = parse_series(f"m00-{longest_left(now_s)}")
        assert series.next_start_s(series.window_start_s(now_s)) - now_s > 10 * 60


def test_feeders_follow_the_series_of_the_markets_that_are_listed() -> None:
    _, markets = scripted_venue(2)
    names = series_of(markets)
    assert [name.partition("-")[0] for name in names] == ["m00", "m01"]
    for name, market in zip(names, markets, strict=True):
        series = parse_series(name)
        assert series.slug(market.start_ms // 1000) == market.slug


async def test_a_signal_is_on_the_socket_when_it_is_stamped_and_shows_the_venue_s_book() -> None:
    venue, [market] = scripted_venue(1)
    token = market.token("Up")
    driver = SignalDriver(venue, [market])
    async with serve(venue) as url, connect(url.replace("http", "ws") + "/ws/market") as ws:
        tokens = [book.token_id for book in market.books]
        await ws.send(json.dumps({"assets_ids": tokens, "type": "market"}))
        await ws.recv()
        began_ns = time.time_ns()
        driver._signal(token)
        frame = json.loads(await ws.recv())
    [written_ns] = driver.signals[token]
    assert began_ns < written_ns < time.time_ns()
    told = {each["asset_id"]: each["hash"] for each in frame["price_changes"]}
    assert told == {book.token_id: hash_of(market, book) for book in market.books}
