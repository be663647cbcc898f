"""The venue's market channel: one websocket, kept alive, its frames applied to the session table.

1. Books belong to a connection: when it is lost all of them are dropped, and nothing is offered to
   the publisher for a market until both its tokens got a fresh `book`.
2. Markets come and go without reconnecting; a market whose books are unusable is subscribed again,
   as often as the session table says, and a connection that does not help is replaced.
3. A connection is lost when it closes, when nothing at all arrived for `silence_max_s`, or when
   no market data did for `data_silence_max_s`: a socket that answers PONG can be frozen
   (py-clob-client#292).

Between a frame's arrival and its offer to the publisher nothing is awaited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from feeder.core.book_builder import Trouble
from feeder.core.frames import FrameError, Pong, UnknownEvent, decode_frame
from feeder.core.sessions import MarketSession, SessionTable
from feeder.metrics import FeederMetrics
from feeder.websocket import ChannelLostError, open_websocket, send
from runtime.process import first_failure
from runtime.retry import until_reachable

# A connection that lasted shorter was no success: reconnecting backs off further.
STABLE_S: Final = 10
REJECTION_LOG_EVERY_S: Final = 10
UNKNOWN_TYPES_LOGGED_MAX: Final = 20

_log = structlog.get_logger()


class ChannelTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the channel waits for what; seconds."""

    ping_every_s: float = 10
    """The venue's documentation asks for this interval."""
    silence_max_s: float = 25
    """Two pings unanswered, and a little."""
    data_silence_max_s: float = 60
    """A running market is never quiet for so long on all its tokens."""
    upkeep_every_s: float = 0.25
    """Subscriptions, re-subscriptions and silence are looked at this often, or when nudged."""


class MarketChannel:
    """Feeds the session table from the venue, and offers what changed to `publish`."""

    def __init__(
        self,
        url: str,
        table: SessionTable,
        metrics: FeederMetrics,
        publish: Callable[[MarketSession], None],
        times: ChannelTimes = ChannelTimes(),  # noqa: B008 - frozen
    ) -> None:
        self._url = url
        self._table = table
        self._metrics = metrics
        self._publish = publish
        self._times = times
        self._nudged = asyncio.Event()
        self._connected = False
        self._frames = 0
        self._data_frames = 0
        self._data_at_s = time.monotonic()
        self._rejected_unlogged = 0
        self._rejection_logged_at_s = float("-inf")
        self._unknown_types: set[str] = set()

    def nudge(self) -> None:
        """The session table changed: look at the subscriptions now."""
        self._nudged.set()

    def problem(self) -> str | None:
        """One sentence on why the channel is not healthy, None when it is."""
        if not self._connected:
            return f"the market channel at {self._url} is not connected"
        silent_s = time.monotonic() - self._data_at_s
        if len(self._table) and silent_s > self._times.data_silence_max_s:
            return f"no market data for {silent_s:.0f} s"
        return None

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            await until_reachable(
                f"market channel at {self._url}",
                self._follow,
                retry_on=(OSError, TimeoutError, WebSocketException),
            )

    async def _follow(self) -> None:
        """One connection, from opening to loss. Returns if it lasted, raises if it did not."""
        self._table.drop_ended(_now_ms())
        while not self._table.tokens():
            self._nudged.clear()
            await self._nudged.wait()
            self._data_at_s = time.monotonic()  # nothing could be expected until now
        async with open_websocket(self._url) as websocket:
            connected_at_s = time.monotonic()
            try:
                self._table.drop_books(_now_ms())
                tokens = self._table.tokens()
                await send(websocket, {"type": "market", "assets_ids": sorted(tokens)})
                self._connected = True
                self._metrics.connections.inc()
                _log.info("market_channel_connected", url=self._url, tokens=len(tokens))
                await first_failure(self._receive(websocket), self._keep_up(websocket, tokens))
            except (OSError, TimeoutError, WebSocketException) as error:
                self._metrics.reconnects.inc()
                if time.monotonic() - connected_at_s < STABLE_S:
                    raise
                _log.warning("market_channel_lost", error=f"{type(error).__name__}: {error}")
            finally:
                self._connected = False
                self._table.drop_books(_now_ms())
                self._metrics.ready.set(0)

    async def _receive(self, websocket: ClientConnection) -> None:
        while True:
            payload = await websocket.recv(decode=False)
            self._on_frame(payload, time.time_ns())

    def _on_frame(self, payload: bytes, received_at_ns: int) -> None:
        self._frames += 1
        metrics, table = self._metrics, self._table
        try:
            events = decode_frame(payload)
        except FrameError as error:
            self._count_troubles(table.distrust(error.markets, received_at_ns // 1_000_000))
            self._report_rejection(error)
            return
        for event in events:
            metrics.events[event.__class__].inc()
            if isinstance(event, Pong):
                continue
            self._data_frames += 1
            if isinstance(event, UnknownEvent):
                self._report_unknown(event)
                continue
            applied = table.apply(event, received_at_ns)
            session = applied.session
            if session is not None and applied.updates:
                metrics.series[session.info.series].updates.inc(applied.updates)
                if session.ready:
                    self._publish(session)
            if applied.ignored:
                metrics.ignored.inc(applied.ignored)
            if applied.troubles:
                self._count_troubles(applied.troubles)
            if applied.error is not None:
                self._report_rejection(applied.error)

    def _count_troubles(self, troubles: Collection[Trouble]) -> None:
        for trouble in troubles:
            self._metrics.suspect[trouble].inc()
        if troubles:
            self._nudged.set()

    def _report_rejection(self, error: FrameError) -> None:
        self._metrics.rejected[error.fault].inc()
        now_s = time.monotonic()
        if now_s - self._rejection_logged_at_s < REJECTION_LOG_EVERY_S:
            self._rejected_unlogged += 1
            return
        _log.warning("frame_rejected", error=str(error), unlogged_before=self._rejected_unlogged)
        self._rejection_logged_at_s, self._rejected_unlogged = now_s, 0

    def _report_unknown(self, event: UnknownEvent) -> None:
        known = self._unknown_types
        if event.event_type not in known and len(known) < UNKNOWN_TYPES_LOGGED_MAX:
            known.add(event.event_type)
            _log.info("unknown_event_type", event_type=event.event_type[:80])

    async def _keep_up(self, websocket: ClientConnection, subscribed: set[str]) -> None:
        """Subscriptions, recovery, PING and silence. Raises ChannelLostError to reconnect."""
        times = self._times
        connected_at_s = heard_at_s = pinged_at_s = time.monotonic()
        frames, data_frames = self._frames, self._data_frames
        while True:
            self._nudged.clear()
            self._table.drop_ended(_now_ms())
            subscribed = await self._subscribe(websocket, subscribed)
            await self._resubscribe(websocket)
            self._metrics.followed.set(len(self._table))
            self._metrics.ready.set(sum(session.ready for session in self._table))

            now_s = time.monotonic()
            if now_s - pinged_at_s >= times.ping_every_s:
                pinged_at_s = now_s
                await send(websocket, "PING")
            if self._frames != frames:
                frames, heard_at_s = self._frames, now_s
            if self._data_frames != data_frames or not len(self._table):
                data_frames, self._data_at_s = self._data_frames, now_s
            if now_s - heard_at_s > times.silence_max_s:
                raise ChannelLostError(f"nothing received for {now_s - heard_at_s:.0f} s")
            data_silent_s = now_s - max(connected_at_s, self._data_at_s)
            if data_silent_s > times.data_silence_max_s:
                raise ChannelLostError(f"no market data received for {data_silent_s:.0f} s")
            try:
                async with asyncio.timeout(times.upkeep_every_s):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    async def _subscribe(self, websocket: ClientConnection, subscribed: set[str]) -> set[str]:
        """Bring the venue's idea of our tokens to the table's; returns it."""
        wanted = self._table.tokens()
        if ended := subscribed - wanted:
            await send(websocket, _operation("unsubscribe", ended))
        if new := wanted - subscribed:
            await send(websocket, _operation("subscribe", new))
        return wanted

    async def _resubscribe(self, websocket: ClientConnection) -> None:
        """Ask again for the books that the session table misses. Raises ChannelLostError."""
        due = self._table.take_due(_now_ms())
        if due.reconnect:
            raise ChannelLostError("subscribing again does not bring a book")
        if not due.resync:
            return
        for session in due.resync:
            self._metrics.resubscribes.inc()
            _log.info(
                "market_resubscribed",
                slug=session.info.slug,
                troubles=[str(trouble) for trouble in session.troubles() if trouble],
            )
        tokens = {token for session in due.resync for token in session.books}
        await send(websocket, _operation("unsubscribe", tokens))
        await send(websocket, _operation("subscribe", tokens))


def _operation(operation: str, tokens: Collection[str]) -> dict[str, object]:
    return {"operation": operation, "assets_ids": sorted(tokens)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
