"""What recorded markets paid: asked for after their end, and recorded only when it is final."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from feeder.recording import paid_markets
from feeder.recording.format import Listed, Paid, Record, encode_record
from feeder.recording.inspection import Inspector
from feeder.recording.paid_markets import PaidMarkets
from feeder.recording.reader import RecordingReader
from feeder.recording.recorded_channel import RecorderTimes
from protocol.market import MarketInfo, Outcome
from sandbox.simulator import Market, Venue, serve
from tests.support import canned_venue as canned
from tests.support.bundled_as_recorded import started, when
from tests.support.canned_venue import CannedVenue
from tests.support.message_builders import market_info
from tests.support.recordings import recording

QUICK = RecorderTimes(payout_after_s=0.005, payout_wait_max_s=0.01, payout_look_every_s=0.005)
NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000


def ended(venue: Venue, *payouts: str, after_ms: int = HOUR_MS) -> tuple[Market, MarketInfo]:
    """A market of the simulated venue that ended so long ago, and how it is listed."""
    end_ms = NOW_MS - after_ms
    market = venue.add_market("btc-updown-15m-1", start_ms=end_ms - 900_000, end_ms=end_ms)
    if payouts:
        market.payouts = Decimal(payouts[0]), Decimal(payouts[1])
        market.resolves_at_ms = end_ms
    return market, info_of(market.slug, market.condition_id, end_ms, market.token)


def info_of(slug: str, condition_id: str, end_ms: int, token: Callable[[str], str]) -> MarketInfo:
    return msgspec.structs.replace(
        market_info(),
        slug=slug,
        condition_id=condition_id,
        outcomes=(
            Outcome(name="Up", token_id=token("Up")),
            Outcome(name="Down", token_id=token("Down")),
        ),
        start_ms=end_ms - 900_000,
        end_ms=end_ms,
    )


class Asking:
    """What is put into a recording by whoever asks."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.some = asyncio.Event()
        self.paid: PaidMarkets

    def put(self, record: Record) -> None:
        self.records.append(record)
        self.some.set()

    async def first(self) -> Paid:
        async with asyncio.timeout(30):
            await self.some.wait()
        (record,) = self.records
        assert isinstance(record, Paid)
        return record


@asynccontextmanager
async def asking(url: str, directory: Path, *listed: MarketInfo) -> AsyncIterator[Asking]:
    found = Asking()
    followed = {info.condition_id: info for info in listed}
    found.paid = PaidMarkets(url, directory, followed, found.put, QUICK)
    task = asyncio.create_task(found.paid.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_what_a_market_paid_is_recorded_once_after_its_end(tmp_path: Path) -> None:
    venue = Venue()
    market, info = ended(venue, "0", "1")
    async with serve(venue) as url, asking(url, tmp_path, info) as found:
        record = await found.first()
    assert record.condition_id == market.condition_id
    assert record.payouts_e6 == {market.token("Up"): 0, market.token("Down"): 1_000_000}
    assert record.source == "gamma"
    assert 0 <= time.time_ns() - record.at_ns < 60_000_000_000


async def test_a_market_is_asked_for_until_it_has_paid(tmp_path: Path) -> None:
    venue = Venue()
    market, info = ended(venue)
    async with serve(venue) as url, asking(url, tmp_path, info) as found:
        await _until(lambda: bool(found.paid.awaited.get(info.condition_id)))
        assert found.paid.awaited[info.condition_id] == "Gamma has not closed it"
        market.payouts, market.resolves_at_ms = (Decimal(1), Decimal(0)), market.end_ms
        assert (await found.first()).payouts_e6[market.token("Up")] == 1_000_000


async def test_a_market_that_runs_is_not_asked_for(tmp_path: Path) -> None:
    venue = Venue()
    market, info = ended(venue, "1", "0", after_ms=-HOUR_MS)
    market.resolves_at_ms = 0
    async with canned.canned_venue() as other, asking(other.url, tmp_path, info) as found:
        await _until(lambda: info.condition_id in found.paid.awaited)
        await asyncio.sleep(0.02)
    assert (found.records, other.requests) == ([], [])


CANNED = {"Up": canned.UP, "Down": canned.DOWN}


def canned_info(after_ms: int = HOUR_MS) -> MarketInfo:
    slug = "btc-updown-15m-1800000000"
    ended_ms = time.time_ns() // 1_000_000 - after_ms  # now: a suite takes minutes
    return info_of(slug, canned.CONDITION_ID, ended_ms, CANNED.__getitem__)


@pytest.mark.parametrize(
    ("prices", "status", "payouts_e6"),
    [
        ('["1", "0"]', "resolved", (1_000_000, 0)),
        ('["1", "0"]', None, (1_000_000, 0)),
        ('["0.5", "0.5"]', "resolved", (500_000, 500_000)),
        ('["0.505", "0.495"]', "resolved", (505_000, 495_000)),
    ],
)
async def test_final_payouts_are_recorded(
    tmp_path: Path, prices: str, status: str | None, payouts_e6: tuple[int, int]
) -> None:
    async with canned.canned_venue() as venue:
        venue.says("/events", canned.listing(prices, umaResolutionStatus=status))
        async with asking(venue.url, tmp_path, canned_info()) as found:
            record = await found.first()
    assert tuple(record.payouts_e6[each] for each in CANNED.values()) == payouts_e6


def halves(venue: CannedVenue) -> None:
    venue.says("/events", canned.listing('["0.5", "0.5"]'))


@pytest.mark.parametrize(
    ("answer", "after_ms", "why"),
    [
        (halves, 60_000, "which may be old"),
        (
            lambda venue: venue.says(
                "/events", canned.listing('["0.5", "0.5"]', umaResolutionStatus=None)
            ),
            HOUR_MS,
            "does not call the market resolved",
        ),
        (
            lambda venue: venue.says("/events", canned.listing(umaResolutionStatus="disputed")),
            HOUR_MS,
            "Gamma calls it 'disputed'",
        ),
        (
            lambda venue: venue.says("/events", canned.listing('["0.98", "0.02"]')),
            HOUR_MS,
            "Gamma's prices are 0.98, 0.02",
        ),
        (
            lambda venue: venue.says("/events", canned.listing(tokens='["1", "2"]')),
            HOUR_MS,
            "token",
        ),
        (lambda venue: venue.says("/events", []), HOUR_MS, "does not list it"),
        (lambda venue: venue.says_text("/events", "down", 500), HOUR_MS, "500"),
        (lambda venue: venue.says_text("/events", "{", 200), HOUR_MS, "listing"),
    ],
    ids=["early", "unsaid", "disputed", "prices", "tokens", "unlisted", "error", "no json"],
)
async def test_what_is_not_final_is_not_recorded_and_the_reason_is_kept(
    tmp_path: Path, answer: Callable[[CannedVenue], None], after_ms: int, why: str
) -> None:
    info = canned_info(after_ms)
    async with canned.canned_venue() as venue:
        answer(venue)
        async with asking(venue.url, tmp_path, info) as found:
            await _until(lambda: bool(found.paid.awaited.get(info.condition_id)))
            assert why in found.paid.awaited[info.condition_id]
    assert found.records == []


async def test_a_venue_that_wants_fewer_requests_gets_none_for_a_while(tmp_path: Path) -> None:
    async with canned.canned_venue() as venue:
        venue.says_text("/events", "slow down", 429)
        async with asking(venue.url, tmp_path, canned_info()) as found:
            await _until(lambda: found.paid._paused_until_s > time.monotonic() + 20)
            await asyncio.sleep(0.03)  # it looks every five milliseconds
    assert len(venue.requests) == 1


async def test_what_nobody_resolves_is_given_up_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paid_markets, "GIVE_UP_S", 0.05)
    info = canned_info()
    async with canned.canned_venue() as venue:
        halves(venue)
        venue.says("/events", canned.listing("[]"))
        with capture_logs() as lines:
            async with asking(venue.url, tmp_path, info) as found:
                await _until(lambda: any(each["event"] == "payouts_given_up" for each in lines))
    (line,) = (each for each in lines if each["event"] == "payouts_given_up")
    assert (line["markets"], line["slugs"]) == (1, [info.slug])
    assert line["why"] == "Gamma names no prices"
    assert found.records == []


async def test_too_many_markets_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paid_markets, "MARKETS_MAX", 3)
    infos = [
        msgspec.structs.replace(canned_info(), slug=f"m-{number}", condition_id=f"0x{number}")
        for number in range(5)
    ]
    async with canned.canned_venue() as venue:
        with capture_logs() as lines:
            async with asking(venue.url, tmp_path, *infos) as found:
                await _until(lambda: any(each["event"] == "payouts_given_up" for each in lines))
                assert len(found.paid.awaited) == 3
    assert next(each for each in lines if each["event"] == "payouts_given_up")["markets"] == 2


def write(directory: Path, *records: Record) -> None:
    path = directory / "part-000001-20260928T000000Z.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(map(encode_record, records))))


async def test_a_recorder_that_is_started_again_asks_for_what_has_ended_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: dict[str, Any] = {"payout_after_s": 0.005, "payout_look_every_s": 0.005}
    async with recording(tmp_path / "other", monkeypatch, **times) as idle:
        _, info = ended(idle.venue, "1", "0")
        old = msgspec.structs.replace(info, condition_id="0xold", end_ms=NOW_MS - 25 * HOUR_MS)
        has_paid = msgspec.structs.replace(info, condition_id="0xpaid")
        known = Paid(**when(NOW_MS), condition_id="0xpaid", payouts_e6={}, source="gamma")
        directory = tmp_path / "again"
        directory.mkdir()
        listings = [Listed(**when(NOW_MS), market=each) for each in (old, info, has_paid)]
        write(directory, started(NOW_MS), *listings, known)
        (directory / "part-000002-20260928T000000Z.jsonl.gz").write_bytes(b"torn")
        recorder = type(idle.recorder)(
            idle.recorder._settings, directory, times=RecorderTimes(**times)
        )
        running = asyncio.create_task(recorder.run())
        try:
            await _until(lambda: len(_paid(directory)) == 2)
        finally:
            running.cancel()
            await asyncio.wait((running,))
    assert {each.condition_id for each in _paid(directory)} == {"0xpaid", info.condition_id}
    inspector = Inspector()
    for record in RecordingReader(directory):
        inspector.take(record)
    assert inspector.result().paid_markets == 2


def _paid(directory: Path) -> list[Paid]:
    return [each for each in RecordingReader(directory) if isinstance(each, Paid)]


async def _until(met: Callable[[], bool]) -> None:
    """Nothing that these wait for could be awaited: it is within a loop, or on the disk."""
    async with asyncio.timeout(30):
        while not met():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.002)
