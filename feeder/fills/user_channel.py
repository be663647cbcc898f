"""The venue's user channel: this account's fills, handed on. Opening, PING, silence and
reconnecting are `venue.websocket`'s.

1. The first frame holds the credentials, and a PING follows at once. The venue confirms nothing,
   but it reads in order: what it sends first (PONG, as a rule) says that it took the credentials,
   and only then is the connection one.
2. Silence of *events* says nothing here: an account may be quiet for days. So a socket that answers
   PONG and brings no events is not noticed; reconciliation has to be there.
3. The venue refuses credentials by closing without a word. Several connections in a row that are
   closed before anything came are reported as that; trying goes on.

The venue replays nothing: each connection begins with `on_subscribed`, so that somebody fetches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from feeder.fills.intake import Intake
from feeder.fills.metrics import UserMetrics
from protocol.fill import Fill
from venue.auth import Credentials
from venue.errors import ChannelLostError, ConnectionClosedError
from venue.websocket import Channel, ChannelTimes
from venue.wire import subscriptions
from venue.wire.user_channel import decode_user_frame

# One such close may be a restart of the venue's.
REFUSALS_BEFORE_SAYING: Final = 3
_REFUSED: Final = (
    "the venue closes the user channel right after the credentials: check API_KEY, API_SECRET and "
    "API_PASSPHRASE"
)

_log = structlog.get_logger()


class UserChannel(Channel):
    """Stays connected; calls `on_subscribed` for each connection, then `on_fill` for each fill."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        intake: Intake,
        metrics: UserMetrics,
        on_fill: Callable[[Fill], None],
        on_subscribed: Callable[[], None],
        times: ChannelTimes = ChannelTimes(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(url, f"user channel at {url}", self._take, times)
        self._credentials = credentials
        self._intake = intake
        self._metrics = metrics
        self._on_fill = on_fill
        self._on_subscribed = on_subscribed
        self._subscribed = False
        self._refusals = 0
        """Connections in a row that were closed before anything came."""

    def problem(self) -> str | None:
        """One sentence on why the channel is not healthy, None when it is."""
        if self._refusals >= REFUSALS_BEFORE_SAYING:
            return _REFUSED
        return None if self._subscribed else f"the {self._name} is not connected"

    async def on_open(self) -> None:
        self._metrics.connections.inc()
        await self.send(subscriptions.user_channel(self._credentials))
        await self.send(subscriptions.PING)

    def _take(self, payload: bytes, _received_at_ns: int) -> None:
        if not self._subscribed:
            self._subscribed, self._refusals = True, 0
            _log.info("user_channel_connected", url=self._url)
            self._on_subscribed()
        # A frame may repeat what the first one said, and what cannot be read is quoted.
        shown = self._credentials.without_bytes(payload)
        for fill in self._intake.from_channel(decode_user_frame(shown)):
            self._on_fill(fill)

    def on_lost(self, error: Exception) -> Exception:
        """Count the loss, and tell a refusal from other losses."""
        self._metrics.reconnects.inc()
        if not self._subscribed and isinstance(error, ConnectionClosedError):
            self._refusals += 1
            self._metrics.refused.inc()
            if self._refusals == REFUSALS_BEFORE_SAYING:
                _log.critical("credentials_refused", error=_REFUSED, times=self._refusals)
        # A close carries a text of the venue's, which may repeat what it was sent.
        text = self._credentials.without(f"{type(error).__name__}: {error}")
        return ChannelLostError(
            f"{_REFUSED} ({text})" if self._refusals >= REFUSALS_BEFORE_SAYING else text
        )

    def on_close(self) -> None:
        self._subscribed = False
