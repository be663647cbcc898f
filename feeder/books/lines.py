"""Both lines: which connection brings which market, and what is done about books in trouble.

1. Every followed market is on one connection of each line, both its tokens on the same one.
2. A connection has at most `TOKENS_MAX` tokens; another is opened when they are full, and closed
   when it has none left.
3. What the session table asks for is done at once: requests go to `BookRequests`, connections
   that bring frozen books are replaced, a market that went dark is published as such.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from feeder.books.book_requests import BookRequests
from feeder.books.connection import Connection, LineTimes
from feeder.books.frame_intake import FrameIntake
from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import DARK_AFTER_MS, LINES, MarketSession
from feeder.core.market.session_table import Due, SessionTable
from runtime.process import stop_tasks
from venue.errors import VenueUnreachableError
from venue.wire.subscriptions import TOKENS_MAX

# All markets are looked at each time, which takes a fraction of a millisecond for a hundred.
NUDGES_APART_S: Final = 0.005

_log = structlog.get_logger()


class MarketLines:
    """Feeds the session table from the venue, and offers what changed to `offer`."""

    def __init__(
        self,
        url: str,
        table: SessionTable,
        requests: BookRequests,
        metrics: FeederMetrics,
        offer: Callable[[MarketSession], None],
        times: LineTimes = LineTimes(),  # noqa: B008 - frozen
        others_first: Callable[[], bool] = lambda: False,
    ) -> None:
        """`others_first`: whether somebody is in a hurry, also while frames wait."""
        self._url = url
        self._table = table
        self._requests = requests
        self._metrics = metrics
        self._offer = offer
        self._times = times
        self._others_first = others_first
        self._nudged = asyncio.Event()
        self._intake = FrameIntake(table, metrics, offer, self.nudge)
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._observe()

    def nudge(self) -> None:
        """The session table changed: look at it now."""
        self._nudged.set()

    def problem(self) -> str | None:
        """One sentence on why no books can come, None when they can."""
        if len(self._table) and not any(each.connected for each in self._connections):
            return f"the market channel at {self._url} is not connected"
        lost = self._lost_series()
        if not lost:
            return None
        sessions = [session for each in lost.values() for session in each]
        everything = len(sessions) == len(self._running())
        if all(session.dark for session in sessions):
            which = "" if everything else f" of {', '.join(lost)}"
            return f"no book can be had of any of {len(sessions)} running markets{which}"
        about = "" if everything else f" about {', '.join(lost)}"
        return f"the market channel at {self._url} is silent{about}, and {self._requests_say()}"

    def _requests_say(self) -> str:
        failure = self._requests.failure
        if failure is None:
            return "book requests bring only what is older"
        if isinstance(failure, VenueUnreachableError):
            return "no book request is answered"
        return f"book requests fail: {failure}"

    def _lost_series(self) -> dict[str, list[MarketSession]]:
        """The running markets of each series of which none can be seen. One that has just begun
        says nothing yet: its first book may come with its first second."""
        now_ms = _now_ms()
        running: dict[str, list[MarketSession]] = {}
        for session in self._running():
            running.setdefault(session.info.series, []).append(session)
        return {
            series: sessions
            for series, sessions in running.items()
            if all(
                (session.dark or session.unseen(now_ms))
                and now_ms - session.info.start_ms >= DARK_AFTER_MS
                for session in sessions
            )
        }

    @property
    def fit(self) -> bool:
        """Whether there are books to show. Without a running market there are none, although that
        is no problem by itself: none may be listed."""
        return bool(self._running()) and self.problem() is None

    @property
    def behind(self) -> bool:
        """Whether more frames come than are taken."""
        return any(each.behind for each in self._connections)

    def _running(self) -> list[MarketSession]:
        now_ms = _now_ms()
        return [s for s in self._table if s.info.start_ms <= now_ms < s.info.end_ms]

    async def run(self) -> None:
        """Keep both lines up until cancelled."""
        assigned: set[str] = set()
        try:
            while True:
                self._nudged.clear()
                self._table.drop_ended(_now_ms())
                wanted = self._table.tokens()
                if wanted != assigned:  # nothing else changes what a connection subscribes to
                    for line in range(LINES):
                        self._assign(line, wanted)
                    assigned = wanted
                self._do(self._table.take_due(_now_ms()))
                for task in self._connections.values():
                    if task.done():
                        task.result()  # none of them ends but by an error
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._times.upkeep_every_s):
                        await self._nudged.wait()
                        await asyncio.sleep(NUDGES_APART_S)
        finally:
            await stop_tasks(*self._connections.values(), *self._closing)
            self._connections.clear()

    def _assign(self, line: int, wanted: set[str]) -> None:
        """Give every followed market to a connection of the line, and close empty ones."""
        mine = [each for each in self._connections if each.line == line]
        assigned: set[str] = set()
        for connection in mine:
            if not connection.tokens <= wanted:
                connection.tokens &= wanted
                connection.nudge()
            assigned |= connection.tokens
        for session in self._table:
            tokens = session.views[line].books.keys()
            if tokens <= assigned:
                continue
            connection = next(
                (each for each in mine if len(each.tokens) + len(tokens) <= TOKENS_MAX), None
            ) or self._open(line, mine)
            connection.tokens |= tokens
            connection.nudge()
        for connection in mine[1:]:
            if not connection.tokens:
                # Beside all else: a venue that does not hang up, too, takes a second.
                closing = asyncio.create_task(stop_tasks(self._connections.pop(connection)))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _open(self, line: int, mine: list[Connection]) -> Connection:
        every_s = self._times.replace_every_s
        connection = Connection(
            self._url,
            line,
            self._table,
            self._intake,
            self._metrics,
            self._offer,
            self._times,
            first_replacement_s=every_s * (1 + line / LINES),
            others_first=self._others_first,
        )
        mine.append(connection)
        self._connections[connection] = asyncio.create_task(connection.run())
        return connection

    def _do(self, due: Due) -> None:
        for request in due.requests:
            self._requests.ask(request)
        for line, tokens in due.replace:
            for connection in self._connections:
                if connection.line == line and not connection.tokens.isdisjoint(tokens):
                    connection.replace("its books are frozen, or cannot be mended")
        for session in due.dark:
            self._metrics.darkened.inc()
            if session.info.start_ms <= _now_ms():
                _log.warning("market_dark", slug=session.info.slug, troubles=_troubles(session))
            self._offer(session)
        for session in due.offers:
            self._offer(session)
        self._metrics.adopted.inc(due.adopted)
        self._intake.count_troubles(due.troubles)

    def _observe(self) -> None:
        """Have these counted when they are read, and not with each round."""
        metrics, table = self._metrics, self._table
        metrics.followed.set_function(lambda: len(table))
        metrics.ready.set_function(lambda: sum(session.ready for session in table))
        metrics.dark.set_function(lambda: sum(session.dark for session in table))
        metrics.unseen.set_function(self._unseen)
        metrics.connected.set_function(lambda: sum(each.connected for each in self._connections))

    def _unseen(self) -> int:
        now_ms = _now_ms()
        return sum(session.unseen(now_ms) for session in self._running())


def _troubles(session: MarketSession) -> list[str]:
    return sorted({str(t) for view in session.views for t in view.troubles() if t is not None})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
