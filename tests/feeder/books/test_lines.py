"""Both lines against the sandbox's venue: real sockets, real `GET /book`, faults on single
connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pytest

from feeder.books import lines as lines_module
from feeder.books.book_requests import BookRequests
from feeder.books.connection import LineTimes
from feeder.books.lines import MarketLines
from feeder.books.metrics import FeederMetrics
from feeder.core.market import session_table
from feeder.core.market.market_session import DARK_AFTER_MS, LINES, MarketSession
from feeder.core.market.session_table import SessionTable
from protocol.book import PUBLISHED_LEVELS_MAX, Proof
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from protocol.snapshot import BookSnapshot
from runtime.process import first_failure, stop_tasks
from sandbox.simulator import Market, Venue, serve
from sandbox.simulator.market_faults import LATE_BOOK, LOST, NO_BOOK, MarketConnection
from tests.support.stalls import lived_time
from venue import websocket
from venue.wire.subscriptions import TOKENS_MAX

SERIES = parse_series("btc-15m")
SHARES = 1_000_000
TIMES = LineTimes(upkeep_every_s=0.02)
LATE_MAX_MS = 300
"""Tight, but a busy machine may be late as well."""
PAUSE_MAX_S = 0.25
"""Shorter than finding a line frozen; a change usually takes a millisecond."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Bench:
    """A venue, a session table fed by both lines, and every snapshot that is offered."""

    def __init__(self) -> None:
        self.venue = Venue(keep_versions=1_000)
        self.table = SessionTable([SERIES], LATE_MAX_MS)
        self.metrics = FeederMetrics([SERIES])
        self.offers = 0
        self.shown: dict[str, BookSnapshot] = {}
        """The newest by slug."""
        self.lines: MarketLines
        self.clob_url = ""
        """Where books are looked up; empty: at the venue."""

    def add(self, number: int = 0, *, ends_in_s: float = 600) -> Market:
        end_ms = now_ms() + int(ends_in_s * 1000)
        market = self.venue.add_market(
            f"btc-updown-15m-{number}", start_ms=end_ms - 900_000, end_ms=end_ms
        )
        self.venue.set_book(market.token("Up"), [(5_200, 100 * SHARES)], [(5_300, 50 * SHARES)])
        return market

    def follow(self, market: Market) -> None:
        info = MarketInfo(
            condition_id=market.condition_id,
            slug=market.slug,
            series=SERIES.name,
            outcomes=(
                Outcome(name="Up", token_id=market.token("Up")),
                Outcome(name="Down", token_id=market.token("Down")),
            ),
            start_ms=market.start_ms,
            end_ms=market.end_ms,
            tick_size_e4=market.tick_size_e4,
            min_order_size_e6=market.min_order_size_e6,
            fee=market.fee,
            neg_risk=market.neg_risk,
            accepting=True,
        )
        self.table.follow(info, now_ms())

    def change(self, market: Market, size: int) -> None:
        self.venue.change_level(market.token("Up"), "BUY", 4_700, size * SHARES)

    def connections(self) -> tuple[MarketConnection, ...]:
        return tuple(self.venue.market_feed.connections)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"feeder_{name}", labels) or 0.0

    def lost(self) -> list[int]:
        """Connections lost, by line."""
        return [int(self.value("reconnects_total", line=str(line))) for line in range(LINES)]

    def session(self, market: Market) -> MarketSession:
        return next(s for s in self.table if s.info.condition_id == market.condition_id)

    def complete(self, market: Market) -> bool:
        """Whether both lines have it, proven."""
        return all(view.proven for view in self.session(market).views)

    def _offer(self, session: MarketSession) -> None:
        """As the publisher: build the snapshot, and compare it with the venue's books."""
        self.offers += 1
        snapshot = self.table.snapshot(session, time.time_ns(), epoch=1)
        if snapshot is None:
            return
        if snapshot.proof is not Proof.NONE:
            assert snapshot.proof is Proof.CHECKSUM
            for book in snapshot.books:
                levels = self.venue.version(book.token_id, book.hash)
                assert levels is not None
                bids, asks = levels
                assert book.bids == bids[:PUBLISHED_LEVELS_MAX]
                assert book.asks == asks[:PUBLISHED_LEVELS_MAX]
        self.shown[session.info.slug] = snapshot

    def has_shown(self, market: Market, size: int) -> bool:
        """Whether the change to this size was offered."""
        snapshot = self.shown.get(market.slug)
        return snapshot is not None and (4_700, size * SHARES) in snapshot.books[0].bids

    async def until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 - the table and the counters offer nothing to wait on
            await asyncio.sleep(0.002)

    @asynccontextmanager
    async def running(self, times: LineTimes = TIMES) -> AsyncIterator[None]:
        async with serve(self.venue) as url:
            requests = BookRequests(self.clob_url or url, self.table, self.metrics, self._offer)
            self.lines = MarketLines(
                url.replace("http", "ws", 1) + "/ws/market",
                self.table,
                requests,
                self.metrics,
                self._offer,
                times,
            )
            task = asyncio.create_task(first_failure(requests.run(), self.lines.run()))
            try:
                async with asyncio.timeout(20):
                    yield
                assert not task.done(), task.exception()
            finally:
                await stop_tasks(task)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(websocket, "STABLE_S", 0)  # reconnect at once
    return Bench()


async def test_every_market_is_on_both_lines_and_a_change_is_shown_once(bench: Bench) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running():
        await bench.until(lambda: bench.complete(market))
        assert [len(each.tokens) for each in bench.connections()] == [2, 2]
        assert bench.lines.problem() is None
        offers = bench.offers
        for size in (1, 2, 3):
            bench.change(market, size)
            await bench.until(partial(bench.has_shown, market, size))
            await bench.until(lambda: bench.complete(market))
        assert bench.offers == offers + 3
        await bench.until(lambda: bench.value("connected") == 2)


async def test_nothing_to_follow_needs_no_connection_and_is_no_problem(bench: Bench) -> None:
    async with bench.running():
        await asyncio.sleep(0.1)  # this is about what it does NOT do
        assert bench.connections() == ()
        assert bench.lines.problem() is None
        assert not bench.lines.fit  # whoever has a market can publish it


async def test_a_connection_has_at_most_so_many_tokens(bench: Bench) -> None:
    markets = [bench.add(number) for number in range(TOKENS_MAX // 2 + 1)]
    for market in markets:
        bench.follow(market)
    async with bench.running():
        await bench.until(lambda: all(map(bench.complete, markets)))
        assert sorted(len(each.tokens) for each in bench.connections()) == [2, 2, 200, 200]
        bench.table.drop_ended(markets[-1].end_ms + session_table.END_GRACE_MS + 1)
        for market in markets[:-1]:
            bench.follow(market)
        await bench.until(lambda: len(bench.connections()) == 2)  # those without tokens are closed
        assert bench.lost() == [0, 0]


async def test_a_connection_that_does_not_end_keeps_nobody_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "TOKENS_MAX", 2)
    first, ends, new = (bench.add(number) for number in range(3))
    bench.follow(first)
    bench.follow(ends)
    async with bench.running():
        await bench.until(lambda: bench.complete(first) and bench.complete(ends))
        monkeypatch.setattr(lines_module, "stop_tasks", lambda *_: asyncio.Event().wait())
        bench.table.drop_ended(ends.end_ms + session_table.END_GRACE_MS + 1)
        bench.follow(first)
        await bench.until(lambda: bench.value("connected") == 2)
        bench.follow(new)
        await bench.until(lambda: bench.complete(new))
        monkeypatch.undo()


async def test_windows_roll_on_the_same_connections_without_a_lost_change(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_table, "END_GRACE_MS", 100)
    now, following = bench.add(0, ends_in_s=0.6), bench.add(1)
    bench.follow(now)
    async with bench.running():
        await bench.until(lambda: bench.complete(now))
        bench.follow(following)
        bench.lines.nudge()
        await bench.until(lambda: bench.complete(following))
        session, size = bench.session(now), 0
        while now.condition_id in bench.table:
            size += 1
            for market in (now, following):
                bench.change(market, size)
            await bench.until(partial(bench.has_shown, following, size))
        assert session.ready
        tokens = {following.token("Up"), following.token("Down")}
        await bench.until(lambda: all(each.tokens == tokens for each in bench.connections()))
        assert size > 1
        assert [each.number for each in bench.connections()] == [0, 1]
        assert bench.lost() == [0, 0]
        assert not any(bench.value("books_suspect_total", cause=c) for c in ("frozen", "checksum"))


@pytest.mark.parametrize("fault", [NO_BOOK, LATE_BOOK])
async def test_a_book_that_does_not_come_after_a_later_subscription_is_fetched(
    bench: Bench, fault: str
) -> None:
    now, following = bench.add(0), bench.add(1)
    bench.follow(now)
    async with bench.running():
        await bench.until(lambda: bench.complete(now))
        for connection in bench.connections():
            connection.inject(fault, after=1_000)
        bench.follow(following)
        bench.lines.nudge()
        await bench.until(lambda: bench.complete(following))
        assert bench.value("book_looks_total", result="taken") >= 2
        assert bench.lost() == [0, 0]
        bench.change(following, 7)
        await bench.until(lambda: bench.has_shown(following, 7))
        await bench.until(lambda: bench.complete(following))


async def keep_changing(bench: Bench, market: Market, seconds: float) -> list[float]:
    """Changes every 20 ms; how long each took to be shown, in seconds."""
    took, until_s, size = [], time.monotonic() + seconds, 1_000
    async with lived_time() as clock:
        while time.monotonic() < until_s:
            size += 1
            began_s = clock.now_s()
            bench.change(market, size)
            await bench.until(partial(bench.has_shown, market, size))
            took.append(clock.now_s() - began_s)
            await asyncio.sleep(0.02)
    return took


@pytest.mark.parametrize("line", range(LINES))
@pytest.mark.parametrize(
    "deed", [MarketConnection.cut, MarketConnection.cut_midframe, MarketConnection.close_1009]
)
async def test_losing_a_line_pauses_nothing_and_leaves_the_other_alone(
    bench: Bench, deed: Callable[[MarketConnection], None], line: int
) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running():
        await bench.until(lambda: bench.complete(market))
        changing = asyncio.create_task(keep_changing(bench, market, 0.6))
        await asyncio.sleep(0.1)
        number = next(  # which of the venue's connections is this line's
            each for each in bench.connections() if each.number == line
        ).number
        deed(bench.connections()[number])
        took = await changing
        assert max(took) < PAUSE_MAX_S
        await bench.until(lambda: bench.complete(market))
        assert sum(bench.lost()) == 1
        assert bench.value("markets_darkened_total") == 0


@pytest.mark.parametrize("deed", [MarketConnection.freeze, MarketConnection.half_open])
async def test_a_line_that_freezes_pauses_nothing_and_is_replaced_in_time(
    bench: Bench, deed: Callable[[MarketConnection], None]
) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running(), lived_time() as clock:
        await bench.until(lambda: bench.complete(market))
        frozen_at_s = clock.now_s()
        deed(bench.connections()[0])
        changing = asyncio.create_task(keep_changing(bench, market, 1))
        await bench.until(lambda: sum(bench.lost()) == 1)
        assert clock.now_s() - frozen_at_s < LATE_MAX_MS / 1000 + 0.5
        assert max(await changing) < PAUSE_MAX_S
        await bench.until(lambda: bench.complete(market))
        assert bench.value("books_suspect_total", cause="frozen") == 2
        assert sum(bench.lost()) == 1


async def test_lines_that_freeze_together_are_found_by_looks(bench: Bench) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running(), lived_time() as clock:
        await bench.until(lambda: bench.complete(market))
        await keep_changing(bench, market, 0.5)
        frozen_at_s = clock.now_s()
        for connection in bench.connections():
            connection.freeze()
        bench.change(market, 5)  # nobody hears of it
        await bench.until(lambda: bench.has_shown(market, 5))
        assert clock.now_s() - frozen_at_s < LATE_MAX_MS / 1000 + 2
        await bench.until(lambda: bench.complete(market))
        assert bench.lost() == [1, 1]


async def test_a_lost_change_is_mended_without_a_reconnect(bench: Bench) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running():
        await bench.until(lambda: bench.complete(market))
        bench.connections()[0].inject(LOST)
        bench.venue.change_level(market.token("Up"), "BUY", 4_600, 9 * SHARES)
        assert max(await keep_changing(bench, market, 1.5)) < PAUSE_MAX_S
        await bench.until(lambda: bench.complete(market))
        assert bench.value("books_suspect_total", cause="checksum") == 2
        assert bench.lost() == [0, 0]


async def test_connections_are_replaced_on_schedule_one_line_at_a_time(bench: Bench) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running(msgspec.structs.replace(TIMES, replace_every_s=0.3)):
        await bench.until(lambda: bench.complete(market))
        assert max(await keep_changing(bench, market, 1.2)) < PAUSE_MAX_S
        assert all(lost >= 2 for lost in bench.lost())
        assert bench.value("markets_darkened_total") == 0


async def test_without_any_book_or_connection_there_is_a_problem(bench: Bench) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running():
        await bench.until(lambda: bench.complete(market))
        session = bench.session(market)
        session.dark_since_ms = now_ms() - DARK_AFTER_MS
        assert bench.lines.problem() == "no book can be had of any of 1 running markets"
        session.dark_since_ms = None
        assert bench.lines.problem() is None
    assert bench.lines.problem() is not None


async def test_a_venue_that_neither_sends_nor_answers_is_a_problem_long_before_its_sockets_close(
    bench: Bench,
) -> None:
    market = bench.add()
    bench.follow(market)
    bench.clob_url = "http://127.0.0.1:9"
    async with bench.running(), lived_time() as clock:
        await bench.until(lambda: bench.complete(market))
        assert bench.lines.fit
        frozen = bench.connections()
        for connection in frozen:
            connection.freeze()
        frozen_s = clock.now_s()
        await bench.until(lambda: bench.lines.problem() is not None)
        assert bench.lines.problem() == (
            f"the market channel at {bench.lines._url} is silent, and no book request is answered"
        )
        assert not bench.lines.fit
        assert clock.now_s() - frozen_s < 4
        assert bench.connections() == frozen
        bench.venue.cut_market_connections()  # new ones bring books again
        await bench.until(lambda: bench.lines.fit)


async def test_frozen_lines_and_requests_that_are_refused_are_a_problem_and_cost_the_leases(
    bench: Bench,
) -> None:
    market = bench.add()
    bench.follow(market)
    async with bench.running():
        await bench.until(lambda: bench.complete(market))
        bench.venue.faults.book_error = 1.0
        for connection in bench.connections():
            connection.freeze()
        await bench.until(lambda: bench.lines.problem() is not None)
        assert f"{bench.lines._url} is silent, and book requests fail: HTTP 5" in str(
            bench.lines.problem()
        )
        assert not bench.lines.fit
        await bench.until(lambda: bench.value("markets_unseen") == 1)
        # Other connections bring books again, whatever `GET /book` does.
        await bench.until(lambda: bench.lines.fit)
        await bench.until(lambda: bench.lost() == [1, 1])


async def test_a_series_that_cannot_be_seen_is_a_problem_beside_one_that_can(bench: Bench) -> None:
    market, dead = bench.add(0), bench.add(1)
    bench.follow(market)
    async with bench.running():
        await bench.until(lambda: bench.complete(market))
        del bench.venue.by_token[dead.token("Up")]  # the venue does not know it any more
        bench.follow(dead)
        session = bench.session(dead)
        session.info = msgspec.structs.replace(session.info, series="eth-15m")
        session.dark_since_ms = now_ms()
        assert bench.lines.problem() == "no book can be had of any of 1 running markets of eth-15m"
        assert not bench.lines.fit
        # One that has just begun, or has not, says nothing.
        for start_ms in (now_ms() - 1_000, now_ms() + 60_000):
            session.info = msgspec.structs.replace(session.info, start_ms=start_ms)
            assert bench.lines.problem() is None


async def test_a_running_market_without_any_book_is_dark_and_costs_the_others_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feeder.core.market.market_session.DARK_AFTER_MS", 400)
    market, dead = bench.add(0), bench.add(1)
    bench.follow(market)
    async with bench.running():
        await bench.until(lambda: bench.complete(market))
        del bench.venue.by_token[dead.token("Up")]  # the venue does not know it any more
        bench.follow(dead)
        bench.lines.nudge()
        took = await keep_changing(bench, market, 1.5)
        assert max(took) < PAUSE_MAX_S
        assert bench.shown[dead.slug].proof is Proof.NONE
        assert bench.value("markets_darkened_total") == 1
        assert bench.lost() == [1, 1]  # each line once, one after the other
        assert bench.value("markets_dark") == 1
