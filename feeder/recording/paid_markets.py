"""What recorded markets paid: Gamma's listing is asked after their end, and the answer is recorded.

1. A market is asked for from `payout_after_s` after its end, more and more rarely, and given up two
   hours later; which ones were given up is one line. At most MARKETS_MAX are waited for.
2. Recorded is a payout that is final (`venue.wire.listing` says when). One half each, and what is
   near it, is where prices begin: believed only of a market that is expressly called resolved,
   and not before GAMMA_BEHIND_MS after its end.
3. A venue that wants fewer requests gets none for as long as it says, within bounds.
4. A recorder that is stopped leaves markets without their payout. When it is started again in the
   same directory, it asks for those that ended within a day; it finds them in the newest files, of
   FOUND_BYTES_MAX at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Final

import aiohttp
import msgspec
import structlog

from feeder.recording.errors import RecordingError
from feeder.recording.format import Listed, Paid, Record
from feeder.recording.part_files import part_files
from feeder.recording.reader import RecordingReader
from feeder.recording.recorded_channel import RecorderTimes, now
from protocol.market import MarketInfo
from venue.errors import VenueError, VenueRefusedError
from venue.rest import get_bytes, open_session
from venue.wire import endpoints
from venue.wire.errors import WireError
from venue.wire.listing import ListedResult, read_result

MARKETS_MAX: Final = 2_000
"""Five-minute markets of all series that one connection has room for, of two hours."""
GIVE_UP_S: Final = 7_200
GAMMA_BEHIND_MS: Final = 900_000
"""Gamma's prices may be so much older than its word on the market's status."""
FOUND_WITHIN_MS: Final = 86_400_000
FOUND_BYTES_MAX: Final = 64 << 20
"""Compressed; some hours of one series, and a few seconds to read."""
_REQUEST_TIMEOUT_S: Final = 5
_ANSWER_BYTES_MAX: Final = 1 << 20
_BACK_OFF: Final = 1.5
_PAUSE_S: Final = 30.0
_PAUSE_MAX_S: Final = 300.0
_TOO_MANY: Final = (403, 429)
"""Of an address, not of a market."""
_NAMED_MAX: Final = 5

_log = structlog.get_logger()


class _Awaited(msgspec.Struct):
    """A market that has not paid yet; times by the monotonic clock."""

    info: MarketInfo
    next_s: float | None = None
    """When it is asked for; None until its end."""
    wait_s: float = 0
    give_up_s: float = 0
    why: str = ""
    """What kept it from being recorded the last time."""


class PaidMarkets:
    """`listed` are the followed markets by condition id, `put` takes a record."""

    def __init__(
        self,
        gamma_url: str,
        directory: Path,
        listed: Mapping[str, MarketInfo],
        put: Callable[[Record], None],
        times: RecorderTimes,
    ) -> None:
        self._url = gamma_url.rstrip("/")
        self._directory = directory
        self._listed = listed
        self._put = put
        self._times = times
        self._awaited: dict[str, _Awaited] = {}
        self._paused_until_s = float("-inf")

    @property
    def awaited(self) -> dict[str, str]:
        """Condition id -> why it was not recorded the last time, "" before the first."""
        return {condition_id: market.why for condition_id, market in self._awaited.items()}

    async def run(self) -> None:
        """Ask until cancelled."""
        stopping = Event()
        try:
            for info in await asyncio.to_thread(_unpaid, self._directory, _now_ms(), stopping):
                self._await(info)
        finally:
            stopping.set()
        async with open_session() as http:
            while True:
                for info in self._listed.values():
                    self._await(info)
                await self._ask(http)
                self._give_up()
                await asyncio.sleep(self._times.payout_look_every_s)

    def _await(self, info: MarketInfo) -> None:
        known = self._awaited.get(info.condition_id)
        if known is not None:
            known.info = info
        else:
            self._awaited[info.condition_id] = _Awaited(info)

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        """Ask for every market whose turn it is, one after the other."""
        for market in self._due():
            if time.monotonic() < self._paused_until_s:
                return
            info = market.info
            try:
                result = await self._result(http, info)
                market.why = _doubt(result, info, _now_ms())
            except (VenueError, WireError) as error:
                result, market.why = None, str(error)
                if isinstance(error, VenueRefusedError) and error.status in _TOO_MANY:
                    wished_s = _PAUSE_S if error.retry_after_s is None else error.retry_after_s
                    pause_s = max(_PAUSE_S, min(wished_s, _PAUSE_MAX_S))
                    self._paused_until_s = time.monotonic() + pause_s
            if result is not None and result.payouts_e6 is not None and not market.why:
                self._record(info, result.payouts_e6)
                continue
            market.wait_s = min(market.wait_s * _BACK_OFF, self._times.payout_wait_max_s)
            market.next_s = time.monotonic() + market.wait_s

    def _due(self) -> list[_Awaited]:
        now_ms, now_s = _now_ms(), time.monotonic()
        after_s = self._times.payout_after_s
        for market in self._awaited.values():
            if market.next_s is None and now_ms >= market.info.end_ms + after_s * 1000:
                market.next_s, market.wait_s = now_s, self._times.payout_after_s
                market.give_up_s = now_s + GIVE_UP_S
        due = [m for m in self._awaited.values() if m.next_s is not None and m.next_s <= now_s]
        return sorted(due, key=lambda market: market.next_s or 0)

    async def _result(self, http: aiohttp.ClientSession, info: MarketInfo) -> ListedResult:
        body = await get_bytes(
            http,
            self._url,
            endpoints.EVENTS,
            {"slug": info.slug},
            timeout_s=_REQUEST_TIMEOUT_S,
            bytes_max=_ANSWER_BYTES_MAX,
        )
        return read_result(body, info.condition_id, info.outcomes[0].token_id)

    def _record(self, info: MarketInfo, payouts_e6: dict[str, int]) -> None:
        del self._awaited[info.condition_id]
        at_ns, mono_ns = now()
        self._put(
            Paid(
                at_ns=at_ns,
                mono_ns=mono_ns,
                condition_id=info.condition_id,
                payouts_e6=payouts_e6,
                source="gamma",
            )
        )
        _log.info("market_paid", slug=info.slug, condition_id=info.condition_id)

    def _give_up(self) -> None:
        """Of what has been asked for in vain for long, and of what is too many."""
        now_s = time.monotonic()
        ended = [m for m in self._awaited.values() if m.next_s is not None]
        oldest = sorted(ended, key=lambda market: market.give_up_s)
        excess = oldest[: max(len(self._awaited) - MARKETS_MAX, 0)]
        given_up = [m for m in oldest if m.give_up_s <= now_s or m in excess]
        for market in given_up:
            del self._awaited[market.info.condition_id]
        if given_up:
            _log.warning(
                "payouts_given_up",
                markets=len(given_up),
                slugs=[market.info.slug for market in given_up[:_NAMED_MAX]],
                why=given_up[0].why or "too many markets are waited for",
            )


def _doubt(result: ListedResult, info: MarketInfo, now_ms: int) -> str:
    """Why what Gamma says is not recorded, "" when it is."""
    if result.payouts_e6 is None:
        return result.text
    if result.payouts_e6.keys() != {outcome.token_id for outcome in info.outcomes}:
        return "Gamma lists other tokens"
    if result.near_half and not result.resolved:
        return f"{result.text}, and it does not call the market resolved"
    if result.near_half and now_ms < info.end_ms + GAMMA_BEHIND_MS:
        return f"{result.text}, which may be old"
    return ""


def _unpaid(directory: Path, now_ms: int, stopping: Event) -> list[MarketInfo]:
    """Recorded markets that ended within a day and have no payout. Blocks; best effort, for the
    recording is sound without."""
    listed: dict[str, MarketInfo] = {}
    paid: set[str] = set()
    for path in _newest(directory, now_ms):
        try:
            for record in RecordingReader(path, without_frames=True):
                if stopping.is_set():
                    return []
                if isinstance(record, Listed):
                    listed[record.market.condition_id] = record.market
                elif isinstance(record, Paid):
                    paid.add(record.condition_id)
        except RecordingError as error:  # a file that was cut at its beginning
            _log.info("recording_not_searched", why=str(error))
    return [
        info
        for condition_id, info in listed.items()
        if condition_id not in paid and now_ms - FOUND_WITHIN_MS <= info.end_ms <= now_ms
    ][-MARKETS_MAX:]


def _newest(directory: Path, now_ms: int) -> list[Path]:
    """The files that may have them, oldest first."""
    found: list[Path] = []
    size = 0
    try:
        for path in reversed(part_files(directory)):
            status = path.stat()
            size += status.st_size
            if size > FOUND_BYTES_MAX or status.st_mtime * 1000 < now_ms - FOUND_WITHIN_MS:
                break
            found.insert(0, path)
    except OSError as error:
        _log.warning("recording_not_searched", why=str(error))
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
