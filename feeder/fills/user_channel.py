"""The venue's user channel: one websocket, kept alive, its fills handed on.

1. The first frame holds the credentials, and a PING follows at once. The venue confirms nothing,
   but it reads in order: what it sends first (PONG, as a rule) says that it took the credentials,
   and only then is the connection one.
2. A connection is lost when it closes, or when nothing at all, PONG included, came for
   `silence_max_s`. Silence of *events* says nothing here: an account may be quiet for days. So a
   socket that answers PONG and brings no events is not noticed; reconciliation has to be there.
3. The venue refuses credentials by closing without a word. Several connections in a row that are
   closed before anything came are reported as that; trying goes on.

The venue replays nothing: each connection begins with `on_subscribed`, so that somebody fetches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from feeder.fills.intake import Intake
from feeder.fills.metrics import UserMetrics
from protocol.fill import Fill
from runtime.process import first_failure
from runtime.retry import until_reachable
from venue.auth import Credentials, auth_frame
from venue.websocket import ChannelLostError, open_websocket, send
from venue.wire.user_channel import decode_user_frame

# A connection that lasted shorter was no success: reconnecting backs off further.
STABLE_S: Final = 10
# One such close may be a restart of the venue's.
REFUSALS_BEFORE_SAYING: Final = 3
_REFUSED: Final = (
    "the venue closes the user channel right after the credentials: check API_KEY, API_SECRET and "
    "API_PASSPHRASE"
)

_log = structlog.get_logger()


class UserChannelTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the channel waits for what; seconds."""

    ping_every_s: float = 10
    """The venue's documentation asks for this interval."""
    silence_max_s: float = 25
    """Two pings unanswered, and a little."""


class UserChannel:
    """Stays connected; calls `on_subscribed` for each connection, then `on_fill` for each fill."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        intake: Intake,
        metrics: UserMetrics,
        on_fill: Callable[[Fill], None],
        on_subscribed: Callable[[], None],
        times: UserChannelTimes = UserChannelTimes(),  # noqa: B008 - frozen
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._intake = intake
        self._metrics = metrics
        self._on_fill = on_fill
        self._on_subscribed = on_subscribed
        self._times = times
        self._subscribed = False
        self._refusals = 0
        """Connections in a row that were closed before anything came."""

    def problem(self) -> str | None:
        """One sentence on why the channel is not healthy, None when it is."""
        if self._refusals >= REFUSALS_BEFORE_SAYING:
            return _REFUSED
        return None if self._subscribed else f"the user channel at {self._url} is not connected"

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            await until_reachable(
                f"user channel at {self._url}",
                self._follow,
                retry_on=(OSError, TimeoutError, WebSocketException),
            )

    async def _follow(self) -> None:
        """One connection, from opening to loss. Returns if it lasted, raises if it did not."""
        async with open_websocket(self._url) as websocket:
            connected_at_s = time.monotonic()
            self._metrics.connections.inc()
            try:
                await send(websocket, auth_frame(self._credentials))
                await first_failure(self._receive(websocket), self._keep_pinging(websocket))
            except (OSError, TimeoutError, WebSocketException) as error:
                lost = self._lost(error)
                if time.monotonic() - connected_at_s < STABLE_S:
                    raise lost from None
                _log.warning("user_channel_lost", error=str(lost))
            finally:
                self._subscribed = False

    def _lost(self, error: Exception) -> ChannelLostError:
        """Count the loss, and tell a refusal from other losses."""
        self._metrics.reconnects.inc()
        if not self._subscribed and isinstance(error, ConnectionClosed):
            self._refusals += 1
            self._metrics.refused.inc()
            if self._refusals == REFUSALS_BEFORE_SAYING:
                _log.error("credentials_refused", error=_REFUSED, times=self._refusals)
        # A close carries words of the venue's, which may repeat what it was sent.
        text = self._credentials.without(f"{type(error).__name__}: {error}")
        return ChannelLostError(
            f"{_REFUSED} ({text})" if self._refusals >= REFUSALS_BEFORE_SAYING else text
        )

    async def _receive(self, websocket: ClientConnection) -> None:
        silence_max_s = self._times.silence_max_s
        while True:
            try:
                async with asyncio.timeout(silence_max_s):
                    payload = await websocket.recv(decode=False)
            except TimeoutError:
                raise ChannelLostError(f"nothing received for {silence_max_s:g} s") from None
            if not self._subscribed:
                self._subscribed, self._refusals = True, 0
                _log.info("user_channel_connected", url=self._url)
                self._on_subscribed()
            for fill in self._intake.live(decode_user_frame(payload)):
                self._on_fill(fill)

    async def _keep_pinging(self, websocket: ClientConnection) -> None:
        while True:
            await send(websocket, "PING")
            await asyncio.sleep(self._times.ping_every_s)
