"""One connection of a line to the venue's market channel: what it is subscribed to, and when it is
replaced although it is not lost. Opening, PING, silence and reconnecting are `venue.websocket`'s.

1. Books belong to a connection: when it is lost, those it brought are dropped.
2. Markets come and go without reconnecting: what `tokens` holds is subscribed, what it no longer
   holds is not.
3. A connection that answers and brings frozen books is in doubt: the session table finds that out,
   and `replace` is how it says so.
4. Now and then a connection is replaced although nothing is wrong with it: what both ends believe
   of a connection drifts apart with its age. It waits for another line to have all its markets. A
   connection in doubt waits for that, too, but if it brings no data at all not for long.
5. A connection that has more to bring than is taken brings older and older books. If it does so
   for BEHIND_MAX_S it is replaced, as soon as another line has all its markets: a new one begins
   with the books of now, and what waited on the old one is skipped. If that does not help, the next
   one is opened after growing pauses, in which the other line has all the time for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from feeder.books.frame_intake import FrameIntake
from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import SessionTable
from venue.errors import ChannelLostError
from venue.websocket import Channel, ChannelTimes
from venue.wire import subscriptions

# How long a connection in doubt is kept for the sake of markets that only it has, although it
# brings nothing: both lines may be in doubt at once, and the other's new connection has its books
# in a fraction of this.
REPLACE_WAIT_MAX_S: Final = 2
# Workers trade on no book that the venue sent more than two seconds ago.
BEHIND_MAX_S: Final = 2

_log = structlog.get_logger()


class LineTimes(ChannelTimes, frozen=True, kw_only=True):
    """How long a line's connections wait for what; seconds."""

    upkeep_every_s: float = 0.05
    """Subscriptions, book requests and freshness are due this often, or when nudged."""
    replace_every_s: float = 1800
    """How old a connection grows; the second line's are replaced half of that later."""


class Connection(Channel):
    """One websocket of a line, for as long as it is wanted."""

    def __init__(
        self,
        url: str,
        line: int,
        table: SessionTable,
        intake: FrameIntake,
        metrics: FeederMetrics,
        offer: Callable[[MarketSession], None],
        times: LineTimes,
        *,
        first_replacement_s: float,
        others_first: Callable[[], bool] = lambda: False,
    ) -> None:
        name = f"market channel at {url} (line {line})"
        take = partial(intake.take, line)
        super().__init__(url, name, take, times, others_first, intake.offer_held)
        self.line = line
        self.tokens: set[str] = set()
        """What it should bring; whoever changes it calls `nudge` then."""
        self.connected = False
        self._table = table
        self._metrics = metrics
        self._offer = offer
        self._replace_every_s = times.replace_every_s
        self._replace_after_s = first_replacement_s
        self._subscribed: set[str] = set()
        """What the venue believes that we want."""
        self._opened_at_s = 0.0
        self._doubt = ""
        """Why it is to be replaced, "" while it is not in doubt."""
        self._data_frames_at_doubt = 0
        self._useless_at_s = 0.0

    def replace(self, reason: str) -> None:
        """Give the present connection up, if there is one, and open another."""
        if self.connected and not self._doubt:
            self._doubt = reason
            self._useless_at_s = time.monotonic() + REPLACE_WAIT_MAX_S
            self._data_frames_at_doubt = self.data_frames
            self.nudge()

    def wanted(self) -> bool:
        return bool(self.tokens)

    async def on_open(self) -> None:
        self._opened_at_s = time.monotonic()
        self._doubt = ""
        self._subscribed = set(self.tokens)
        # Before the request is sent: the answer may be here before `send` returns.
        self._table.connected(self.line, self._subscribed, _now_ms())
        await self.send(subscriptions.market_channel(self._subscribed))
        self.connected = True
        self._metrics.connections[self.line].inc()
        _log.info("market_channel_connected", line=self.line, tokens=len(self._subscribed))

    async def upkeep(self, now_s: float) -> None:
        """Subscriptions, and a replacement when it is due."""
        await self._subscribe()
        why = self._doubt or self._why_replace(now_s)
        if why and (self._table.spared(self.line, self._subscribed) or self._is_useless(now_s)):
            self._replace_after_s = self._replace_every_s
            # Before anything is awaited: the other line's may be about to decide the same.
            self._drop_books()
            raise ChannelLostError(why)

    def upkeep_due_s(self, now_s: float) -> float:
        """At once for one in trouble; else when it is replaced as scheduled. Whoever changes what
        it brings nudges."""
        if self._doubt or self.behind:
            return now_s
        return self._opened_at_s + self._replace_after_s

    def _why_replace(self, now_s: float) -> str:
        """Why it is better replaced now, although it is not in doubt; "" if it is not."""
        if self.behind_since_s is not None and now_s - self.behind_since_s > BEHIND_MAX_S:
            return "more comes than can be taken, and grows old"
        old = now_s - self._opened_at_s > self._replace_after_s
        return "replaced as scheduled" if old else ""

    async def _subscribe(self) -> None:
        """Bring the venue's idea of our tokens to what is wanted."""
        if ended := self._subscribed - self.tokens:
            self._subscribed -= ended
            await self.send(subscriptions.unsubscribe(ended))
        if new := self.tokens - self._subscribed:
            self._subscribed |= new
            self._table.connected(self.line, new, _now_ms())
            await self.send(subscriptions.subscribe(new))

    def _is_useless(self, now_s: float) -> bool:
        """Whether it has been in doubt for long and has brought nothing since."""
        return (
            bool(self._doubt)
            and now_s >= self._useless_at_s
            and self.data_frames == self._data_frames_at_doubt
        )

    def on_lost(self, error: Exception) -> Exception:
        self._metrics.reconnects[self.line].inc()
        return error

    def on_close(self) -> None:
        self.connected = False
        self._drop_books()

    def _drop_books(self) -> None:
        """What it has brought is history."""
        tokens = self.tokens | self._subscribed
        for session in self._table.lost(self.line, tokens, _now_ms()):
            self._offer(session)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
