"""The market channel as the recorder follows it: what is sent and received goes into the recording.

1. Every frame is put into the recording before anything looks at it, and nothing is awaited between
   its arrival and that.
2. A market is put there before it is subscribed, so before any frame of it.
3. It judges nothing: no book is built, nothing is looked up or subscribed again for lack of one.
4. One connection. It is replaced when it is lost, and when it brings no market data for
   `data_silence_max_s`.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec
import structlog

from feeder.core.market.session_table import SessionTable
from feeder.recording.format import Closed, Listed, Opened, Sent, Unfollowed, frame_of
from feeder.recording.writer import RecordingWriter
from protocol.market import MarketInfo
from runtime.addresses import origins
from venue.errors import ChannelLostError
from venue.websocket import Channel, ChannelTimes
from venue.wire import subscriptions

# Current, next and the one that has just ended of each series, two tokens each.
SERIES_MAX: Final = subscriptions.TOKENS_MAX // 6

_log = structlog.get_logger()


class RecorderTimes(ChannelTimes, frozen=True, kw_only=True):
    """How long the recorder waits for what; seconds."""

    data_silence_max_s: float = 60
    """A running market is never quiet for so long on all its tokens."""
    progress_every_s: float = 60
    """A line in the log that says how far it is."""
    payout_after_s: float = 30
    """After its end, a market is asked for what it paid; and again after so long, then longer."""
    payout_wait_max_s: float = 300
    payout_look_every_s: float = 1
    """How late that may be."""


class RecordingProgress(msgspec.Struct, kw_only=True):
    """What a recorder has done so far."""

    frames: int = 0
    frame_bytes: int = 0
    connections: int = 0
    markets: int = 0
    books: int = 0
    """As they went from the feeders to the workers."""
    decisions: int = 0
    configurations: int = 0
    missed: int = 0
    """Lines that say that some of these did not come."""
    lost: int = 0
    """Records that the disk was too slow for, or had no room for."""
    files: int = 0
    deleted_files: int = 0
    """The oldest ones, which made room for these."""
    written_bytes: int = 0


class RecordedChannel(Channel):
    """Counts in `progress`; `listed` are the followed markets as the recording has them, by
    condition id."""

    def __init__(
        self,
        url: str,
        table: SessionTable,
        writer: RecordingWriter,
        listed: dict[str, MarketInfo],
        progress: RecordingProgress,
        times: RecorderTimes,
    ) -> None:
        super().__init__(url, f"market channel at {url}", self._record_frame, times)
        self._table = table
        self._writer = writer
        self._listed = listed
        self._progress = progress
        self._data_silence_max_s = times.data_silence_max_s
        self._conn = 0
        self._close_reason = Closed.OURS
        self._subscribed: set[str] = set()
        self._data_frames_seen = 0
        self._data_at_s = 0.0

    def wanted(self) -> bool:
        return bool(self._record_listings())

    async def on_open(self) -> None:
        self._progress.connections += 1
        self._conn, self._close_reason = self._progress.connections, Closed.OURS
        self._data_frames_seen, self._data_at_s = self.data_frames, time.monotonic()
        at_ns, mono_ns = now()
        self._writer.put(Opened(at_ns=at_ns, mono_ns=mono_ns, conn=self._conn))
        self._subscribed = self._record_listings()
        await self.send(subscriptions.market_channel(self._subscribed))
        _log.info("recorder_connected", connection=self._conn, tokens=len(self._subscribed))

    async def send(self, text: str) -> None:
        at_ns, mono_ns = now()
        self._writer.put(Sent(at_ns=at_ns, mono_ns=mono_ns, conn=self._conn, text=text))
        await super().send(text)

    def _record_frame(self, payload: bytes, received_at_ns: int) -> None:
        mono_ns = time.monotonic_ns()
        self._writer.put(frame_of(payload, conn=self._conn, at_ns=received_at_ns, mono_ns=mono_ns))
        self._progress.frames += 1
        self._progress.frame_bytes += len(payload)

    async def upkeep(self, now_s: float) -> None:
        """Subscriptions, and the silence of market data."""
        tokens = self._record_listings()
        if ended := self._subscribed - tokens:
            await self.send(subscriptions.unsubscribe(ended))
        if new := tokens - self._subscribed:
            await self.send(subscriptions.subscribe(new))
        self._subscribed = tokens
        if self.data_frames != self._data_frames_seen or not tokens:
            self._data_frames_seen, self._data_at_s = self.data_frames, now_s
        if now_s - self._data_at_s > self._data_silence_max_s:
            silent_s = now_s - self._data_at_s
            raise ChannelLostError(f"no market data received for {silent_s:.0f} s")

    def on_lost(self, error: Exception) -> Exception:
        self._close_reason = origins(f"{type(error).__name__}: {error}")  # no key
        return error

    def on_close(self) -> None:
        at_ns, mono_ns = now()
        self._writer.put(
            Closed(at_ns=at_ns, mono_ns=mono_ns, conn=self._conn, why=self._close_reason)
        )

    def _record_listings(self) -> set[str]:
        """Put what is new in the session table; returns the tokens that should be subscribed."""
        at_ns, mono_ns = now()
        for ended in self._table.drop_ended(at_ns // 1_000_000):
            condition_id = ended.info.condition_id
            if self._listed.pop(condition_id, None) is not None:
                self._writer.put(
                    Unfollowed(at_ns=at_ns, mono_ns=mono_ns, condition_id=condition_id)
                )
        for session in self._table:
            info = session.info
            known = self._listed.get(info.condition_id)
            if known != info:
                self._progress.markets += known is None
                self._listed[info.condition_id] = info
                self._writer.put(Listed(at_ns=at_ns, mono_ns=mono_ns, market=info))
        return self._table.tokens()


def now() -> tuple[int, int]:
    """(epoch, monotonic clock), nanoseconds: when a record was made."""
    return time.time_ns(), time.monotonic_ns()
