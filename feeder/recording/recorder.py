"""The recorder: follows the series' windows as the feeder does, and keeps what the venue says.

1. Every frame is put into the recording before anything looks at it, and nothing is awaited between
   its arrival and that.
2. It judges nothing: no book is built, nothing is looked up or subscribed again for lack of one. A
   reader of the recording sees what a feeder would have had to cope with.
3. One connection. It is replaced when it closes, and when it is silent like one that is dead: no
   byte for `silence_max_s`, no market data for `data_silence_max_s`.
4. It ends when told to, when its time is over, or when the disk refuses; what was received until
   then is written first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from feeder.books.discovery import Discovery
from feeder.books.metrics import FeederMetrics
from feeder.core.market.session_table import SessionTable
from feeder.recording.files import Limits, Writer, open_recording
from feeder.recording.format import (
    FORMAT,
    Closed,
    Listed,
    Opened,
    Record,
    Sent,
    Started,
    Stopped,
    Unfollowed,
    frame_of,
)
from feeder.settings import MarketStream
from protocol.market import MarketInfo
from runtime.process import first_failure
from runtime.retry import until_reachable
from venue.websocket import ChannelLostError, open_websocket, send
from venue.wire.market_channel import PONG

# Below the undocumented number (about 500) at which the venue closes connections. Current, next and
# the one that has just ended of each series, two tokens each.
TOKENS_MAX: Final = 200
SERIES_MAX: Final = TOKENS_MAX // 6
# A connection that lasted shorter was no success: reconnecting backs off further.
STABLE_S: Final = 10

_log = structlog.get_logger()


class RecorderTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the recorder waits for what; seconds."""

    ping_every_s: float = 10
    """The venue's documentation asks for this interval."""
    silence_max_s: float = 25
    """Two pings unanswered, and a little."""
    data_silence_max_s: float = 60
    """A running market is never quiet for so long on all its tokens."""
    upkeep_every_s: float = 0.25
    progress_every_s: float = 60
    """A line in the log that says how far it is."""


class Recorded(msgspec.Struct, kw_only=True):
    """What a recorder has done so far."""

    frames: int = 0
    frame_bytes: int = 0
    connections: int = 0
    markets: int = 0
    lost: int = 0
    """Records that the disk was too slow for."""
    files: int = 0
    written_bytes: int = 0


class Recorder:
    """`run` records until cancelled, or for `duration_s`; `done` says how much."""

    def __init__(
        self,
        settings: MarketStream,
        directory: Path,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        times: RecorderTimes = RecorderTimes(),  # noqa: B008 - frozen
    ) -> None:
        self._done = Recorded()
        self._writer: Writer | None = None
        self._settings = settings
        self._directory = directory
        self._limits = limits
        self._times = times
        self._table = SessionTable(settings.series)
        self._listed: dict[str, MarketInfo] = {}
        """The followed markets as the recording has them."""
        self._run = f"{time.time_ns():x}"
        self._nudged = asyncio.Event()
        self._data_frames = 0

    @property
    def done(self) -> Recorded:
        """So far."""
        done, writer = self._done, self._writer
        if writer is not None:
            done.lost, done.files = writer.lost, writer.files
            done.written_bytes = writer.written_bytes
        return done

    async def run(self, duration_s: float | None = None) -> None:
        """Raises RecordingError when the directory cannot be used, or the disk refuses."""
        async with open_recording(self._directory, self._head, self._limits) as writer:
            self._writer = writer
            _log.info("recording_started", directory=str(self._directory))
            gamma = Discovery(
                self._settings.gamma_url,
                self._table,
                FeederMetrics(self._settings.series),
                self._nudged.set,
            )
            try:
                async with asyncio.timeout(duration_s) as limit:
                    await first_failure(
                        writer.run(), gamma.run(), self._stay_connected(writer), self._tell()
                    )
            except asyncio.CancelledError:
                self._stop(writer)
                raise
            except TimeoutError:
                if not limit.expired():
                    raise
                self._stop(writer)

    def _head(self, part: int) -> Iterator[Record]:
        at_ns, mono_ns = _now()
        yield Started(
            at_ns=at_ns,
            mono_ns=mono_ns,
            format=FORMAT,
            run=self._run,
            part=part,
            market_ws_url=self._settings.market_ws_url,
            gamma_url=self._settings.gamma_url,
            series=tuple(series.name for series in self._settings.series),
        )
        for market in self._listed.values():
            yield Listed(at_ns=at_ns, mono_ns=mono_ns, market=market)

    def _stop(self, writer: Writer) -> None:
        at_ns, mono_ns = _now()
        writer.put(Stopped(at_ns=at_ns, mono_ns=mono_ns))
        _log.info("recording_stopped", frames=self._done.frames)

    async def _stay_connected(self, writer: Writer) -> None:
        while True:
            await until_reachable(
                f"market channel at {self._settings.market_ws_url}",
                lambda: self._follow(writer),
                retry_on=(OSError, TimeoutError, WebSocketException),
            )

    async def _follow(self, writer: Writer) -> None:
        """One connection, from opening to loss. Returns if it lasted, raises if it did not."""
        while not self._note_listings(writer):
            self._nudged.clear()
            await self._nudged.wait()
        async with open_websocket(self._settings.market_ws_url) as websocket:
            self._done.connections += 1
            conn = self._done.connections
            at_ns, opened_ns = _now()
            writer.put(Opened(at_ns=at_ns, mono_ns=opened_ns, conn=conn))
            channel = _Channel(websocket, writer, conn)
            why = Closed.OURS
            try:
                tokens = self._note_listings(writer)  # told before any frame of theirs
                await channel.send({"type": "market", "assets_ids": sorted(tokens)})
                _log.info("recorder_connected", connection=conn, tokens=len(tokens))
                await first_failure(
                    self._receive(websocket, writer, conn), self._keep_up(channel, tokens)
                )
            except (OSError, TimeoutError, WebSocketException) as error:
                why = f"{type(error).__name__}: {error}"
                if time.monotonic_ns() - opened_ns < STABLE_S * 1_000_000_000:
                    raise
                _log.info("recorder_disconnected", connection=conn, error=why)
            finally:
                at_ns, mono_ns = _now()
                writer.put(Closed(at_ns=at_ns, mono_ns=mono_ns, conn=conn, why=why))

    async def _receive(self, websocket: ClientConnection, writer: Writer, conn: int) -> None:
        done = self._done
        while True:
            payload = await websocket.recv(decode=False)
            at_ns, mono_ns = _now()
            writer.put(frame_of(payload, conn=conn, at_ns=at_ns, mono_ns=mono_ns))
            done.frames += 1
            done.frame_bytes += len(payload)
            self._data_frames += payload != PONG

    async def _keep_up(self, channel: _Channel, subscribed: set[str]) -> None:
        """Subscriptions, PING and silence. Raises ChannelLostError to reconnect."""
        times = self._times
        pinged_at_s = heard_at_s = data_at_s = time.monotonic()
        frames, data_frames = self._done.frames, self._data_frames
        while True:
            self._nudged.clear()
            wanted = self._note_listings(channel.writer)
            if ended := subscribed - wanted:
                await channel.send(_operation("unsubscribe", ended))
            if new := wanted - subscribed:
                await channel.send(_operation("subscribe", new))
            subscribed = wanted

            now_s = time.monotonic()
            if now_s - pinged_at_s >= times.ping_every_s:
                pinged_at_s = now_s
                await channel.send("PING")
            if self._done.frames != frames:
                frames, heard_at_s = self._done.frames, now_s
            if self._data_frames != data_frames or not wanted:
                data_frames, data_at_s = self._data_frames, now_s
            if now_s - heard_at_s > times.silence_max_s:
                raise ChannelLostError(f"nothing received for {now_s - heard_at_s:.0f} s")
            if now_s - data_at_s > times.data_silence_max_s:
                raise ChannelLostError(f"no market data received for {now_s - data_at_s:.0f} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(times.upkeep_every_s):
                    await self._nudged.wait()

    def _note_listings(self, writer: Writer) -> set[str]:
        """Put what is new in the session table; returns the tokens that should be subscribed."""
        at_ns, mono_ns = _now()
        for ended in self._table.drop_ended(at_ns // 1_000_000):
            condition_id = ended.info.condition_id
            if self._listed.pop(condition_id, None) is not None:
                writer.put(Unfollowed(at_ns=at_ns, mono_ns=mono_ns, condition_id=condition_id))
        for session in self._table:
            info = session.info
            known = self._listed.get(info.condition_id)
            if known != info:
                self._done.markets += known is None
                self._listed[info.condition_id] = info
                writer.put(Listed(at_ns=at_ns, mono_ns=mono_ns, market=info))
        return self._table.tokens()

    async def _tell(self) -> None:
        """A line in the log now and then."""
        while True:
            await asyncio.sleep(self._times.progress_every_s)
            _log.info("recording", **msgspec.structs.asdict(self.done))


class _Channel:
    """Sends, and puts what it sent into the recording."""

    def __init__(self, websocket: ClientConnection, writer: Writer, conn: int) -> None:
        self.writer = writer
        self._websocket = websocket
        self._conn = conn

    async def send(self, message: dict[str, object] | str) -> None:
        text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
        at_ns, mono_ns = _now()
        self.writer.put(Sent(at_ns=at_ns, mono_ns=mono_ns, conn=self._conn, text=text))
        await send(self._websocket, text)


def _operation(operation: str, tokens: Collection[str]) -> dict[str, object]:
    return {"operation": operation, "assets_ids": sorted(tokens)}


def _now() -> tuple[int, int]:
    return time.time_ns(), time.monotonic_ns()
