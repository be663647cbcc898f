"""Small questions to the venue that need no account (`executor doctor`).

Each answers a plain value within `venue.rest.ANSWER_TIMEOUT_S` or raises VenueError with one line
that begins with the URL; none changes anything.
"""

from __future__ import annotations

import time
from typing import Final, TypeVar

import msgspec

from venue.errors import VenueError, one_line
from venue.rest import get_bytes, open_session
from venue.wire.errors import UNDECODABLE

GEOBLOCK_URL: Final = "https://polymarket.com/api/geoblock"
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
