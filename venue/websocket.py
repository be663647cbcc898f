"""A websocket of the venue, kept connected: the one loop under both channels and the recorder.

1. A connection is opened when it is `wanted`, begins with the messages of `on_open`, and gets a
   PING every `ping_every_s`.
2. It is lost when it closes, when a message cannot be sent, when nothing at all, PONG included,
   came for `silence_max_s`, and when `upkeep` raises ChannelLostError. A PONG proves that somebody
   is there, never that the data is live (py-clob-client#292): that is for whoever reads the data.
3. A lost connection is replaced at once if it lasted for STABLE_S; otherwise with back-off. Only
   cancellation and errors that are not the network's end the loop.
4. Each `on_open` is followed by one `on_close`, whatever ends the connection.
5. Between the arrival of a frame and `on_frame` nothing is awaited, nor a turn of the event loop
   spent, unless more come than can be taken (`venue.frame_turns`).
6. Each address of the host gets its turn, whatever the others do (`runtime.dialer`). One is of use
   when a frame came from it: what opens a connection is small, and larger packets may be lost.
7. Nothing wakes up but for what is due: a PING, silence, `upkeep`, or because it is nudged.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from runtime.dialer import Dialer
from runtime.retry import until_reachable
from venue.errors import ChannelLostError
from venue.websocket_connection import WebSocket, open_websocket
from venue.wire.market_channel import PONG
from venue.wire.subscriptions import PING

SEND_TIMEOUT_S: Final = 5
# A connection that lasted shorter was no success: reconnecting backs off further.
STABLE_S: Final = 10

_LOSSES: Final = (OSError,)  # TimeoutError and ChannelLostError are OSErrors
_log = structlog.get_logger()


class ChannelTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long a channel waits for what; seconds."""

    ping_every_s: float = 10
    """The venue's documentation asks for this interval."""
    silence_max_s: float = 25
    """Two pings unanswered, and a little."""
    upkeep_every_s: float = 0.25
    """PING, silence and `upkeep` are looked at no later than this after they are due, and no more
    often, or when nudged."""


class Channel(ABC):
    """One connection after the other to `url`, while `run` runs. Subclasses say what is sent and
    what becomes of the frames."""

    def __init__(
        self,
        url: str,
        name: str,
        on_frame: Callable[[bytes, int], None],
        times: ChannelTimes,
        others_first: Callable[[], bool] = lambda: False,
        on_taken: Callable[[], None] = lambda: None,
    ) -> None:
        """`name` says in the log what is connected, and where. `on_frame(payload, received_at_ns)`
        gets each frame and the epoch time; what it raises ends `run`. `others_first`: whether
        somebody is in a hurry, and is to have a turn after each frame. `on_taken` is called when
        no frame follows in this read of the socket, or in this turn."""
        self.data_frames = 0
        """Frames of all connections so far, without PONGs."""
        self.behind_since_s: float | None = None
        """Since when more frames come than are taken, on the monotonic clock."""
        self._url = url
        self._name = name
        self._on_frame = on_frame
        self._times = times
        self._others_first = others_first
        self._on_taken = on_taken
        self._received_at_s = 0.0
        """When the latest frame came, or the connection: on the monotonic clock."""
        self._proven = False
        self._nudged = asyncio.Event()
        self._websocket: WebSocket | None = None
        self._dialer = Dialer()

    # ---- what a subclass decides ---------------------------------------------------------------

    def wanted(self) -> bool:
        """Whether to connect; asked again when nudged."""
        return True

    @abstractmethod
    async def on_open(self) -> None:
        """A connection is there: send what begins it. No frame is read before this returns."""

    async def upkeep(self, now_s: float) -> None:  # noqa: B027 - not every channel needs it
        """Regular work on the connection, `now_s` on the monotonic clock. May `send`, and raise
        ChannelLostError to have the connection replaced."""

    def upkeep_due_s(self, now_s: float) -> float:
        """When `upkeep` is due again, unless nudged before."""
        return now_s

    def on_lost(self, error: Exception) -> Exception:
        """A connection is lost. Returns what is logged of it."""
        return error

    @abstractmethod
    def on_close(self) -> None:
        """The connection is gone: lost, or given up because `run` is cancelled."""

    # ---- what a subclass uses ------------------------------------------------------------------

    def nudge(self) -> None:
        """Do the upkeep now."""
        self._nudged.set()

    @property
    def behind(self) -> bool:
        """Whether more frames come than are taken."""
        return self.behind_since_s is not None

    async def send(self, text: str) -> None:
        """Raises ChannelLostError when the connection is gone, TimeoutError when the venue does not
        read."""
        if self._websocket is None:
            raise ChannelLostError("not connected")
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._websocket.send(text)
        except TimeoutError:
            self._dialer.doubt()
            raise

    # ---- the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            await until_reachable(self._name, self._connection, retry_on=_LOSSES)

    async def _connection(self) -> None:
        """One connection, from opening to loss. Returns if it lasted, raises if it did not."""
        while not self.wanted():
            self._nudged.clear()
            await self._nudged.wait()
        async with open_websocket(self._url, self._dialer) as websocket:
            opened_at_s = self._received_at_s = time.monotonic()
            self._websocket, self._proven = websocket, False
            try:
                await self.on_open()
                websocket.frames.begin(
                    *(self._arrived, self.nudge, self._set_behind),
                    *(self._others_first, self._on_taken),
                )
                await self._keep_up(websocket, opened_at_s)
            except _LOSSES as error:
                bug = websocket.frames.ended
                if bug is not None and not isinstance(bug, _LOSSES):
                    raise bug from None  # it came while something was sent, or given up
                lost = self.on_lost(error)
                if time.monotonic() - opened_at_s < STABLE_S:
                    raise lost from None
                why = f"{type(lost).__name__}: {lost}"
                _log.warning("channel_lost", channel=self._name, error=why)
            finally:
                self._websocket = None
                self.behind_since_s = None
                self.on_close()

    def _set_behind(self, behind: bool) -> None:
        if behind != self.behind:
            self.behind_since_s = time.monotonic() if behind else None
            self.nudge()

    def _arrived(self, payload: bytes) -> None:
        self._received_at_s = time.monotonic()
        if not self._proven:
            self._proven = True
            self._dialer.proven()
        if payload != PONG:
            self.data_frames += 1
        self._on_frame(payload, time.time_ns())

    async def _keep_up(self, websocket: WebSocket, opened_at_s: float) -> None:
        times, pinged_at_s = self._times, opened_at_s
        while True:
            self._nudged.clear()
            if websocket.frames.ended is not None:
                raise websocket.frames.ended
            now_s = time.monotonic()
            await self.upkeep(now_s)
            if now_s - pinged_at_s >= times.ping_every_s:
                pinged_at_s = now_s
                await self.send(PING)
            silent_s = now_s - self._received_at_s
            if silent_s > times.silence_max_s:
                self._dialer.doubt()
                raise ChannelLostError(f"nothing received for {silent_s:.0f} s")
            due_s = min(
                self.upkeep_due_s(now_s),
                pinged_at_s + times.ping_every_s,
                self._received_at_s + times.silence_max_s,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(max(due_s - time.monotonic(), times.upkeep_every_s)):
                    await self._nudged.wait()
