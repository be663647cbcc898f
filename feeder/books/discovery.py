"""Discovery: ask the Gamma API for the current and the next window of every series.

A market is looked up until it is listed, and again now and then afterwards, because a listing can
open or close for orders. Look-ups go one after the other: there are two a series, ahead of time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

from feeder.books.metrics import FeederMetrics
from feeder.core.market.session_table import SessionTable
from protocol.series import Series
from runtime.retry import until_reachable
from venue.errors import VenueRefusedError, VenueUnreachableError
from venue.rest import get_bytes, open_session
from venue.wire import endpoints
from venue.wire.listing import ListingError, parse_listing

REQUEST_TIMEOUT_S: Final = 5
ANSWER_BYTES_MAX: Final = 1 << 20
ROUND_EVERY_S: Final = 1
"""How late a window that has just become wanted may be looked up."""
RETRY_S: Final = 3
"""Not listed, or not usable: the venue lists a day ahead, so this is for exceptions."""
REFRESH_S: Final = 30
"""How old the facts of a followed market may become."""

_log = structlog.get_logger()


class Discovery:
    """Keeps the session table supplied with markets."""

    def __init__(
        self,
        gamma_url: str,
        table: SessionTable,
        metrics: FeederMetrics,
        on_followed: Callable[[], None],
    ) -> None:
        self._url = gamma_url.rstrip("/")
        self._table = table
        self._metrics = metrics
        self._on_followed = on_followed
        self._next_at_s: dict[str, float] = {}
        self._missing: set[str] = set()
        """Windows reported as not listed: one line each."""

    async def run(self) -> None:
        """Look up what is wanted, until cancelled."""
        async with open_session() as client:
            while True:
                await until_reachable(
                    f"Gamma API at {self._url}",
                    lambda: self._round(client),
                    retry_on=(VenueUnreachableError,),
                )
                await asyncio.sleep(ROUND_EVERY_S)

    async def _round(self, client: aiohttp.ClientSession) -> None:
        """Look up every window whose turn it is. Raises when the API answers none of them."""
        wanted = {
            series.slug(start_s): (series, start_s)
            for series, start_s in self._table.wanted(time.time())
        }
        self._next_at_s = {slug: self._next_at_s.get(slug, 0.0) for slug in wanted}
        self._missing &= wanted.keys()
        answered, failure = False, None
        for slug, (series, start_s) in wanted.items():
            if self._next_at_s[slug] > time.monotonic():
                continue
            found = False
            try:
                found = await self._look_up(client, series, start_s)
                answered = True
            except VenueUnreachableError as error:
                failure = error  # the other windows have their turn all the same
            wait_s = REFRESH_S if found else RETRY_S
            self._next_at_s[slug] = time.monotonic() + wait_s
        if failure is not None and not answered:
            raise failure

    async def _look_up(self, client: aiohttp.ClientSession, series: Series, start_s: int) -> bool:
        """Whether the market was found. Raises when the API does not answer."""
        slug = series.slug(start_s)
        self._metrics.gamma_requests.inc()
        try:
            body = await get_bytes(
                client,
                self._url,
                endpoints.EVENTS,
                {"slug": slug},
                timeout_s=REQUEST_TIMEOUT_S,
                bytes_max=ANSWER_BYTES_MAX,
            )
        except VenueUnreachableError:
            self._metrics.gamma_failures["unreachable"].inc()
            raise
        except VenueRefusedError as error:
            self._metrics.gamma_failures["bad_answer"].inc()
            _log.warning("look_up_failed", slug=slug, error=str(error))
            return False
        try:
            info = parse_listing(body, series, start_s)
        except ListingError as error:
            self._metrics.gamma_failures["bad_market"].inc()
            _log.warning("market_rejected", error=str(error))
            return False
        if info is None:
            if slug not in self._missing:
                self._missing.add(slug)
                _log.info("market_not_listed_yet", slug=slug)
            return False
        is_new = info.condition_id not in self._table
        self._table.follow(info, time.time_ns() // 1_000_000)
        if is_new:
            _log.info("market_followed", slug=slug, condition_id=info.condition_id)
            self._on_followed()
        return True
