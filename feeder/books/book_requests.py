"""`GET /book`: whole books asked for, to mend what is in doubt and to check what is silent.

1. At most `REQUESTS_PER_S` requests a second and `AT_ONCE_MAX` at a time, whatever is asked for;
   urgent requests, for which books wait, go first.
2. A request ends once: as an answer applied, or as failed. How often a token is asked for again is
   the session table's business.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import BookRequest, SessionTable
from runtime.line_throttle import LineThrottle
from runtime.process import first_failure
from venue.errors import VenueError
from venue.rest import get_bytes, open_session
from venue.wire import endpoints
from venue.wire.market_channel import decode_book

# The venue allows 150 a second to an address, which others may share with us.
REQUESTS_PER_S: Final = 50
AT_ONCE_MAX: Final = 8
REQUEST_TIMEOUT_S: Final = 1.0
REFUSED_PAUSE_S: Final = 1.0
"""After a 429."""
# A book of 9,999 levels a side is below 1 MB.
ANSWER_BYTES_MAX: Final = 2 << 20
FAILURE_LOG_EVERY_S: Final = 10

_log = structlog.get_logger()


class BookRequests:
    """`ask` for requests; `run` carries them out and offers what they mended."""

    def __init__(
        self,
        clob_url: str,
        table: SessionTable,
        metrics: FeederMetrics,
        offer: Callable[[MarketSession], None],
    ) -> None:
        self._url = clob_url.rstrip("/")
        self._table = table
        self._metrics = metrics
        self._offer = offer
        # One request a token at a time, so it holds no more than there are tokens.
        self._queue: asyncio.PriorityQueue[tuple[bool, int, BookRequest]] = asyncio.PriorityQueue()
        self._order = itertools.count()
        self._next_at_s = 0.0
        self.failure: Exception | None = None
        """Why the latest request brought no book, None when it brought one."""
        self._failures = LineThrottle(FAILURE_LOG_EVERY_S)

    def ask(self, request: BookRequest) -> None:
        """Have a token looked up."""
        self._queue.put_nowait((not request.urgent, next(self._order), request))

    async def run(self) -> None:
        """Carry out what is asked for, until cancelled."""
        async with open_session() as client:
            await first_failure(*(self._carry_out(client) for _ in range(AT_ONCE_MAX)))

    async def _carry_out(self, client: aiohttp.ClientSession) -> None:
        while True:
            _, _, request = await self._queue.get()
            now_s = time.monotonic()
            self._next_at_s = max(now_s, self._next_at_s) + 1 / REQUESTS_PER_S
            await asyncio.sleep(self._next_at_s - 1 / REQUESTS_PER_S - now_s)
            await self._request(client, request)

    async def _request(self, client: aiohttp.ClientSession, request: BookRequest) -> None:
        asked_at_ns = time.time_ns()
        try:
            event = decode_book(await self._body(client, request.token_id))
            outcome = self._table.take_answer(
                request, event, asked_at_ns, time.time_ns() // 1_000_000
            )
        except (VenueError, ValueError) as error:
            self._failed(request, error)
            return
        self.failure = None
        results = self._metrics.book_requests
        for troubled, result in ((outcome.taken, "taken"), (outcome.refused, "refused")):
            if troubled:
                results[result].inc()
        if outcome.behind:
            results["newer"].inc()
        elif not outcome.taken and not outcome.refused:
            results["nothing_new"].inc()
        for trouble in outcome.troubles:
            self._metrics.suspect[trouble].inc()
        if outcome.offer:
            self._offer(request.session)

    async def _body(self, client: aiohttp.ClientSession, token_id: str) -> bytes:
        try:
            return await get_bytes(
                client,
                self._url,
                endpoints.BOOK,
                {"token_id": token_id},
                timeout_s=REQUEST_TIMEOUT_S,
                bytes_max=ANSWER_BYTES_MAX,
            )
        except VenueError as error:
            if error.status == 429:
                self._next_at_s = time.monotonic() + REFUSED_PAUSE_S
            raise

    def _failed(self, request: BookRequest, error: Exception) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.failure = error
        self._table.request_failed(request, now_ms)
        self._metrics.book_requests["failed"].inc()
        # A freshly listed market may have no book for minutes: that is counted, not logged.
        if request.session.info.start_ms > now_ms:
            return
        if (unlogged := self._failures.admit()) is not None:
            _log.warning(
                "book_request_failed",
                slug=request.session.info.slug,
                error=f"{type(error).__name__}: {error}",
                unlogged_before=unlogged,
            )
