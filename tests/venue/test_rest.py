"""The one GET: bounded in time and size, errors of its own, no secrets in them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from email.utils import formatdate
from typing import TypeAlias
from unittest.mock import Mock

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.support.canned_venue import Answer, CannedVenue, canned_venue
from tests.support.user_channel_frames import CREDENTIALS, SECRETS
from venue import rest
from venue.errors import VenueError, VenueRefusedError, VenueUnreachableError
from venue.rest import VenueReads, get_bytes


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned_venue() as opened:
        yield opened


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with rest.open_session() as session:
        yield session


async def test_a_success_is_its_bytes_which_nobody_reads_as_a_refusal(
    venue: CannedVenue, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "read_refusal", Mock(side_effect=AssertionError))
    venue.says("/book", [1], 201)
    assert await get_bytes(http, venue.url, "/book", {"token_id": "1"}) == b"[1]"
    assert venue.requests == [("/book", {"token_id": "1"})]


@pytest.mark.parametrize("status", [302, 400, 404, 429, 503])
async def test_any_other_status_is_a_refusal_in_the_venue_s_own_words(
    venue: CannedVenue, http: aiohttp.ClientSession, status: int
) -> None:
    venue.says("/book", {"error": "order\nnot found"}, status)
    with pytest.raises(VenueRefusedError) as refused:
        await get_bytes(http, venue.url, "/book")
    assert (refused.value.status, refused.value.reason) == (status, "order\nnot found")
    assert str(refused.value) == f"HTTP {status}: order not found"
    assert len(venue.requests) == 1


async def test_credentials_follow_no_redirect_and_public_questions_do(
    venue: CannedVenue, http: aiohttp.ClientSession
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/other"})

    venue.answers["/book"] = elsewhere
    venue.says_text("/other", "[2]")
    with pytest.raises(VenueRefusedError):
        await get_bytes(http, venue.url, "/book", credentials=CREDENTIALS)
    assert [path for path, _ in venue.requests] == ["/book"]
    assert await get_bytes(http, venue.url, "/book") == b"[2]"


async def test_a_secret_that_is_none_is_no_defect(
    venue: CannedVenue, http: aiohttp.ClientSession
) -> None:
    bad = msgspec.structs.replace(CREDENTIALS, secret="!")
    with pytest.raises(VenueUnreachableError, match="not base64"):
        await get_bytes(http, venue.url, "/book", credentials=bad)


async def test_a_refusal_keeps_the_whole_text_of_what_was_said(
    venue: CannedVenue, http: aiohttp.ClientSession
) -> None:
    said = "order not found " + "x" * 400 + " /path"
    venue.says("/book", {"error": said}, 404)
    with pytest.raises(VenueRefusedError) as refused:
        await get_bytes(http, venue.url, "/book")
    assert refused.value.reason == said


async def test_a_body_without_end_is_cut(venue: CannedVenue, http: aiohttp.ClientSession) -> None:
    venue.says_text("/book", "x" * 101)
    with pytest.raises(VenueRefusedError, match="HTTP 200: more than 100 bytes"):
        await get_bytes(http, venue.url, "/book", bytes_max=100)


async def test_silence_is_bounded(venue: CannedVenue, http: aiohttp.ClientSession) -> None:
    gone = venue.falls_silent("/book")
    with pytest.raises(VenueUnreachableError, match=r"no answer within 0\.05 s"):
        await get_bytes(http, venue.url, "/book", timeout_s=0.05)
    await gone.wait()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://", "nonsense", "http://[::1"])
async def test_what_cannot_be_reached_is_one_line(http: aiohttp.ClientSession, url: str) -> None:
    with pytest.raises(VenueUnreachableError) as lost:
        await get_bytes(http, url, "/book")
    assert "\n" not in str(lost.value)


async def test_an_echo_of_our_credentials_is_not_repeated(venue: CannedVenue) -> None:
    reads = VenueReads(venue.url, venue.url, CREDENTIALS)
    venue.says_text("/data/trades", json.dumps({"error": " ".join(SECRETS)}), 401)
    with pytest.raises(VenueError) as refused:
        await reads.private("/data/trades", {})
    venue.says("/data/order", {"id": " ".join(SECRETS)})  # what reads it may quote it
    body = await reads.private("/data/order", {})
    await reads.close()
    assert not any(secret in f"{refused.value} {body!r}" for secret in SECRETS)


async def test_without_credentials_nothing_is_asked_in_an_account_s_name(
    venue: CannedVenue,
) -> None:
    reads = VenueReads(venue.url, venue.url)
    with pytest.raises(ValueError, match="no API credentials"):
        await reads.private("/data/trades", {})
    await reads.close()
    assert venue.requests == []


DATE, DATE_MS = "Fri, 15 Jan 2027 08:00:00 GMT", 1_800_000_000_000
Ours: TypeAlias = Callable[[float, float], None]


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Ours:
    """Sets our own two clocks: so many seconds after DATE it is, and so many have gone by."""

    def put(wall_s: float, gone_by_s: float) -> None:
        clock = Mock(wraps=time)
        clock.time_ns.return_value = int((DATE_MS / 1000 + wall_s) * 1e9)
        clock.monotonic.return_value = 1_000 + gone_by_s
        monkeypatch.setattr("venue.rest.time", clock)

    put(0, 0)
    return put


def dated(date: str, status: int = 200, text: str = '{"error": "order not found"}') -> Answer:
    async def answer(_: web.Request) -> web.Response:
        json_type = "application/json" if text.startswith("{") else "text/html"
        return web.Response(
            text=text, status=status, content_type=json_type, headers={"Date": date}
        )

    return answer


@pytest.mark.parametrize("status", [200, 404])
async def test_the_clob_s_answers_tell_its_time_which_goes_on(
    venue: CannedVenue, ours: Ours, status: int
) -> None:
    reads = VenueReads(venue.url, venue.url)
    assert reads.now_ms() is None
    venue.answers["/time"] = dated(DATE, status)
    with suppress(VenueRefusedError):
        await reads.public("/time", {})
    assert reads.now_ms() == DATE_MS
    ours(0, 60)
    assert reads.now_ms() == DATE_MS + 60_000
    await reads.close()


async def hears(reads: VenueReads, venue: CannedVenue, *dates: str | int) -> None:
    """One answer with each Date: a text, or seconds after DATE."""
    for date in dates:
        if isinstance(date, int):
            date = formatdate(DATE_MS / 1000 + date, usegmt=True)  # noqa: PLW2901 - its text
        venue.answers["/time"] = dated(date)
        await reads.public("/time", {})


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 1900 00:00:00 GMT",  # zero by NTP
        "Thu, 01 Jan 1970 00:00:00 +0100",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 00:00:01 GMT",
        7_200,
        11,
    ],
)
async def test_one_date_of_a_clock_that_is_far_off_never_counts(
    venue: CannedVenue, ours: Ours, date: str | int
) -> None:
    reads = VenueReads(venue.url, venue.url)
    await hears(reads, venue, date)
    assert reads.now_ms() is None
    await hears(reads, venue, 0, date)
    assert reads.now_ms() == DATE_MS
    ours(3, 3)
    await hears(reads, venue, date, 3)
    assert reads.now_ms() == DATE_MS + 3_000
    await reads.close()


async def test_a_host_that_is_ahead_is_not_believed_because_it_answers_a_whole_run(
    venue: CannedVenue, ours: Ours
) -> None:
    reads = VenueReads(venue.url, venue.url)
    await hears(reads, venue, 0)
    for gone_by_s in range(60):
        ours(gone_by_s, gone_by_s)
        await hears(reads, venue, 7_200 + gone_by_s)
        assert reads.now_ms() == DATE_MS + gone_by_s * 1_000
    await hears(reads, venue, 59)  # it is another host's turn: all begins anew
    ours(120, 120)
    await hears(reads, venue, 7_320)
    assert reads.now_ms() == DATE_MS + 120_000
    await reads.close()


async def test_where_our_own_clock_is_behind_the_venue_is_believed_after_a_minute_of_one_word(
    venue: CannedVenue, ours: Ours
) -> None:
    ours(-7_200, 0)
    reads = VenueReads(venue.url, venue.url)
    await hears(reads, venue, 0, 0)
    ours(-7_170, 30)
    await hears(reads, venue, 30)
    assert reads.now_ms() is None
    ours(-7_139, 61)
    await hears(reads, venue, 61)
    assert reads.now_ms() == DATE_MS + 61_000
    await reads.close()


async def test_words_that_contradict_each_other_for_a_minute_are_not_one(
    venue: CannedVenue, ours: Ours
) -> None:
    ours(-7_200, 0)
    reads = VenueReads(venue.url, venue.url)
    for gone_by_s in range(0, 120, 10):
        ours(gone_by_s - 7_200, gone_by_s)
        await hears(reads, venue, gone_by_s * 60)
        assert reads.now_ms() is None
    await reads.close()


async def test_a_machine_that_slept_hears_the_time_at_once(venue: CannedVenue, ours: Ours) -> None:
    reads = VenueReads(venue.url, venue.url)
    await hears(reads, venue, 0)
    ours(28_800, 1)  # the monotonic clock stands still meanwhile
    await hears(reads, venue, 28_800)
    assert reads.now_ms() == DATE_MS + 28_800_000
    await reads.close()


@pytest.mark.parametrize(
    ("date", "status", "text"),
    [
        ("", 200, "{}"),
        ("yesterday", 200, "{}"),
        ("Fri, 15 Jan 2027 08:00:00", 200, "{}"),  # of which zone
        ("Fri, 99 Jan 2027 08:00:00 GMT", 200, "{}"),
        ("1800000000", 200, "{}"),
        (DATE, 502, "<html>"),  # not the venue's own word: so neither is its time
        (DATE, 404, "<html>"),
        (DATE, 200, "<html>"),  # of a portal
        (DATE, 200, ""),
        (DATE, 502, '{"error": "bad gateway"}'),  # of whatever stands before the venue
        (DATE, 503, '{"error": "unavailable"}'),
    ],
)
async def test_what_is_no_date_of_the_venue_s_tells_no_time(
    venue: CannedVenue, ours: Ours, date: str, status: int, text: str
) -> None:
    reads = VenueReads(venue.url, venue.url)
    venue.answers["/time"] = dated(date, status, text)
    with suppress(VenueRefusedError):
        await reads.public("/time", {})
    assert reads.now_ms() is None
    await reads.close()


async def test_the_time_of_whoever_a_redirect_leads_to_is_not_the_venue_s(
    venue: CannedVenue,
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/portal"})

    reads = VenueReads(venue.url, venue.url)
    venue.answers["/time"], venue.answers["/portal"] = elsewhere, dated(DATE, 200, "{}")
    assert await reads.public("/time", {}) == b"{}"
    assert reads.now_ms() is None
    await reads.close()
