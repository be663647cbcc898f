"""A recording played back on real sockets: `python -m sandbox.playback DIR --speed 1`.

A tape of what the venue once sent, frame for frame and byte for byte, at `/ws/market`, with the
listing (`/events`) and the books (`/book`) that belong to it. It starts with the first subscription
and plays once, `speed` times as fast as life; 0 is as fast as everybody reads. Afterwards the last
books stay.

1. A connection gets every frame that names one of its tokens, whole, and those that name none.
   PONGs are not played: a PING gets one of its own.
2. Whoever subscribes to a token whose book the tape has passed already gets that book, as it stands
   on the tape, as the venue would send it. These are the only frames that were not recorded.
3. `GET /book` is that same book: the levels of the last `book` and of all deltas since, with the
   timestamp and the hash that came with the last of them. So its checksum is the venue's own.
4. Ids and frames are as recorded, so their timestamps are old: workers refuse to trade on them.
   Only listings move: beside its own slug, the market that the tape is at is listed as the window
   of its series that runs now, and the one after it as the next window. Where the tape is within
   its window and where the clock is, is not brought in line.
5. What waits for a connection is bounded. A reader that is too slow is cut, at speed 0 only when it
   does not read at all.

Not modelled: trading, the user channel, anything that depends on what is asked (a recorded answer
to a subscription comes when its turn comes, to whoever is subscribed then), and the time between
two runs of the recorder.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog
from aiohttp import WSMsgType, web

from feeder.recording.errors import RecordingError
from feeder.recording.format import Frame, Listed, Started, payload
from feeder.recording.reader import RecordingReader
from sandbox.playback.books import RecordedBooks
from sandbox.playback.listing import RecordedListing, event_json
from venue.wire.market_channel import PONG

FRAMES_WAITING_MAX: Final = 1024
STUCK_S: Final = 10
"""At speed 0 a reader that takes nothing for so long is cut."""
_SHUTDOWN_TIMEOUT_S: Final = 1.0
_CLOSE_TIMEOUT_S: Final = 0.5
_GAP_BETWEEN_RUNS_NS: Final = 1_000_000_000
_NS: Final = 1_000_000_000

_log = structlog.get_logger()


class _Listener:
    """One websocket, its tokens, and the frames that wait for it."""

    def __init__(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        self.tokens: set[str] = set()
        self.open = True
        self._ws = ws
        self._transport = request.transport
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(FRAMES_WAITING_MAX)

    def offer(self, frame: bytes) -> None:
        """Queue a frame, or cut the connection."""
        try:
            self._waiting.put_nowait(frame)
        except asyncio.QueueFull:
            self.cut("too slow")

    async def give(self, frame: bytes) -> None:
        """Queue a frame as soon as there is room, or cut a connection that does not read."""
        try:
            async with asyncio.timeout(STUCK_S):
                await self._waiting.put(frame)
        except TimeoutError:
            self.cut("does not read")

    def cut(self, why: str) -> None:
        if self.open and self._transport is not None:
            self.open = False
            _log.warning("reader_cut", why=why)
            self._transport.abort()

    def make_room(self) -> None:
        """Nothing is written any more: let whoever waits in `give` go on."""
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def pump(self) -> None:
        """Write what waits; on a broken connection, throw it away."""
        while True:
            frame = await self._waiting.get()
            if self.open:
                try:
                    await self._ws.send_frame(frame, WSMsgType.TEXT)
                except ConnectionError:
                    self.open = False

    async def close(self) -> None:
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._ws.close()
        self.cut("closing")


class PlaybackServer:
    """`serve` it. Raises RecordingError when there is no recording, or none of any market."""

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        self.ended = asyncio.Event()
        """The tape has been played."""
        self.played = 0
        """Frames, PONGs not counted."""
        self._path = path
        self._speed = speed
        self._listeners: set[_Listener] = set()
        self._started = asyncio.Event()
        self._books = RecordedBooks()
        self._listing = RecordedListing(
            record.market for record in RecordingReader(path) if isinstance(record, Listed)
        )
        if not self._listing.markets:
            raise RecordingError(f"{path}: describes no market")
        self._at_ms = next((frame.at_ns // 1_000_000 for _, frame in self._tape()), 0)

    @property
    def series(self) -> list[str]:
        """Names of the recorded series."""
        return self._listing.series

    # ---- the tape ------------------------------------------------------------------------------

    async def play(self) -> None:
        """Wait for the first subscription, then play until the end."""
        await self._started.wait()
        begun_ns = time.monotonic_ns()
        for played, (at_ns, frame) in enumerate(self._tape()):
            if self._speed:
                ahead_s = at_ns / self._speed / _NS - (time.monotonic_ns() - begun_ns) / _NS
                await asyncio.sleep(max(ahead_s, 0))
            elif played % 64 == 0:
                await asyncio.sleep(0)
            await self._broadcast(payload(frame))
            self._at_ms = frame.at_ns // 1_000_000
            self.played += 1
        self.ended.set()
        _log.info("tape_ended", frames=self.played)

    def _tape(self) -> Iterator[tuple[int, Frame]]:
        """(nanoseconds since the first frame, frame)."""
        at_ns, previous = 0, None
        run = previous_run = ""
        for record in RecordingReader(self._path):
            if isinstance(record, Started):
                run = record.run
            if not isinstance(record, Frame) or record.text == PONG.decode():
                continue
            if previous is not None:
                same = run == previous_run
                at_ns += record.mono_ns - previous.mono_ns if same else _GAP_BETWEEN_RUNS_NS
            previous, previous_run = record, run
            yield at_ns, record

    async def _broadcast(self, frame: bytes) -> None:
        tokens = self._books.take(frame)
        for listener in tuple(self._listeners):
            if listener.tokens and (not tokens or listener.tokens & tokens):
                if self._speed:
                    listener.offer(frame)
                else:
                    await listener.give(frame)

    # ---- who listens ---------------------------------------------------------------------------

    async def market_channel(self, request: web.Request) -> web.WebSocketResponse:
        """/ws/market"""
        ws = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await ws.prepare(request)
        listener = _Listener(request, ws)
        self._listeners.add(listener)
        pump = asyncio.create_task(listener.pump())
        try:
            async for message in ws:
                if message.type is not WSMsgType.TEXT:
                    continue
                if message.data == "PING":
                    listener.offer(PONG)
                else:
                    self._on_message(listener, message.data)
        finally:
            self._listeners.discard(listener)
            listener.open = False
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump
            listener.make_room()
        return ws

    def _on_message(self, listener: _Listener, text: str) -> None:
        try:
            message = json.loads(text)
            asked = {token for token in message["assets_ids"] if isinstance(token, str)}
        except (ValueError, KeyError, TypeError):
            return  # ignored, as the venue does
        if message.get("operation") == "unsubscribe":
            listener.tokens -= asked
        elif message.get("operation") == "subscribe" or message.get("type") == "market":
            listener.tokens |= asked
            books = [body for token in sorted(asked) if (body := self._books.frame(token))]
            if books:
                listener.offer(f"[{','.join(books)}]".encode())
            self._started.set()

    async def close(self) -> None:
        """Say good-bye to everyone."""
        await asyncio.gather(*(listener.close() for listener in tuple(self._listeners)))

    # ---- what may be asked ---------------------------------------------------------------------

    async def get_book(self, request: web.Request) -> web.Response:
        """GET /book?token_id="""
        body = self._books.body(request.query.get("token_id", ""))
        if body is None:
            return web.json_response(
                {"error": "No orderbook exists for the requested token id"}, status=404
            )
        return web.Response(text=body, content_type="application/json")

    async def get_events(self, request: web.Request) -> web.Response:
        """GET /events?slug="""
        slug = request.query.get("slug", "")
        found = self._listing.market(slug, now_s=time.time(), tape_ms=self._at_ms)
        return web.json_response([] if found is None else [event_json(found)])


@asynccontextmanager
async def serve(
    playback: PlaybackServer, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve while the context lasts; yields `http://host:port`. `playback.play()` must run beside.

    Raises OSError when the port is taken.
    """
    app = web.Application()
    app.add_routes(
        [
            web.get("/events", playback.get_events),
            web.get("/book", playback.get_book),
            web.get("/ws/market", playback.market_channel),
        ]
    )

    async def close(_: web.Application) -> None:
        await playback.close()

    app.on_shutdown.append(close)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
