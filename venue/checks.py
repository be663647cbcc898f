"""Small questions to the venue that need no account (`executor doctor`).

Each answers a plain value within `venue.rest.ANSWER_TIMEOUT_S` or raises VenueError with one line
that begins with the URL; none changes anything.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import msgspec

from venue.errors import VenueError, VenueRefusedError, one_line
from venue.rest import get_bytes, open_session
from venue.wire.errors import UNDECODABLE

GEOBLOCK_URL: Final = "https://polymarket.com/api/geoblock"
CLOCKS_APART_MS: Final = 2_000
"""Below this a clock is not the reason why the venue refuses what we signed."""
_T = TypeVar("_T")


class _Geoblock(msgspec.Struct):
    blocked: bool


async def answer_time_ms(url: str) -> int:
    """How long `url` took to answer, connection included. Raises VenueError, also for an answer
    that is no success."""
    asked_s = time.perf_counter()
    await body_of(url)
    return round((time.perf_counter() - asked_s) * 1000)


async def clock_offset_ms(clob_url: str) -> int:
    """How far the venue's clock is ahead of ours (negative: behind), in ms.

    The smallest offset that explains `GET /time`, which is in whole seconds: 0 means less than a
    second and a round trip.
    """
    url = f"{clob_url}/time"
    # Both by the clock that is judged, and around all of it: a busy process may come to take the
    # second time long after the answer, which must not look like an offset.
    asked_ms = time.time_ns() // 1_000_000
    body = await body_of(url)
    answered_ms = time.time_ns() // 1_000_000
    venue_s = _decoded(url, body, int)
    ahead_at_least = venue_s * 1000 - answered_ms
    ahead_at_most = venue_s * 1000 + 999 - asked_ms
    return max(ahead_at_least, min(0, ahead_at_most))


async def blame_the_clock(clob_url: str, refused: VenueRefusedError) -> None:
    """Whether what we signed was `refused` because our clock is off: by the answer's own date, and
    by `GET /time`.

    Raises VenueError when it is, or when neither can be read; returns when the clocks agree.
    """
    offset_ms = _offset_of_date_ms(refused.date)
    if offset_ms is None or abs(offset_ms) <= CLOCKS_APART_MS:
        try:
            offset_ms = await clock_offset_ms(clob_url)
        except VenueError as unknown:
            if offset_ms is None:
                text = f"{clob_url}: {refused}; whether our clock is off is not known: {unknown}"
                raise VenueError(one_line(text), refused.status) from unknown
    if abs(offset_ms) > CLOCKS_APART_MS:
        word = "behind" if offset_ms > 0 else "ahead of"
        text = (
            f"{clob_url}: our clock is {abs(offset_ms) / 1000:.0f} s {word} the venue's: "
            f"synchronise this machine's clock (NTP); {refused}"
        )
        raise VenueError(one_line(text), refused.status)


def _offset_of_date_ms(date: str) -> int | None:
    """How far `date`, in whole seconds, is ahead of our clock, at least; None: it is no date."""
    try:
        at_least_ms = (
            round(parsedate_to_datetime(date).timestamp() * 1000) - time.time_ns() // 10**6
        )
    except (ValueError, OverflowError, TypeError):
        return None
    return max(at_least_ms, min(0, at_least_ms + 999))


async def geoblocked(url: str = GEOBLOCK_URL) -> bool:
    """Whether the venue's website refuses traders at this address. The exchange itself refuses
    orders with HTTP 403, by a list of its own."""
    return _decoded(url, await body_of(url), _Geoblock).blocked


async def body_of(url: str) -> bytes:
    """What a GET answers. Raises VenueError, also for an answer that is no success."""
    try:
        async with open_session() as http:
            return await get_bytes(http, url)
    except VenueError as error:
        raise VenueError(one_line(f"{url}: {error}"), error.status) from error


def _decoded(url: str, body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        raise VenueError(one_line(f"{url}: {error}")) from error
