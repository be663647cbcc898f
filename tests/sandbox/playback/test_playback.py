"""A recording played back: the same bytes in the same order, and a listing that leads to them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.token_book import SnapshotResult, TokenBook
from feeder.recording.errors import RecordingError
from feeder.recording.format import Frame, Listed, Started, frame_of, payload
from feeder.recording.reader import RecordingReader
from protocol.book import Proof
from protocol.market import MarketInfo
from sandbox.playback import server as playback_server
from sandbox.playback.server import PlaybackServer, serve
from tests.support.recordings import SERIES, frames_in, recorded_run, write_records
from venue.wire.listing import parse_listing
from venue.wire.market_channel import decode_book

ROOT = Path(__file__).parents[3]
CHANGES = 30
SECOND_NS = 1_000_000_000


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recording of a run: a frame with both books, then CHANGES frames."""
    await recorded_run(tmp_path / "run", monkeypatch, changes=CHANGES)
    return tmp_path / "run"


def market_in(path: Path) -> MarketInfo:
    return next(each.market for each in RecordingReader(path) if isinstance(each, Listed))


def tokens_in(path: Path) -> list[str]:
    return [outcome.token_id for outcome in market_in(path).outcomes]


@asynccontextmanager
async def playing(replay: PlaybackServer) -> AsyncIterator[None]:
    """Beside `serve`; what goes wrong with the tape is raised at the end."""
    task = asyncio.create_task(replay.play())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


@asynccontextmanager
async def listener(url: str, *tokens: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"{url}/ws/market".replace("http", "ws"), close_timeout=0.2) as websocket:
        await websocket.send(json.dumps({"type": "market", "assets_ids": tokens}))
        yield websocket


async def receive(websocket: ClientConnection, count: int) -> list[bytes]:
    async with asyncio.timeout(30):
        return [await websocket.recv(decode=False) for _ in range(count)]


async def get(url: str, **query: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as client, client.get(url, params=query) as answer:
        return answer.status, await answer.read()


async def settled(websocket: ClientConnection) -> None:
    """Everything sent so far has been read by the server."""
    await websocket.send("PING")
    assert await receive(websocket, 1) == [b"PONG"]


async def test_every_listener_gets_every_frame_byte_for_byte(run: Path) -> None:
    tokens, replay = tokens_in(run), PlaybackServer(run, speed=0)
    async with (
        serve(replay) as url,
        listener(url, *tokens) as both,
        listener(url, tokens[0]) as one,
        listener(url, "no such token") as none,
    ):
        for websocket in (both, one, none):
            await settled(websocket)
        async with playing(replay):
            recorded = frames_in(RecordingReader(run))
            assert await receive(both, 1 + CHANGES) == recorded
            assert await receive(one, 1 + CHANGES) == recorded  # whole: each names both tokens
            await replay.ended.wait()
            await settled(none)
    assert replay.played == 1 + CHANGES


async def test_frames_that_name_no_token_and_broken_ones_go_to_all_who_listen(
    tmp_path: Path, run: Path
) -> None:
    odd = [b"\xff\x00", b"[]", b'{"event_type":"new"}', b"PONG", b'{"event_type":"book"}', b"{"]
    records = list(RecordingReader(run))
    last = records[-1]
    records += [frame_of(each, conn=1, at_ns=last.at_ns, mono_ns=last.mono_ns) for each in odd]
    write_records(tmp_path / "odd.gz", records)
    replay = PlaybackServer(tmp_path / "odd.gz", speed=0)
    async with (
        serve(replay) as url,
        listener(url, *tokens_in(run)) as websocket,
        listener(url) as nobody,
    ):
        await settled(websocket)
        async with playing(replay):
            heard = await receive(websocket, 1 + CHANGES + 5)
            await replay.ended.wait()
            await settled(nobody)
    assert heard[1 + CHANGES :] == [each for each in odd if each != b"PONG"]


def proven(info: MarketInfo, token_id: str, body: bytes) -> TokenBook:
    """A feeder's book of an answer; the checksum must be that of the book."""
    book = TokenBook(token_id, BookChecksum(info))
    assert book.replace(decode_book(body), from_rest=True) is SnapshotResult.TAKEN
    assert book.proof is Proof.CHECKSUM
    return book


async def test_who_comes_later_gets_the_book_as_the_tape_has_it_and_it_is_proven(
    run: Path,
) -> None:
    info, (token, other) = market_in(run), tokens_in(run)
    last = json.loads(frames_in(RecordingReader(run))[-1])
    hashes = {each["asset_id"]: each["hash"] for each in last["price_changes"]}
    replay = PlaybackServer(run, speed=0)
    async with serve(replay) as url, listener(url, token) as first, playing(replay):
        assert await get(f"{url}/book", token_id="unknown") == (
            404,
            b'{"error": "No orderbook exists for the requested token id"}',
        )
        await receive(first, 1 + CHANGES)
        await replay.ended.wait()
        for each in (token, other):
            status, body = await get(f"{url}/book", token_id=each)
            assert status == 200
            book = proven(info, each, body)
            assert (book.hash, book.timestamp_ms) == (hashes[each], int(last["timestamp"]))
        async with listener(url, other, "unknown") as late:
            (late_frame,) = await receive(late, 1)
        (event,) = json.loads(late_frame)
        assert event.pop("event_type") == "book"
        assert event == json.loads((await get(f"{url}/book", token_id=other))[1])


async def test_an_unsubscribed_token_is_not_heard_of_any_more(tmp_path: Path, run: Path) -> None:
    tokens, replay = tokens_in(run), PlaybackServer(run, speed=0)
    async with serve(replay) as url, listener(url, *tokens) as websocket:
        message = {"operation": "unsubscribe", "assets_ids": tokens}
        await websocket.send(json.dumps(message))
        for ignored in ("no JSON", "[]", "{}", '{"assets_ids": 1}'):
            await websocket.send(ignored)
        await settled(websocket)
        async with playing(replay):
            await replay.ended.wait()
            await settled(websocket)


async def test_the_market_is_listed(run: Path) -> None:
    info, replay = market_in(run), PlaybackServer(run)
    async with serve(replay) as url:
        _, body = await get(f"{url}/events", slug=info.slug)
        assert parse_listing(body, SERIES, info.start_ms // 1000) == info
        assert (await get(f"{url}/events", slug="eth-updown-15m-0"))[1] == b"[]"


def spaced(path: Path, run: Path, *seconds: float, new_run_at: int = -1) -> Path:
    """The run's first frames at these times; from one of them on another process recorded."""
    records, frames = [], [each for each in RecordingReader(run) if isinstance(each, Frame)]
    records += [each for each in RecordingReader(run) if isinstance(each, Started | Listed)]
    for number, (second, each) in enumerate(zip(seconds, frames, strict=False)):
        if number == new_run_at:
            records.append(
                Started(
                    at_ns=0,
                    mono_ns=0,
                    format=1,
                    run="another",
                    part=2,
                    market_ws_url="",
                    gamma_url="",
                    series=(SERIES.name,),
                )
            )
        mono_ns = int(second * SECOND_NS)
        records.append(frame_of(payload(each), conn=1, at_ns=each.at_ns, mono_ns=mono_ns))
    write_records(path, records)
    return path


async def test_frames_keep_their_distance_divided_by_the_speed(tmp_path: Path, run: Path) -> None:
    path = spaced(tmp_path / "a.gz", run, 7.0, 7.5, 8.0)
    replay = PlaybackServer(path, speed=5)
    async with serve(replay) as url, listener(url, *tokens_in(run)) as websocket:
        begun_s = time.monotonic()
        async with playing(replay):
            await receive(websocket, 3)
    assert time.monotonic() - begun_s >= 0.2  # a busy machine may only be later


def test_the_time_between_two_runs_is_a_second(tmp_path: Path, run: Path) -> None:
    path = spaced(tmp_path / "a.gz", run, 7.0, 8.0, 1.0, 3.0, new_run_at=2)
    times = [at_ns for at_ns, _ in PlaybackServer(path)._tape()]
    assert times == [0, SECOND_NS, 2 * SECOND_NS, 4 * SECOND_NS]


@pytest.mark.parametrize("speed", [0, 1_000_000])
async def test_a_reader_that_does_not_read_is_cut_and_holds_nobody_up(
    run: Path, monkeypatch: pytest.MonkeyPatch, speed: int
) -> None:
    monkeypatch.setattr(playback_server, "FRAMES_WAITING_MAX", 1)
    monkeypatch.setattr(playback_server, "STUCK_S", 0.05)
    tokens, replay = tokens_in(run), PlaybackServer(run, speed=speed)
    async with serve(replay) as url, listener(url, *tokens) as websocket:
        await settled(websocket)
        (stuck,) = replay._listeners
        blocked = asyncio.Event()

        async def never(*_: Any) -> None:
            await blocked.wait()

        monkeypatch.setattr(stuck._ws, "send_frame", never)
        async with playing(replay):
            async with asyncio.timeout(30):
                await replay.ended.wait()
            with pytest.raises(ConnectionClosed):
                await receive(websocket, 1)


def test_what_is_no_recording_is_refused(tmp_path: Path, run: Path) -> None:
    with pytest.raises(RecordingError, match="no recording"):
        PlaybackServer(tmp_path)
    path = tmp_path / "bare.gz"
    write_records(path, [each for each in RecordingReader(run) if not isinstance(each, Listed)])
    with pytest.raises(RecordingError, match="describes no market"):
        PlaybackServer(path)


async def test_it_is_started_from_the_command_line(run: Path) -> None:
    async def started(*argv: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sandbox.playback", *argv),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    process, refused = await asyncio.gather(
        started(str(run), "--speed", "0"), started(str(run / "absent"))
    )
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        assert ready["series"] == [SERIES.name]
        async with listener(ready["url"], *tokens_in(run)) as websocket:
            assert await receive(websocket, 1 + CHANGES) == frames_in(RecordingReader(run))
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    _, stderr = await refused.communicate()
    assert refused.returncode == 2
    assert stderr.decode().startswith("cannot start: cannot read ")
