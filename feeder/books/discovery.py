"""Discovery: ask the Gamma API for the current and the next window of every series.

1. A market is looked up until it is listed, and again now and then afterwards, because a listing
   can open or close for orders. Look-ups go one after the other: there are two a series, ahead of
   time.
2. Whatever keeps a window from being followed is logged once, however often it is asked for.
3. A series of which no running market is followed for NO_MARKET_S is a problem: its name may be
   wrong, which nobody but the venue's listing can tell. That is found out beside the look-ups, so
   that it does not wait for answers.
4. A venue that wants fewer requests gets fewer: after a 429 or a 403 none at all for as long as it
   says, within bounds; after another refusal of one window it is asked for more and more rarely.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

from feeder.books.metrics import FeederMetrics
from feeder.core.market.session_table import SessionTable
from protocol.market import MarketInfo
from protocol.series import Series
from runtime.process import first_failure
from runtime.retry import until_reachable
from venue.errors import VenueRefusedError, VenueUnreachableError
from venue.rest import get_bytes, open_session
from venue.wire import endpoints
from venue.wire.listing import ASSUMED_FEE, ListingError, parse_listing

REQUEST_TIMEOUT_S: Final = 5
ANSWER_BYTES_MAX: Final = 1 << 20
ROUND_EVERY_S: Final = 1
"""How late a window that has just become wanted may be looked up."""
REPORT_EVERY_S: Final = 1
"""How late a series without a market may be said."""
RETRY_S: Final = 3
"""Not listed, or not usable: the venue lists a day ahead, so this is for exceptions."""
REFRESH_S: Final = 30
"""How old the facts of a followed market may become."""
BACK_OFF_MAX_S: Final = 60
NO_MARKET_S: Final = 30
"""The venue lists a day ahead: a running window that is not listed is no delay of a moment."""
TOLD_MAX: Final = 20
"""Of one window: a text may be another one each time."""
_TOO_MANY: Final = (403, 429)
"""Of an address, not of a window; a 403 is what stands before the venue (Cloudflare)."""

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
        self._why: dict[str, str] = {}
        """Window -> why it is not followed."""
        self._told: dict[str, set[str]] = {}
        """Window -> what of that was logged."""
        self._refusals: dict[str, int] = {}
        """Window -> answers in a row that were no success."""
        self._assumed: set[str] = set()
        """Windows whose fee is assumed."""
        self._pauses = 0
        self._paused_until_s = float("-inf")
        self._followed_s: dict[str, float] = {}
        """Series -> when a running market of it was last followed, or began to be looked for."""
        self._reported: set[str] = set()
        """Series that were reported as without a market."""

    def problem(self) -> str | None:
        """One sentence on which series no market can be had of, None when there is none."""
        if not (without := self._without_market()):
            return None
        names, why = ", ".join(without), next(iter(without.values()))
        return f"no running market of {names} is followed: {why}"

    async def run(self) -> None:
        """Look up what is wanted, and say what is missing, until cancelled."""
        await first_failure(self._keep_looking_up(), self._keep_reporting())

    async def _keep_looking_up(self) -> None:
        async with open_session() as client:
            while True:
                await until_reachable(
                    f"Gamma API at {self._url}",
                    lambda: self._round(client),
                    retry_on=(VenueUnreachableError,),
                )
                await asyncio.sleep(ROUND_EVERY_S)

    async def _keep_reporting(self) -> None:
        """Beside the look-ups: a round of them lasts as long as Gamma takes to answer."""
        while True:
            self._report_series()
            await asyncio.sleep(REPORT_EVERY_S)

    async def _round(self, client: aiohttp.ClientSession) -> None:
        """Look up every window whose turn it is. Raises when the API answers none of them."""
        wanted = {
            series.slug(start_s): (series, start_s)
            for series, start_s in self._table.wanted(time.time())
        }
        self._next_at_s = {slug: self._next_at_s.get(slug, 0.0) for slug in wanted}
        self._why = {slug: why for slug, why in self._why.items() if slug in wanted}
        self._told = {slug: told for slug, told in self._told.items() if slug in wanted}
        self._refusals = {slug: n for slug, n in self._refusals.items() if slug in wanted}
        self._assumed &= wanted.keys()
        answered, failure = False, None
        # What runs before what is to come.
        for slug, (series, start_s) in sorted(wanted.items(), key=lambda each: each[1][1]):
            now_s = time.monotonic()
            if self._next_at_s[slug] > now_s or self._paused_until_s > now_s:
                continue
            try:
                wait_s = await self._look_up(client, series, start_s)
                answered = True
            except VenueUnreachableError as error:
                failure = error  # the other windows have their turn all the same
                self._why[slug], wait_s = f"Gamma: {error}", RETRY_S
            self._next_at_s[slug] = time.monotonic() + wait_s
        if failure is not None and not answered:
            raise failure

    async def _look_up(self, client: aiohttp.ClientSession, series: Series, start_s: int) -> float:
        """How long to wait until the next look-up. Raises when the API does not answer."""
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
            return self._back_off(slug, error)
        self._refusals.pop(slug, None)
        self._pauses = 0
        try:
            info = parse_listing(body, series, start_s)
        except ListingError as error:
            self._metrics.gamma_failures["bad_market"].inc()
            if self._is_news(slug, f"its listing is refused: {error}"):
                _log.warning("market_rejected", error=str(error))
            return RETRY_S
        if info is None:
            if self._is_news(slug, f"{slug} is not listed"):
                _log.info("market_not_listed_yet", slug=slug)
            return RETRY_S
        self._why.pop(slug, None)
        self._follow(info)
        return REFRESH_S

    def _follow(self, info: MarketInfo) -> None:
        is_new = info.condition_id not in self._table
        self._table.follow(info, time.time_ns() // 1_000_000)
        if info.fee is ASSUMED_FEE and info.slug not in self._assumed:
            self._assumed.add(info.slug)
            self._metrics.fees_assumed.inc()
            _log.warning("fee_assumed", slug=info.slug, rate=str(info.fee.rate))
        if is_new:
            _log.info("market_followed", slug=info.slug, condition_id=info.condition_id)
            self._on_followed()

    def _back_off(self, slug: str, error: VenueRefusedError) -> float:
        """How long this window waits; the others, too, where that is what the venue means."""
        if error.status in _TOO_MANY:
            self._pauses += 1
            wait_s = _waits_s(self._pauses)
            if error.retry_after_s is not None:
                wait_s = max(RETRY_S, min(error.retry_after_s, BACK_OFF_MAX_S))
            # Later than it says, by chance: others of this address wait for the same moment.
            wait_s *= random.uniform(1, 1.25)  # noqa: S311 - no secret
            self._paused_until_s = time.monotonic() + wait_s
        else:
            self._refusals[slug] = self._refusals.get(slug, 0) + 1
            wait_s = _waits_s(self._refusals[slug]) * random.uniform(0.75, 1)  # noqa: S311 - no secret
        if self._is_news(slug, f"Gamma: {error}"):
            _log.warning("look_up_failed", slug=slug, error=str(error), retry_in_s=round(wait_s, 1))
        return wait_s

    def _is_news(self, slug: str, why: str) -> bool:
        self._why[slug] = why
        told = self._told.setdefault(slug, set())
        if why in told or len(told) >= TOLD_MAX:
            return False
        told.add(why)
        return True

    def _report_series(self) -> None:
        """Find out which series have a running market; one line for each that has none."""
        now_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        running = {
            session.info.series
            for session in self._table
            if session.info.start_ms <= now_ms < session.info.end_ms
        }
        for series in self._table.series:
            if series.name in running or series.name not in self._followed_s:
                self._followed_s[series.name] = now_s
        without = self._without_market()
        self._metrics.without_market.set(len(without))
        for name, why in without.items():
            if name not in self._reported:
                _log.error("series_without_market", series=name, why=why)
        self._reported = set(without)

    def _without_market(self) -> dict[str, str]:
        """Series -> why none of its markets is followed, where that has lasted."""
        now_s = time.monotonic()
        return {
            series.name: self._why.get(
                series.slug(series.window_start_s(time.time())), "Gamma has not answered about it"
            )
            for series in self._table.series
            if now_s - self._followed_s.get(series.name, now_s) > NO_MARKET_S
        }


def _waits_s(times: int) -> float:
    """Doubling with each time."""
    return float(min(RETRY_S * 2 ** min(times, 10), BACK_OFF_MAX_S))
