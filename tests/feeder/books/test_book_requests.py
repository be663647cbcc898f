from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from feeder.books import book_requests
from feeder.books.book_requests import AT_ONCE_MAX, BookRequests
from feeder.books.metrics import FeederMetrics
from feeder.core.market.market_session import MarketSession
from feeder.core.market.session_table import BookRequest
from protocol.book import Proof
from tests.support.session_bench import SERIES, Bench, info_of

Answer = Callable[[str], Awaitable[web.StreamResponse]]


class Looks(Bench):
    """Asks a real HTTP server, whose answers are the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = time.time_ns() // 1_000_000
        listed = info_of(self.market, start_ms=self.now_ms - 60_000, end_ms=self.now_ms + 600_000)
        self.table.follow(listed, self.now_ms)
        self.table.connected(0, self.tokens, self.now_ms - 60_000)
        self.metrics = FeederMetrics([SERIES])
        self.offered: asyncio.Queue[MarketSession] = asyncio.Queue()
        self.asked: list[tuple[float, str]] = []
        """(monotonic seconds, token)."""
        self.answered: Answer = self.truth
        self.under_way = self.under_way_max = 0

    async def truth(self, token_id: str) -> web.Response:
        (token,) = [each for each in self.market.tokens if each.token_id == token_id]
        return web.Response(body=self.market.rest_book(token))

    def due(self) -> list[BookRequest]:
        self.now_ms = time.time_ns() // 1_000_000
        return list(self.table.take_due(self.now_ms).requests)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0

    def failed(self) -> float:
        return self.value("book_looks_total", result="failed")

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the counters offer nothing to wait on
            await asyncio.sleep(0.002)

    async def _book(self, request: web.Request) -> web.StreamResponse:
        token_id = request.query["token_id"]
        self.asked.append((time.monotonic(), token_id))
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            return await self.answered(token_id)
        finally:
            self.under_way -= 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BookRequests]:
        app = web.Application()
        app.add_routes([web.get("/book", self._book)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        requests = BookRequests(url, self.table, self.metrics, self.offered.put_nowait)
        task = asyncio.create_task(requests.run())
        try:
            async with asyncio.timeout(30):
                yield requests
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await runner.cleanup()


@pytest.fixture
def bench() -> Looks:
    return Looks()


async def test_books_that_are_missing_are_asked_for_taken_and_offered(bench: Looks) -> None:
    async with bench.running() as requests:
        for request in bench.due():
            requests.ask(request)
        assert await bench.offered.get() is bench.session
    assert {token for _, token in bench.asked} == bench.tokens
    assert bench.value("book_looks_total", result="taken") == 2
    snapshot = bench.show()
    assert snapshot is not None
    assert snapshot.proof is Proof.CHECKSUM


async def test_a_silent_market_that_is_as_it_was_is_told_apart(bench: Looks) -> None:
    bench.send(0, bench.opening())
    session, (token_id, _) = bench.session, sorted(bench.tokens)
    async with bench.running() as requests:
        requests.ask(BookRequest(session, token_id, False))
        await bench.until(lambda: bench.value("book_looks_total", result="nothing_new") == 1)
        bench.now_ms += 1
        bench.change()
        requests.ask(BookRequest(session, token_id, False))
        await bench.until(lambda: bench.value("book_looks_total", result="newer") == 1)
    assert bench.offered.empty()


async def _hangs(_: str) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _text(body: bytes | str, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body if isinstance(body, bytes) else body.encode())


async def _of_another_token(_: str) -> web.Response:
    market = Bench().market
    book = json.loads(market.rest_book(market.tokens[0])) | {"asset_id": "1"}
    return web.json_response(book)


async def _oversized(token_id: str) -> web.Response:
    """The right book, and blanks."""
    (token,) = [each for each in Bench().market.tokens if each.token_id == token_id]
    return web.Response(body=Bench().market.rest_book(token) + b" " * (3 << 20))


FAILURES: dict[str, Answer] = {
    "500": lambda _: _text("oops", 500),
    "404": lambda _: _text('{"error":"No orderbook exists for the requested token id"}', 404),
    "429": lambda _: _text("slow down", 429),
    "hangs": _hangs,
    "nothing": lambda _: _text(b""),
    "html": lambda _: _text("<html>"),
    "no book": lambda _: _text("{}"),
    "not utf-8": lambda _: _text(b'{"market":"\xff"}'),
    "oversized": _oversized,
    "another token": _of_another_token,
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_ends_the_look_so_that_the_token_is_asked_for_again(
    bench: Looks, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_requests, "REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr(book_requests, "REFUSED_PAUSE_S", 0.2)
    bench.answered = FAILURES[failure]
    with capture_logs() as logs:
        async with bench.running() as requests:
            for request in bench.due():
                requests.ask(request)
            await bench.until(lambda: bench.failed() == 2)
            assert bench.offered.empty()
            bench.answered = bench.truth
            while not bench.session.ready:
                for request in bench.due():
                    requests.ask(request)
                await asyncio.sleep(0.01)  # the table's clock is the real one here
    assert 1 <= len([line for line in logs if line["event"] == "book_request_failed"]) <= 2
    assert bench.value("book_looks_total", result="taken") == 2


async def test_a_server_that_cuts_the_answer_is_a_failure(bench: Looks) -> None:
    async def half(_: str) -> web.StreamResponse:
        raise ConnectionResetError

    bench.answered = half
    async with bench.running() as requests:
        for request in bench.due():
            requests.ask(request)
        await bench.until(lambda: bench.failed() == 2)


async def test_not_more_at_once_nor_a_second_than_allowed(bench: Looks) -> None:
    async def slow(token_id: str) -> web.Response:
        await asyncio.sleep(0.1)
        return await bench.truth(token_id)

    bench.answered = slow
    session, (token_id, _) = bench.session, sorted(bench.tokens)
    async with bench.running() as requests:
        for _ in range(40):
            requests.ask(BookRequest(session, token_id, True))
        await bench.until(lambda: len(bench.asked) == 40)
    assert bench.under_way_max <= AT_ONCE_MAX
    at_s = [asked_s for asked_s, _ in bench.asked]
    assert at_s[-1] - at_s[0] >= 39 / book_requests.REQUESTS_PER_S - 0.05


async def test_who_waits_for_books_comes_before_who_only_wonders(
    bench: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_requests, "AT_ONCE_MAX", 1)
    session, (wonders, waits) = bench.session, sorted(bench.tokens)
    async with bench.running() as requests:
        for _ in range(3):
            requests.ask(BookRequest(session, wonders, False))
        requests.ask(BookRequest(session, waits, True))
        await bench.until(lambda: len(bench.asked) == 4)
    assert [token for _, token in bench.asked].index(waits) == 0


async def test_after_a_429_nobody_is_asked_for_a_while(
    bench: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_requests, "REFUSED_PAUSE_S", 0.3)
    bench.answered = FAILURES["429"]
    session, (token_id, _) = bench.session, sorted(bench.tokens)
    async with bench.running() as requests:
        requests.ask(BookRequest(session, token_id, True))
        await bench.until(lambda: bench.failed() == 1)
        for _ in range(5):
            requests.ask(BookRequest(session, token_id, True))
        await bench.until(lambda: len(bench.asked) == 2)
    first_s, second_s, *_ = (asked_s for asked_s, _ in bench.asked)  # a third if this is slow
    assert second_s - first_s >= 0.25


async def test_a_market_not_started_yet_fails_in_silence(bench: Looks) -> None:
    bench.session.info = msgspec.structs.replace(
        bench.session.info, start_ms=bench.now_ms + 300_000
    )
    bench.answered = FAILURES["404"]
    with capture_logs() as logs:
        async with bench.running() as requests:
            for request in bench.due():
                requests.ask(request)
            await bench.until(lambda: bench.failed() == 2)
    assert logs == []


async def test_cancelled_in_the_middle_of_a_look_it_ends(bench: Looks) -> None:
    bench.answered = _hangs
    async with bench.running() as requests:
        for request in bench.due():
            requests.ask(request)
        await bench.until(lambda: bench.under_way == 2)
