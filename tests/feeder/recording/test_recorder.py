"""The recorder against the simulated venue: nothing is missing, nothing is changed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.client import connect

from feeder.recording import recorded_channel
from feeder.recording.errors import RecordingError
from feeder.recording.format import (
    Closed,
    Configured,
    Frame,
    Listed,
    Opened,
    Record,
    Sent,
    Started,
    Stopped,
    Unfollowed,
)
from feeder.recording.reader import RecordingReader
from feeder.recording.recorded_channel import RecordingProgress
from feeder.recording.recorder import Recorder
from feeder.settings import MarketChannelSettings
from runtime.dialer import Dialer
from sandbox.simulator import Venue, serve
from tests.support.message_builders import market_info
from tests.support.recordings import (
    SERIES,
    change_books,
    frames_in,
    list_market,
    recorded_run,
    recording,
)
from tests.support.scripted_market_channel import WireVenue
from venue import websocket
from venue.websocket_connection import WebSocket, open_websocket

CHANGES = 200


async def test_every_frame_is_kept_as_another_listener_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(tmp_path, monkeypatch) as running:
        market = list_market(running.venue)
        tokens = [market.token("Up"), market.token("Down")]
        await running.venue.subscribed(*tokens)
        async with connect(f"{running.url}/ws/market".replace("http", "ws")) as other:
            await other.send(json.dumps({"type": "market", "assets_ids": tokens}))
            await other.recv()  # its own first books
            change_books(running.venue, market, CHANGES)
            heard = [await other.recv(decode=False) for _ in range(CHANGES)]
        await running.until_taken(1 + CHANGES)
    assert frames_in(running.records())[1:] == heard


async def test_what_happens_around_the_frames_is_recorded_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = await recorded_run(tmp_path, monkeypatch, changes=1)
    begun, listed, opened, sent, books, change, closed, stopped = RecordingReader(tmp_path)
    assert isinstance(begun, Started)
    assert isinstance(listed, Listed)
    assert listed.market.slug == market.slug
    assert isinstance(opened, Opened)
    assert isinstance(sent, Sent)
    assert json.loads(sent.text)["assets_ids"] == sorted(
        outcome.token_id for outcome in listed.market.outcomes
    )
    assert isinstance(books, Frame)
    assert isinstance(change, Frame)
    assert isinstance(closed, Closed)
    assert closed.why == Closed.OURS
    assert isinstance(stopped, Stopped)
    times = [each.mono_ns for each in (begun, listed, opened, sent, books, change, closed)]
    assert times == sorted(times)
    assert abs(books.at_ns - time.time_ns()) < 60_000_000_000


async def test_a_market_that_shows_while_connecting_is_recorded_before_its_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = msgspec.structs.replace(market_info(), end_ms=(time.time_ns() // 1_000_000) + 60_000)

    def opening(url: str, dialer: Dialer) -> AbstractAsyncContextManager[WebSocket]:
        running.recorder._table.follow(late, late.start_ms)
        return open_websocket(url, dialer)

    async with recording(tmp_path, monkeypatch) as running:
        monkeypatch.setattr(websocket, "open_websocket", opening)
        list_market(running.venue)
        await running.until_taken(1)
    records = running.records()
    listed = [i for i, each in enumerate(records) if isinstance(each, Listed)]
    sent = next(i for i, each in enumerate(records) if isinstance(each, Sent))
    assert len(listed) == 2
    assert max(listed) < sent
    assert late.outcomes[0].token_id in records[sent].text


async def test_a_lost_connection_is_recorded_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(tmp_path, monkeypatch) as running:
        market = list_market(running.venue)
        await running.until_taken(1)
        running.venue.cut_market_connections()
        await running.until_taken(2)
        change_books(running.venue, market, 1)
        await running.until_taken(3)
    records = running.records()
    assert [each.conn for each in records if isinstance(each, Opened)] == [1, 2]
    first, second = (each for each in records if isinstance(each, Closed))
    assert "ConnectionClosed" in first.why
    assert second.why == Closed.OURS
    assert [each.conn for each in records if isinstance(each, Frame)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("limit", "says"), [("silence_max_s", "nothing"), ("data_silence_max_s", "no market data")]
)
async def test_a_silent_connection_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, says: str
) -> None:
    times = {limit: 0.05, "upkeep_every_s": 0.01}
    async with recording(tmp_path, monkeypatch, **times) as running:
        list_market(running.venue)
        await running.until_taken(2)  # each connection begins with the books
    closed = next(each for each in running.records() if isinstance(each, Closed))
    assert f"ChannelLostError: {says} received" in closed.why


async def test_pings_and_their_answers_are_kept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(tmp_path, monkeypatch, ping_every_s=0, upkeep_every_s=0.01) as running:
        list_market(running.venue)
        await running.until_taken(2)
    records = running.records()
    assert "PING" in [each.text for each in records if isinstance(each, Sent)]
    assert b"PONG" in frames_in(records)


async def test_a_market_that_ends_is_left_and_the_next_one_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(tmp_path, monkeypatch, upkeep_every_s=0.01) as running:
        market, after = list_market(running.venue), list_market(running.venue, ahead=1)
        await running.venue.subscribed(market.token("Up"), after.token("Up"))
        ended_ns = (market.end_ms + 5000) * 1_000_000
        monkeypatch.setattr(recorded_channel, "now", lambda: (ended_ns, time.monotonic_ns()))
        async with asyncio.timeout(30):
            await running.venue.notice.until(
                lambda: not running.venue.market_feed.readers(market.token("Up"))
            )
        assert running.venue.market_feed.readers(after.token("Up"))
    records = running.records()
    left = [each.condition_id for each in records if isinstance(each, Unfollowed)]
    assert left == [market.condition_id]


async def test_a_frame_that_is_not_text_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        WireVenue().open() as wire,
        recording(tmp_path, monkeypatch, wire.url) as running,
    ):
        list_market(running.venue)
        async with asyncio.timeout(30):
            caller = await wire.caller()
        for raw in (b"\xff\x00\xfe", b"", b"[]"):
            await caller._websocket.send(raw)
        await running.until_taken(3)
    assert frames_in(running.records()) == [b"\xff\x00\xfe", b"", b"[]"]


async def test_a_disk_that_refuses_ends_the_recorder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    async with recording(tmp_path, monkeypatch) as running:
        list_market(running.venue)
        await running.until_taken(1)
        monkeypatch.setattr(os, "fsync", full)
        change_books(running.venue, next(iter(running.venue.markets.values())), 1)
        with pytest.raises(RecordingError, match="No space left"):
            async with asyncio.timeout(30):
                await running.task


class Notes:
    """A `Beside` that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.put: Callable[[Record], None]

    async def run(self, put: Callable[[Record], None], progress: RecordingProgress) -> None:
        self.put = put
        self.note("1")
        progress.configurations += 1
        self.asked.append("run")
        await asyncio.Event().wait()

    async def finish(self) -> None:
        self.asked.append("finish")
        self.note("last")

    async def close(self) -> None:
        self.asked.append("close")

    def head(self) -> Iterator[Record]:
        yield Configured(at_ns=1, mono_ns=1, account="in force", text="{}")

    def note(self, account: str) -> None:
        self.put(Configured(at_ns=1, mono_ns=1, account=account, text="{}"))


async def test_what_is_beside_the_frames_is_at_each_beginning_and_has_the_last_word(
    tmp_path: Path,
) -> None:
    venue, notes = Venue(), Notes()
    async with serve(venue) as url:
        ws_url = f"{url}/ws/market".replace("http", "ws")
        settings = MarketChannelSettings(gamma_url=url, market_ws_url=ws_url, series=(SERIES,))
        recorder = Recorder(settings, tmp_path, beside=notes)
        await recorder.run(duration_s=0.05)
    records = list(RecordingReader(tmp_path))
    assert isinstance(records[0], Started)
    noted = [each.account for each in records if isinstance(each, Configured)]
    assert noted == ["in force", "1", "last"]
    assert isinstance(records[-1], Stopped)
    assert notes.asked == ["run", "finish", "close"]
    assert recorder.progress.configurations == 1
