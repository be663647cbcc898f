"""The small questions of `executor doctor` that need no account, to a venue of nonsense."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.support.canned_venue import CannedVenue, canned_venue
from venue import checks, rest
from venue.errors import VenueError


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned_venue() as opened:
        yield opened


@pytest.mark.parametrize("ahead_s", [-3600, -3, 3, 3600])
async def test_a_clock_that_is_wrong_is_named_to_the_second(
    venue: CannedVenue, ahead_s: int
) -> None:
    venue.says("/time", int(time.time()) + ahead_s)
    told_ms = await checks.clock_offset_ms(venue.url)
    # The smallest that explains it: up to a second (and this test's own time) nearer to zero.
    assert abs(told_ms - ahead_s * 1000) < 2_000
    assert (told_ms > 0) == (ahead_s > 0)
    assert abs(told_ms) <= abs(ahead_s * 1000)


async def test_a_clock_within_the_second_is_right(
    venue: CannedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_999_000_000)
    venue.says("/time", 1_800_000_000)
    assert await checks.clock_offset_ms(venue.url) == 0


@pytest.mark.parametrize("blocked", [True, False])
async def test_the_geoblock(venue: CannedVenue, blocked: bool) -> None:
    venue.says("/api/geoblock", {"blocked": blocked, "country": "IE", "region": "L"})
    assert await checks.geoblocked(f"{venue.url}/api/geoblock") is blocked


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 200),
        ("<html>", 200),
        ("[" * 100_000, 200),
        ("{}", 200),
        ("7.5", 200),
        ("true", 200),
        ("[]", 200),
        ('{"blocked": "no"}', 200),
        ("1", 500),
        ("1", 429),
        ("1", 403),
    ],
)
async def test_nonsense_is_no_answer(venue: CannedVenue, text: str, status: int) -> None:
    venue.says_text("/time", text, status)
    venue.says_text("/geo", text, status)
    with pytest.raises(VenueError):
        await checks.clock_offset_ms(venue.url)
    with pytest.raises(VenueError):
        await checks.geoblocked(f"{venue.url}/geo")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://", "nonsense", "http://[::1"])
async def test_what_cannot_be_reached_is_one_line(url: str) -> None:
    with pytest.raises(VenueError) as refused:
        await checks.answer_time_ms(url)
    assert str(refused.value).startswith(url)
    assert "\n" not in str(refused.value)


async def test_silence_is_bounded(venue: CannedVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "ANSWER_TIMEOUT_S", 0.05)
    gone = venue.falls_silent("/time")
    with pytest.raises(VenueError, match="no answer within"):
        await checks.answer_time_ms(f"{venue.url}/time")
    await gone.wait()
