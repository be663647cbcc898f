"""One connection to the venue's market channel: opened, kept alive, replaced when told to.

1. Books belong to a connection: when it is lost, those it brought are dropped.
2. Markets come and go without reconnecting: what `tokens` holds is subscribed, what it no longer
   holds is not.
3. A connection is lost when it closes or when nothing at all arrives for `silence_max_s`. A PONG
   proves that somebody is there, never that the books are live (py-clob-client#292): that is
   for the session table to find out, and `replace` is how it says so.
4. Now and then a connection is replaced although nothing is wrong with it: what both ends believe
   of a connection drifts apart with its age. It waits for another line to have all its markets. A
   connection in doubt waits for that, too, but if it brings no data at all not for long.
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

from feeder.books.frame_intake import FrameIntake
from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import SessionTable
from runtime.process import first_failure
from runtime.retry import until_reachable
from venue.websocket import ChannelLostError, open_websocket, send
from venue.wire.market_channel import PONG

# A connection that lasted shorter was no success: reconnecting backs off further.
STABLE_S: Final = 10
# How long a connection in doubt is kept for the sake of markets that only it has, although it
# brings nothing: both lines may be in doubt at once, and the other's new connection has its books
# in a fraction of this.
REPLACE_WAIT_MAX_S: Final = 2

_log = structlog.get_logger()


class ChannelTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the channel waits for what; seconds."""

    ping_every_s: float = 10
    """The venue's documentation asks for this interval."""
    silence_max_s: float = 25
    """Two pings unanswered, and a little."""
    upkeep_every_s: float = 0.05
    """Subscriptions, look-ups and freshness are looked at this often, or when nudged."""
    replace_every_s: float = 1800
    """How old a connection grows; the second line's are replaced half of that later."""


class Connection:
    """One websocket of a line, for as long as it is wanted."""

    def __init__(
        self,
        url: str,
        line: int,
        table: SessionTable,
        intake: FrameIntake,
        metrics: FeederMetrics,
        offer: Callable[[MarketSession], None],
        times: ChannelTimes,
        *,
        first_replacement_s: float,
    ) -> None:
        self.line = line
        self.tokens: set[str] = set()
        """What it should bring; changed by its owner, who calls `changed` then."""
        self.connected = False
        self._url = url
        self._table = table
        self._intake = intake
        self._metrics = metrics
        self._offer = offer
        self._times = times
        self._replace_after_s = first_replacement_s
        self._frames = 0
        self._data_frames = 0
        self._data_frames_at_doubt = 0
        self._replacement = ""
        self._replace_by_s = 0.0
        self._nudged = asyncio.Event()

    def changed(self) -> None:
        """The tokens are others now."""
        self._nudged.set()

    def replace(self, reason: str) -> None:
        """Give the present connection up, if there is one, and open another."""
        if self.connected and not self._replacement:
            self._replacement = reason
            self._replace_by_s = time.monotonic() + REPLACE_WAIT_MAX_S
            self._data_frames_at_doubt = self._data_frames
            self._nudged.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            await until_reachable(
                f"market channel at {self._url} (line {self.line})",
                self._follow,
                retry_on=(OSError, TimeoutError, WebSocketException),
            )

    async def _follow(self) -> None:
        """One connection, from opening to loss. Returns if it lasted, raises if it did not."""
        while not self.tokens:
            self._nudged.clear()
            await self._nudged.wait()
        async with open_websocket(self._url) as websocket:
            opened_at_s = time.monotonic()
            subscribed = set(self.tokens)
            self._replacement = ""
            # Before the request is sent: the answer may be here before `send` returns.
            self._table.connected(self.line, subscribed, _now_ms())
            try:
                await send(websocket, {"type": "market", "assets_ids": sorted(subscribed)})
                self.connected = True
                self._metrics.connections[self.line].inc()
                _log.info("market_channel_connected", line=self.line, tokens=len(subscribed))
                await first_failure(
                    self._receive(websocket), self._keep_up(websocket, subscribed, opened_at_s)
                )
            except (OSError, TimeoutError, WebSocketException) as error:
                self._metrics.reconnects[self.line].inc()
                if time.monotonic() - opened_at_s < STABLE_S:
                    raise
                _log.warning(
                    "market_channel_lost", line=self.line, error=f"{type(error).__name__}: {error}"
                )
            finally:
                self.connected = False
                self._lose(subscribed)

    async def _receive(self, websocket: ClientConnection) -> None:
        line, take = self.line, self._intake.take
        while True:
            payload = await websocket.recv(decode=False)
            self._frames += 1
            self._data_frames += payload != PONG
            take(line, payload, time.time_ns())

    async def _keep_up(
        self, websocket: ClientConnection, subscribed: set[str], opened_at_s: float
    ) -> None:
        """Subscriptions, PING and silence. Raises ChannelLostError to have it replaced."""
        times = self._times
        heard_at_s = pinged_at_s = opened_at_s
        frames = self._frames
        while True:
            self._nudged.clear()
            await self._subscribe(websocket, subscribed)
            now_s = time.monotonic()
            if now_s - pinged_at_s >= times.ping_every_s:
                pinged_at_s = now_s
                await send(websocket, "PING")
            if self._frames != frames:
                frames, heard_at_s = self._frames, now_s
            if now_s - heard_at_s > times.silence_max_s:
                raise ChannelLostError(f"nothing received for {now_s - heard_at_s:.0f} s")
            old = now_s - opened_at_s > self._replace_after_s
            if (self._replacement or old) and (
                self._table.spared(self.line, subscribed) or self._is_useless(now_s)
            ):
                self._replace_after_s = times.replace_every_s
                # Before anything is awaited: the other line's may be about to decide the same.
                self._lose(subscribed)
                raise ChannelLostError(self._replacement or "replaced as scheduled")
            try:
                async with asyncio.timeout(times.upkeep_every_s):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    def _is_useless(self, now_s: float) -> bool:
        """Whether it has been in doubt for long and has brought nothing since."""
        return (
            bool(self._replacement)
            and now_s >= self._replace_by_s
            and self._data_frames == self._data_frames_at_doubt
        )

    def _lose(self, subscribed: set[str]) -> None:
        """What it has brought is history."""
        for session in self._table.lost(self.line, self.tokens | subscribed, _now_ms()):
            self._offer(session)

    async def _subscribe(self, websocket: ClientConnection, subscribed: set[str]) -> None:
        """Bring the venue's idea of our tokens, `subscribed`, to what is wanted."""
        if ended := subscribed - self.tokens:
            subscribed -= ended
            await send(websocket, _operation("unsubscribe", ended))
        if new := self.tokens - subscribed:
            subscribed |= new
            self._table.connected(self.line, new, _now_ms())
            await send(websocket, _operation("subscribe", new))


def _operation(operation: str, tokens: Collection[str]) -> dict[str, object]:
    return {"operation": operation, "assets_ids": sorted(tokens)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
