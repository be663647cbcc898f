"""Recordings for tests: runs of the simulated venue, recorded in this process."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from feeder.recording import recorded_channel
from feeder.recording.format import Frame, Record, encode_record, frame_of, payload
from feeder.recording.reader import RecordingReader
from feeder.recording.recorded_channel import RecorderTimes
from feeder.recording.recorder import Recorder
from feeder.settings import MarketChannelSettings
from protocol.series import Series, parse_series
from sandbox.simulator import Market, Venue, serve

SERIES = parse_series("btc-9999h")  # no window rolls while a test runs
SHARES = 1_000_000


def list_market(venue: Venue, series: Series = SERIES, ahead: int = 0) -> Market:
    """The series' window that runs now, or one after it; with books of 20 levels a side."""
    start_s = series.window_start_s(time.time()) + ahead * series.window_s
    market = venue.add_market(
        series.slug(start_s), start_ms=start_s * 1000, end_ms=(start_s + series.window_s) * 1000
    )
    venue.set_book(
        market.token("Up"),
        bids=[(price, price * 1234) for price in range(3000, 5000, 100)],
        asks=[(price, price * 4321) for price in range(5000, 7000, 100)],
    )
    return market


def change_books(venue: Venue, market: Market, changes: int) -> None:
    """As many frames, each of both tokens; the books never cross."""
    rng = random.Random(changes)
    for _ in range(changes):
        side, low = rng.choice([("BUY", 3000), ("SELL", 5000)])
        venue.change_level(
            market.token("Up"),
            side,  # type: ignore[arg-type]
            low + 100 * rng.randrange(20),
            rng.randrange(SHARES),
        )


class Recording:
    """A recorder that runs in this process, and the venue that it records."""

    def __init__(self, venue: Venue, url: str, directory: Path) -> None:
        self.venue = venue
        self.url = url
        self.directory = directory
        self.taken = 0
        """Frames that the recorder has put into the recording."""
        self.recorder: Recorder
        self.task: asyncio.Task[None]

    def frame_of(self, payload: bytes, **when: int) -> Frame:
        """Stands in for the recorder's own, so that a test can await a frame."""
        self.taken += 1
        self.venue.notice.changed()
        return frame_of(payload, **when)

    async def until_taken(self, frames: int) -> None:
        """TimeoutError when they do not come."""
        async with asyncio.timeout(30):
            await self.venue.notice.until(lambda: self.taken >= frames)

    async def stop(self) -> None:
        """As SIGTERM does."""
        self.task.cancel()
        await asyncio.wait((self.task,))

    def records(self) -> list[Record]:
        """All there is on the disk."""
        return list(RecordingReader(self.directory))


@asynccontextmanager
async def recording(
    directory: Path, monkeypatch: pytest.MonkeyPatch, market_ws_url: str = "", **times: Any
) -> AsyncIterator[Recording]:
    """A venue without markets yet, and a recorder that follows SERIES there."""
    venue = Venue()
    async with serve(venue) as url:
        settings = MarketChannelSettings(
            gamma_url=url,
            market_ws_url=market_ws_url or f"{url}/ws/market".replace("http", "ws"),
            series=(SERIES,),
        )
        running = Recording(venue, url, directory)
        monkeypatch.setattr(recorded_channel, "frame_of", running.frame_of)
        running.recorder = Recorder(settings, directory, times=RecorderTimes(**times))
        running.task = asyncio.create_task(running.recorder.run())
        try:
            yield running
        finally:
            await running.stop()


async def recorded_run(
    directory: Path, monkeypatch: pytest.MonkeyPatch, changes: int = 50
) -> Market:
    """One market, its two first books in one frame, then `changes` frames; then stopped."""
    async with recording(directory, monkeypatch) as running:
        market = list_market(running.venue)
        await running.venue.subscribed(market.token("Up"), market.token("Down"))
        change_books(running.venue, market, changes)
        await running.until_taken(1 + changes)
    return market


def frames_in(records: Iterable[Record]) -> list[bytes]:
    """What was received, byte for byte."""
    return [payload(each) for each in records if isinstance(each, Frame)]


def write_records(path: Path, records: Iterable[Record]) -> None:
    """A recording in one file."""
    path.write_bytes(gzip.compress(b"".join(map(encode_record, records))))
