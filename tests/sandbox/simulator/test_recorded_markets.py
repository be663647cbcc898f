"""Recordings as live markets."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from protocol.series import parse_series
from recordings.loader import Recording, bundled, load
from sandbox.simulator import Market, Venue, serve
from sandbox.simulator import __main__ as command
from sandbox.simulator.recorded_markets import COINS, RecordedMarkets, SimulatorError, series_at
from tests.sandbox.simulator.test_control import call
from tests.support.frame_reader import Reader

# A window of 5 s: leaves time to look at it, also on a machine that is busy.
SPEED = 180


class Collector:
    """A subscriber in the same process: decodes what is sent to it."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self.tokens = set(tokens)
        self.number = 0
        self.frames: list[Any] = []

    def send(self, text: str) -> None:
        self.frames.append(json.loads(text))


def snapshots_of(recording: Recording) -> Iterator[tuple[int, list[list[dict[str, str]]]]]:
    """(milliseconds, [[bids, asks] of each outcome]) straight from the file's text."""
    books: list[list[dict[str, str]]] = [[{}, {}], [{}, {}]]
    for line in recording.lines:
        at_ms, first, second = json.loads(line)
        deltas = [first, second]
        if second == 1:
            deltas[1] = [
                [str(1 - Decimal(x)) if i % 2 == 0 else x for i, x in enumerate(side)]
                for side in reversed(first)
            ]
        for book, delta in zip(books, deltas, strict=True):
            for levels, flat in zip(book, delta or ([], []), strict=True):
                for price, size in zip(flat[::2], flat[1::2], strict=True):
                    text = f"{Decimal(price).normalize():f}"
                    levels.pop(text, None)
                    if size != "0":
                        levels[text] = size
        yield at_ms, [[dict(levels) for levels in book] for book in books]


class Instant(RecordedMarkets):
    """Recorded markets on a clock that jumps from one moment to the next."""

    async def _sleep_until(self, at_ms: float) -> None:
        self._venue.now_ms = lambda: int(at_ms)  # type: ignore[method-assign]
        await asyncio.sleep(0)


# The beginning of a quiet recording, and one whose tick size becomes finer after 450 s.
@pytest.mark.parametrize(
    ("slug", "moments"),
    [("btc-updown-15m-1790595000", 150), ("btc-updown-15m-1790596800", 550)],
)
async def test_frames_rebuild_every_recorded_snapshot(slug: str, moments: int) -> None:
    whole = next(load(path) for path in bundled() if path.name.startswith(slug))
    recording = msgspec.structs.replace(whole, lines=whole.lines[:moments])
    venue = Venue()
    venue.now_ms = lambda: 0  # type: ignore[method-assign]
    recorded = Instant(venue, [recording], [])
    series = parse_series("btc-15m")
    market, _ = listed = recorded._list(0, series, 1_800_000_000)
    tokens = (market.books[0].token_id, market.books[1].token_id)
    collector = Collector(tokens)
    venue.market_feed.subscribe(collector, tokens)  # type: ignore[arg-type]

    await recorded._play(listed)

    # Frames of one moment share a timestamp: apply them, then compare the books.
    reader = Reader(market.condition_id, tokens)
    frames = iter(collector.frames)
    frame = next(frames, None)
    compared = 0
    for at_ms, books in snapshots_of(recording):
        while frame is not None and int(frame["timestamp"]) <= market.start_ms + at_ms:
            reader.apply(frame)  # checks every hash and every best price
            frame = next(frames, None)
        for token, (bids, asks) in zip(tokens, books, strict=True):
            assert reader.books[token].bids == bids
            assert reader.books[token].asks == asks
        compared += 1
    assert frame is None
    assert compared == moments
    fine = any(change.price_e4 % 100 for step in recording.steps() for change in step.changes)
    assert fine == (slug == "btc-updown-15m-1790596800")
    assert reader.seen.count("tick_size_change") == (2 if fine else 0)
    assert market.tick_size_e4 == (10 if fine else 100)


async def _listed(session: aiohttp.ClientSession, url: str, market: Market) -> dict[str, Any]:
    async with session.get(f"{url}/events", params={"slug": market.slug}) as answer:
        ((event),) = await answer.json()
    (listed,) = event["markets"]
    return dict(listed)


async def test_windows_follow_each_other_and_resolve() -> None:
    """Over real sockets: the window under way, the next one, and its end."""
    venue = Venue()
    recordings = [load(path) for path in bundled()[:2]]
    (series,) = series_at(SPEED, 1)
    async with serve(venue) as url, aiohttp.ClientSession() as session:
        playing = asyncio.create_task(RecordedMarkets(venue, recordings, [series]).run())
        async with session.ws_connect(f"{url}/ws/market") as ws:
            current, following, *_ = venue.markets.values()
            assert following.start_ms == current.end_ms == current.start_ms + 5_000
            assert current.recording != following.recording
            assert (await _listed(session, url, following))["acceptingOrders"] is True

            tokens = (following.token("Up"), following.token("Down"))
            reader = Reader(following.condition_id, tokens)
            await ws.send_json({"type": "market", "assets_ids": tokens})
            while reader.seen.count("price_change") < 100:
                reader.apply(await ws.receive_json(timeout=20))
        assert reader.seen[:2] == ["book", "book"]
        assert venue.now_ms() >= following.start_ms
        assert len(venue.markets) >= 3, "the window after it is listed as soon as it begins"

        venue.now_ms = lambda: following.end_ms  # type: ignore[method-assign]
        listed = await _listed(session, url, following)
        assert (listed["closed"], listed["acceptingOrders"]) == (True, False)
        payouts = [Decimal(text) for text in json.loads(listed["outcomePrices"])]
        assert tuple(payouts) == following.payouts
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing


async def test_until_its_recording_begins_a_market_has_a_placeholder_book() -> None:
    whole = load(bundled()[0])
    recording = msgspec.structs.replace(whole, lines=whole.lines[:1])
    venue = Venue()
    venue.now_ms = lambda: 0  # type: ignore[method-assign]
    recorded = Instant(venue, [recording], [])
    market, _ = listed = recorded._list(0, parse_series("btc-15m"), 1_800_000_000)
    tokens = (market.books[0].token_id, market.books[1].token_id)
    collector = Collector(tokens)
    venue.market_feed.subscribe(collector, tokens)  # type: ignore[arg-type]

    await recorded._play(listed)

    reader = Reader(market.condition_id, tokens)
    for frame in collector.frames[:2]:
        reader.apply(frame)
    for book in reader.books.values():
        assert (list(book.bids), list(book.asks)) == (["0.01"], ["0.99"])
    for frame in collector.frames[2:]:
        reader.apply(frame)
    assert reader.seen == ["book"] * 4
    _, books = next(snapshots_of(recording))
    assert [[b.bids, b.asks] for b in reader.books.values()] == books


async def test_a_market_joined_midway_starts_with_its_present_book() -> None:
    recording = load(bundled()[0])
    venue = Venue()
    recorded = Instant(venue, [recording], [])
    listed = recorded._list(0, parse_series("btc-15m"), 1_800_000_000)
    market = listed[0]
    half_ms = 450_000
    venue.now_ms = lambda: market.start_ms + half_ms  # type: ignore[method-assign]
    tokens = (market.books[0].token_id, market.books[1].token_id)
    collector = Collector(tokens)
    venue.market_feed.subscribe(collector, tokens)  # type: ignore[arg-type]

    await recorded._play(listed)

    first, second = (frame for frame in collector.frames[:2])
    assert [first["event_type"], second["event_type"]] == ["book", "book"]
    at_ms, books = next(s for s in snapshots_of(recording) if s[0] >= half_ms)
    assert int(first["timestamp"]) == market.start_ms + at_ms
    assert {level["price"]: level["size"] for level in first["bids"]} == books[0][0]


def test_the_series_of_a_speed() -> None:
    assert [s.name for s in series_at(1, 2)] == ["btc-15m", "eth-15m"]
    assert [s.name for s in series_at(10, 6)] == [f"{coin}-90s" for coin in COINS]
    assert [s.name for s in series_at(15, 1)] == ["btc-1m"]


@pytest.mark.parametrize(
    ("speed", "markets", "text"),
    [
        (7, 1, "speed 7 does not divide a window of 900 seconds"),
        (0, 1, "speed 0"),
        (-1, 1, "speed -1"),
        (1, 0, "markets 0: 1 to 6 are possible"),
        (1, 7, "markets 7: 1 to 6 are possible"),
    ],
)
def test_impossible_settings(speed: int, markets: int, text: str) -> None:
    with pytest.raises(SimulatorError, match=text):
        series_at(speed, markets)


def test_series_side_by_side_play_different_recordings() -> None:
    recordings = [load(path) for path in bundled()]
    series = series_at(10, 6)
    recorded = RecordedMarkets(Venue(), recordings, series)
    played = [
        [recorded.recording_of(number, s, 90 * k).header.slug for number, s in enumerate(series)]
        for k in range(18)
    ]
    assert all(len(set(row)) == 6 for row in played)
    assert all(len(set(column)) == 18 for column in zip(*played, strict=True))


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "sandbox.simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


async def test_the_process_says_where_it_is_takes_faults_and_ends_when_told() -> None:
    await asyncio.gather(
        *(_ended_by(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    )


async def _ended_by(number: signal.Signals) -> None:
    process = start("--speed", "10", "--markets", "2", "--seed", "5")
    try:
        assert process.stdout is not None
        ready = json.loads(await asyncio.to_thread(process.stdout.readline))
        assert ready["series"] == ["btc-90s", "eth-90s"]
        assert (await call(ready["url"], "/sandbox/faults"))[1]["seed"] == 5
        wanted = {"restart": 0.5, "lag_ms": 100}
        status, shown = await call(ready["url"], "/sandbox/faults", wanted)
        assert status == 200
        assert shown.items() >= (wanted | {"seed": 5, "read_error": 0}).items()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{ready['url']}/sandbox/markets") as answer:
                assert len(await answer.json()) in (4, 6)  # just when a window ends
            # An open socket does not hold it up.
            async with session.ws_connect(f"{ready['url']}/ws/market") as ws:
                process.send_signal(number)
                assert (await ws.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSE
        out, errors = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, ""), errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--speed", "7"), "speed 7 does not divide a window of 900 seconds"),
        (("--balance-usd", "much"), "balance 'much' is not an amount of USD"),
        (("--balance-usd", "-1"), "balance '-1' is negative"),
        (("--flood", "-1"), "flood -1 is negative"),
        (("--keep-versions", "-1"), "keep versions -1 is negative"),
        (("--flood", "1", "--focus", "2"), "focus 2.0 is not between 0 and 1"),
    ],
)
def test_the_process_refuses_what_is_not_possible(
    arguments: tuple[str, ...],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["venue", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code not in (0, None)
    assert capsys.readouterr() == ("", f"cannot start: {text}\n")


def test_every_second_series_holds_taker_orders() -> None:
    series = series_at(10, 4)
    recorded = RecordedMarkets(Venue(), [load(bundled()[0])], series)
    held = [recorded._list(n, each, 1_800_000_000)[0].itode for n, each in enumerate(series)]
    assert held == [False, True, False, True]
