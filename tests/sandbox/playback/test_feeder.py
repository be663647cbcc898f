"""A real feeder on a recording: it finds the market, follows both lines, and proves its books.

NATS is left out: what would be published is taken where the publisher takes it.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from feeder.books.book_requests import BookRequests
from feeder.books.discovery import Discovery
from feeder.books.lines import MarketLines
from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import SessionTable
from feeder.recording.reader import RecordingReader
from protocol.book import Proof
from protocol.snapshot import BookSnapshot
from runtime.process import first_failure
from sandbox.playback.server import PlaybackServer, serve
from tests.support.recordings import SERIES, frames_in, recorded_run

CHANGES = 150


async def test_a_feeder_discovers_the_market_and_every_book_of_it_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded_run(tmp_path, monkeypatch, changes=CHANGES)
    last = json.loads(frames_in(RecordingReader(tmp_path))[-1])
    wanted = {each["asset_id"]: each["hash"] for each in last["price_changes"]}
    replay = PlaybackServer(tmp_path, speed=0.05)  # slow enough for both lines to be there
    taken: asyncio.Queue[BookSnapshot] = asyncio.Queue()
    table, metrics = SessionTable((SERIES,)), FeederMetrics((SERIES,))

    def offer(session: MarketSession) -> None:
        snapshot = table.snapshot(session, time.time_ns(), epoch=1)
        if snapshot is not None:
            taken.put_nowait(snapshot)

    async with serve(replay) as url:
        requests = BookRequests(url, table, metrics, offer)
        lines = MarketLines(
            f"{url}/ws/market".replace("http", "ws"), table, requests, metrics, offer
        )
        discovery = Discovery(url, table, metrics, lines.nudge)
        running = asyncio.create_task(
            first_failure(requests.run(), lines.run(), discovery.run(), replay_of(replay))
        )
        try:
            proofs = set()
            async with asyncio.timeout(30):
                while True:
                    snapshot = await taken.get()
                    proofs.add(snapshot.proof)
                    if {book.token_id: book.hash for book in snapshot.books} == wanted:
                        break
        finally:
            running.cancel()
            await asyncio.wait((running,))
    assert proofs == {Proof.CHECKSUM}


async def replay_of(replay: PlaybackServer) -> None:
    """The tape ends, a feeder's loop does not."""
    await replay.play()
    await asyncio.Event().wait()
