from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from feeder.books import discovery
from feeder.books.discovery import Discovery
from feeder.books.metrics import FeederMetrics
from feeder.core.market.session_table import SessionTable
from protocol.series import parse_series
from tests.venue.wire.test_listing import listed

SERIES = parse_series("btc-9999h")  # no window rolls while a test runs


def listing(slug: str) -> str:
    """What a venue that lists every window answers for this one."""
    start_s = int(slug.rpartition("-")[2])
    market = listed(
        slug=slug,
        conditionId=f"0x{start_s}",
        clobTokenIds=json.dumps([f"{start_s}1", f"{start_s}2"]),
        eventStartTime=datetime.fromtimestamp(start_s, UTC).isoformat(),
        endDate=datetime.fromtimestamp(start_s + SERIES.window_s, UTC).isoformat(),
    )
    return json.dumps([{"slug": slug, "markets": [market]}])


class Gamma:
    """Answers `GET /events?slug=` with what the test puts into `answer`; counts the requests."""

    def __init__(self) -> None:
        self.answer: Callable[[str], tuple[int, str]] = lambda slug: (200, listing(slug))
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.hangs = ""
        """Slug that is never answered; "all": none is."""
        self.url = ""

    async def events(self, request: web.Request) -> web.Response:
        slug = request.query["slug"]
        self.asked.append(slug)
        if self.hangs in (slug, "all"):
            await asyncio.Event().wait()
        status, text = self.answer(slug)
        return web.Response(status=status, text=text, headers=self.headers)

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes([web.get("/events", self.events)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield
        finally:
            await runner.cleanup()


class Bench:
    def __init__(self) -> None:
        self.table = SessionTable([SERIES])
        self.metrics = FeederMetrics([SERIES])
        self.followed = asyncio.Event()
        self.gamma = Gamma()
        self.discovery: Discovery

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def slugs(self) -> list[str]:
        """Of what is wanted."""
        return [series.slug(start_s) for series, start_s in self.table.wanted(time.time())]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.discovery = Discovery(self.gamma.url, self.table, self.metrics, self.followed.set)
        task = asyncio.create_task(self.discovery.run())
        try:
            async with asyncio.timeout(30):
                yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the table and the counters offer nothing to wait on
            await asyncio.sleep(0.005)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(discovery, "ROUND_EVERY_S", 0.01)
    monkeypatch.setattr(discovery, "REPORT_EVERY_S", 0.01)
    monkeypatch.setattr(discovery, "RETRY_S", 0.02)
    return Bench()


async def test_the_current_and_the_next_window_are_followed_and_asked_for_once(
    bench: Bench,
) -> None:
    async with bench.gamma.serve(), bench.running():
        await bench.followed.wait()
        await bench.until(lambda: len(bench.table) == 2)
        await asyncio.sleep(0.1)  # several rounds: this is about what they do NOT ask
    starts = sorted(session.info.start_ms for session in bench.table)
    assert starts[1] - starts[0] == SERIES.window_s * 1000
    assert len(bench.gamma.asked) == 2
    assert bench.value("feeder_gamma_requests_total") == 2


async def test_a_window_not_listed_yet_is_asked_for_again(bench: Bench) -> None:
    bench.gamma.answer = lambda _: (200, "[]")
    with capture_logs() as logs:
        async with bench.gamma.serve(), bench.running():
            await bench.until(lambda: len(bench.gamma.asked) >= 6)
            assert len(bench.table) == 0
            bench.gamma.answer = lambda slug: (200, listing(slug))
            await bench.until(lambda: len(bench.table) == 2)
    lines = [line["event"] for line in logs if line["event"] != "market_followed"]
    assert lines == ["market_not_listed_yet"] * 2  # once a window, however often it was asked for


async def test_a_malformed_listing_is_counted_and_logged_with_its_field_and_tried_again(
    bench: Bench,
) -> None:
    bench.gamma.answer = lambda slug: (200, listing(slug).replace("orderMinSize", "renamed"))
    with capture_logs() as logs:
        async with bench.gamma.serve(), bench.running():
            await bench.until(lambda: len(bench.gamma.asked) >= 4)
            bench.gamma.answer = lambda slug: (200, listing(slug))
            await bench.until(lambda: len(bench.table) == 2)
    assert bench.value("feeder_gamma_failures_total", cause="bad_market") >= 3
    rejected = [line for line in logs if line["event"] == "market_rejected"]
    assert "orderMinSize" in rejected[0]["error"]
    assert bench.gamma.asked[0] in rejected[0]["error"]


@pytest.mark.parametrize("answer", [(500, "oops"), (200, "[" + " " * (2 << 20) + "]")])
async def test_one_windows_bad_answer_does_not_keep_the_other_from_being_found(
    bench: Bench, answer: tuple[int, str]
) -> None:
    first: list[str] = []

    def for_slug(slug: str) -> tuple[int, str]:
        first.append(slug)
        return answer if slug == first[0] else (200, listing(slug))

    bench.gamma.answer = for_slug
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: len(bench.table) == 1)
        await bench.until(
            lambda: bench.value("feeder_gamma_failures_total", cause="bad_answer") >= 2
        )
    assert len(bench.table) == 1


async def test_a_slug_that_hangs_does_not_starve_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "REQUEST_TIMEOUT_S", 0.1)
    monkeypatch.setattr(discovery, "REFRESH_S", 0.02)
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: len(bench.gamma.asked) >= 1)
        bench.gamma.hangs = bench.gamma.asked[0]
        await bench.until(lambda: len(bench.table) >= 1)
        other = next(slug for slug in bench.slugs() if slug != bench.gamma.hangs)
        asked = bench.gamma.asked.count(other)
        await bench.until(lambda: bench.gamma.asked.count(other) >= asked + 3)
        bench.gamma.hangs = ""
        await bench.until(lambda: len(bench.table) == 2)
    assert bench.value("feeder_gamma_failures_total", cause="unreachable") >= 1


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        ("1e999999", "orderMinSize: [<class 'decimal.Overflow'>]"),
        ("1e500000", "orderMinSize: not a size: 1E+500000"),
        ("[5]", "orderMinSize"),
    ],
)
async def test_a_number_beyond_arithmetic_rejects_the_listing_and_no_more(
    bench: Bench, number: str, cause: str
) -> None:
    bench.gamma.answer = lambda slug: (
        200,
        listing(slug).replace('"orderMinSize": 5', f'"orderMinSize": {number}'),
    )
    with capture_logs() as logs:
        async with bench.gamma.serve(), bench.running():
            await bench.until(lambda: len(bench.gamma.asked) >= 3)
            bench.gamma.answer = lambda slug: (200, listing(slug))
            await bench.until(lambda: len(bench.table) == 2)
    rejected = next(line for line in logs if line["event"] == "market_rejected")
    assert cause.partition(":")[0] in rejected["error"]


async def test_an_api_that_is_not_there_is_one_line_and_is_waited_for(bench: Bench) -> None:
    async with bench.gamma.serve():
        pass  # now the port is known and free
    with capture_logs() as logs:
        async with bench.running():
            await bench.until(lambda: bool(logs))
            assert logs[0]["event"] == "not_reachable"
            assert bench.gamma.url in logs[0]["what"]
            async with bench.gamma.serve(int(bench.gamma.url.rpartition(":")[2])):
                await bench.until(lambda: len(bench.table) == 2)
    assert bench.value("feeder_gamma_failures_total", cause="unreachable") >= 1


async def test_the_facts_of_a_followed_market_are_refreshed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "REFRESH_S", 0.02)
    closed = '"acceptingOrders": false'
    bench.gamma.answer = lambda slug: (
        200,
        listing(slug).replace('"acceptingOrders": true', closed),
    )
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: len(bench.table) == 2)
        assert not any(session.info.accepting for session in bench.table)
        bench.gamma.answer = lambda slug: (200, listing(slug))
        await bench.until(lambda: all(session.info.accepting for session in bench.table))
    assert len(bench.table) == 2


UNLISTED = '[{"slug": "another", "markets": [{"slug": "another"}]}]'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, "[]"), "is not listed"),
        ((200, UNLISTED), "its listing is refused: .*no market of that slug"),
        ((500, "oops"), "Gamma: HTTP 500: oops"),
        ((429, "slow down"), "Gamma: HTTP 429: slow down"),
        ((403, "<html>"), "Gamma: HTTP 403"),
    ],
)
async def test_a_series_without_a_market_is_a_problem_until_there_is_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str], why: str
) -> None:
    monkeypatch.setattr(discovery, "NO_MARKET_S", 60)
    monkeypatch.setattr(discovery, "BACK_OFF_MAX_S", 0.05)
    bench.gamma.answer = lambda _: answer
    with capture_logs() as logs:
        async with bench.gamma.serve(), bench.running():
            await bench.until(lambda: len(bench.gamma.asked) >= 1)
            assert bench.discovery.problem() is None  # it may be a moment late
            monkeypatch.setattr(discovery, "NO_MARKET_S", 0.2)
            await bench.until(lambda: bench.discovery.problem() is not None)
            problem = bench.discovery.problem() or ""
            assert re.fullmatch(f"no running market of btc-9999h is followed: .*{why}.*", problem)
            await bench.until(lambda: bench.value("feeder_series_without_market") == 1)
            await asyncio.sleep(0.3)  # this is about what it does NOT say again
            bench.gamma.answer = lambda slug: (200, listing(slug))
            await bench.until(lambda: bench.discovery.problem() is None)
            await bench.until(lambda: bench.value("feeder_series_without_market") == 0)
    said = [line for line in logs if line["event"] == "series_without_market"]
    assert [line["series"] for line in said] == ["btc-9999h"]
    assert re.search(why, said[0]["why"])
    assert len(logs) <= 6


async def test_one_series_that_cannot_exist_is_a_problem_beside_one_that_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "NO_MARKET_S", 0.2)
    bench.table = SessionTable([SERIES, parse_series("bct-15m")])
    bench.gamma.answer = lambda slug: (200, listing(slug) if slug.startswith("btc") else "[]")
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: bench.discovery.problem() is not None)
        assert "market of bct-15m is followed: bct-updown-15m-" in str(bench.discovery.problem())
        await bench.until(lambda: len(bench.table) == 2)


async def test_gamma_that_is_not_there_is_a_problem_once_a_window_began_without_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "NO_MARKET_S", 0.2)
    async with bench.gamma.serve():
        pass  # now the port is known and free
    async with bench.running():
        await bench.until(lambda: bench.discovery.problem() is not None)
        assert "Gamma: Client" in str(bench.discovery.problem())


async def test_gamma_that_never_answers_is_a_problem_while_the_first_look_up_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "NO_MARKET_S", 0.2)
    bench.gamma.hangs = "all"
    with capture_logs() as logs:
        async with bench.gamma.serve(), bench.running():
            await bench.until(lambda: bench.discovery.problem() is not None)
            await bench.until(lambda: bench.value("feeder_series_without_market") == 1)
            assert len(bench.gamma.asked) == 1
            problem = str(bench.discovery.problem())
    assert "Gamma has not answered about it" in problem
    assert [line["event"] for line in logs] == ["series_without_market"]


async def test_a_market_that_is_followed_is_no_problem_while_gamma_never_answers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "NO_MARKET_S", 0.2)
    monkeypatch.setattr(discovery, "REFRESH_S", 0.02)
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: len(bench.table) == 2)
        bench.gamma.hangs = "all"
        asked = len(bench.gamma.asked)
        await bench.until(lambda: len(bench.gamma.asked) > asked)
        for _ in range(40):
            await asyncio.sleep(0.01)  # longer than NO_MARKET_S: about what it does NOT say
            assert bench.discovery.problem() is None


async def test_running_windows_are_looked_up_before_those_to_come(bench: Bench) -> None:
    bench.table = SessionTable([SERIES, parse_series("eth-9999h")])
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: len(bench.gamma.asked) == 4)
    assert [slug.partition("-")[0] for slug in bench.gamma.asked] == ["btc", "eth"] * 2


@pytest.mark.parametrize("status", [429, 403])
@pytest.mark.parametrize(
    ("header", "least_s"),
    [("1", 1.0), ("", 0.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5), ("never", 0.5), ("9e9", 0.5)],
)
async def test_a_venue_that_wants_fewer_requests_is_asked_nothing_for_as_long_as_it_says(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, status: int, header: str, least_s: float
) -> None:
    monkeypatch.setattr(discovery, "RETRY_S", 0.5)
    times: list[float] = []

    def refuse(_: str) -> tuple[int, str]:
        times.append(time.monotonic())
        return status, "slow down"

    bench.gamma.answer = refuse
    bench.gamma.headers = {"Retry-After": header} if header else {}
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: len(times) == 2)
    assert times[1] - times[0] >= least_s


async def test_a_wait_of_hours_is_cut(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "BACK_OFF_MAX_S", 0.1)
    bench.gamma.headers = {"Retry-After": "36000"}
    bench.gamma.answer = lambda _: (429, "slow down")
    async with bench.gamma.serve(), bench.running():
        await bench.until(lambda: len(bench.gamma.asked) >= 3)


async def test_a_rejected_market_is_one_line_however_often_it_is_asked_for(bench: Bench) -> None:
    bench.gamma.answer = lambda slug: (200, listing(slug).replace("orderMinSize", "renamed"))
    with capture_logs() as logs:
        async with bench.gamma.serve(), bench.running():
            await bench.until(lambda: len(bench.gamma.asked) >= 8)
    assert [line["event"] for line in logs] == ["market_rejected"] * 2


async def test_a_fee_that_is_not_named_is_assumed_said_and_counted_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "REFRESH_S", 0.02)
    bench.gamma.answer = lambda slug: (200, listing(slug).replace("feeSchedule", "renamed"))
    with capture_logs() as logs:
        async with bench.gamma.serve(), bench.running():
            await bench.until(lambda: len(bench.gamma.asked) >= 8)
    assert [line["event"] for line in logs].count("fee_assumed") == 2
    assert bench.value("feeder_fees_assumed_total") == 2
    assert {session.info.fee.rate for session in bench.table} == {Decimal("0.07")}
