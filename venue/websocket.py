"""A websocket of the venue, kept connected: the one loop under both channels and the recorder.

1. A connection is opened when it is `wanted`, begins with the messages of `on_open`, and gets a
   PING every `ping_every_s`.
2. It is lost when it closes, when a message cannot be sent, when nothing at all, PONG included,
   came for `silence_max_s`, and when `upkeep` raises ChannelLostError. A PONG proves that somebody
   is there, never that the data is live (py-clob-client#292): that is for whoever reads the data.
3. A lost connection is replaced at once if it lasted for STABLE_S; otherwise with back-off. Only
   cancellation and errors that are not the network's end the loop.
4. Each `on_open` is followed by one `on_close`, whatever ends the connection.
5. Between taking a frame and `on_frame` nothing is awaited. After FRAMES_AT_ONCE_MAX frames
   everybody else has a turn, however many wait: whoever sends, renews or pings must not stand still
   while the venue sends more than can be read.
6. Each address of the host gets its turn, whatever the others do (`runtime.dialer`). One is of use
   when a frame came from it: what opens a connection is small, and larger packets may be lost.
7. Redirects are not followed: what is sent is for the venue alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.uri import parse_uri

from runtime.dialer import Dialer
from runtime.process import first_failure
from runtime.retry import until_reachable
from venue.errors import ChannelLostError
from venue.wire.market_channel import PONG
from venue.wire.subscriptions import PING

OPEN_TIMEOUT_S: Final = 10
SEND_TIMEOUT_S: Final = 5
CLOSE_TIMEOUT_S: Final = 1
# A connection that lasted shorter was no success: reconnecting backs off further.
STABLE_S: Final = 10
# The market channel's first frame carries whole books of up to 200 tokens, about 10 KB each.
FRAME_BYTES_MAX: Final = 16 << 20
# Frames that wait in the client while the loop is busy; beyond that the socket is not read.
FRAMES_WAITING_MAX: Final = 32
FRAMES_AT_ONCE_MAX: Final = 16
BEHIND_FRAMES: Final = 64
"""So many frames taken without having them all is more than a burst."""

_LOSSES: Final = (OSError, TimeoutError, WebSocketException)
# At level DEBUG the library logs frames, and the user channel's first one holds credentials.
_frames_log: Final = logging.getLogger("venue.websocket")
_frames_log.setLevel(logging.WARNING)
_log = structlog.get_logger()


class ChannelTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long a channel waits for what; seconds."""

    ping_every_s: float = 10
    """The venue's documentation asks for this interval."""
    silence_max_s: float = 25
    """Two pings unanswered, and a little."""
    upkeep_every_s: float = 0.25
    """PING, silence and `upkeep` are due this often, or when nudged."""


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
    ) -> None:
        """`name` says in the log what is connected, and where. `on_frame(payload, received_at_ns)`
        gets each frame and the epoch time; what it raises ends `run`. `others_first`: whether
        somebody is in a hurry, and is to have a turn after each frame."""
        self.data_frames = 0
        """Frames of all connections so far, without PONGs."""
        self.behind = False
        """Whether more frames come than are taken."""
        self._url = url
        self._name = name
        self._on_frame = on_frame
        self._times = times
        self._others_first = others_first
        self._pongs = 0
        self._nudged = asyncio.Event()
        self._websocket: ClientConnection | None = None
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

    async def send(self, text: str) -> None:
        """Raises ChannelLostError or a WebSocketException when the connection is gone, TimeoutError
        when the venue does not read."""
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
            opened_at_s = time.monotonic()
            self._websocket = websocket
            try:
                await self.on_open()
                await first_failure(self._receive(websocket), self._keep_up(opened_at_s))
            except _LOSSES as error:
                lost = self.on_lost(error)
                if time.monotonic() - opened_at_s < STABLE_S:
                    raise lost from None
                why = f"{type(lost).__name__}: {lost}"
                _log.warning("channel_lost", channel=self._name, error=why)
            finally:
                self._websocket = None
                self.behind = False
                self.on_close()

    async def _receive(self, websocket: ClientConnection) -> None:
        on_frame, waiting = self._on_frame, websocket.recv_messages.frames
        payload = await websocket.recv(decode=False)
        self._dialer.proven()
        taken = 0
        while True:
            if payload == PONG:
                self._pongs += 1
            else:
                self.data_frames += 1
            on_frame(payload, time.time_ns())
            if taken >= FRAMES_AT_ONCE_MAX and not waiting:
                # The client reads the socket only now, and in the second turn all of that is here.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if waiting:  # then `recv` gives nobody a turn
                taken += 1
                if taken % FRAMES_AT_ONCE_MAX == 0:
                    self.behind = taken >= BEHIND_FRAMES
                    await asyncio.sleep(0)
                elif self._others_first():
                    await asyncio.sleep(0)
            else:
                taken, self.behind = 0, False
            payload = await websocket.recv(decode=False)

    async def _keep_up(self, opened_at_s: float) -> None:
        times = self._times
        received_at_s = pinged_at_s = opened_at_s
        received = self.data_frames + self._pongs
        while True:
            self._nudged.clear()
            now_s = time.monotonic()
            await self.upkeep(now_s)
            if now_s - pinged_at_s >= times.ping_every_s:
                pinged_at_s = now_s
                await self.send(PING)
            if self.data_frames + self._pongs != received:
                received, received_at_s = self.data_frames + self._pongs, now_s
            if now_s - received_at_s > times.silence_max_s:
                self._dialer.doubt()
                raise ChannelLostError(f"nothing received for {now_s - received_at_s:.0f} s")
            try:
                async with asyncio.timeout(times.upkeep_every_s):
                    await self._nudged.wait()
            except TimeoutError:
                continue


class _Handshake(connect):
    """Without redirects."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@asynccontextmanager
async def open_websocket(url: str, dialer: Dialer | None = None) -> AsyncIterator[ClientConnection]:
    """`async with open_websocket(url) as websocket`. Raises OSError, TimeoutError or
    WebSocketException when it cannot be opened.

    `dialer` remembers from one time to the next which addresses are of no use. Tell it that this
    one is `proven` when something comes from it.
    """
    dialer = dialer or Dialer()
    host = parse_uri(url)
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            websocket = await _Handshake(
                url,
                sock=await dialer.connect(host.host, host.port),
                compression=None,
                proxy=None,
                open_timeout=None,  # ours is for finding the address, too
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,  # the venue wants text PINGs
                max_size=FRAME_BYTES_MAX,
                max_queue=FRAMES_WAITING_MAX,
                logger=_frames_log,
            )
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"not open within {OPEN_TIMEOUT_S} s") from error
    async with websocket:
        yield websocket
