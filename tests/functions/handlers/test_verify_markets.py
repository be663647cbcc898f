"""A market is traded when the CLOB confirms what the listing says of it, and only then."""

from __future__ import annotations

import asyncio
import itertools
import time

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.core.hold import HoldReason
from functions.handlers import verify_markets
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import RecordsError
from protocol.market import MarketInfo
from runtime.process import stop_tasks
from tests.support.fake_ports import ScriptedClob
from tests.support.metrics_builders import worker_metrics
from tests.support.trading_builders import clob_market, market, snapshot
from venue.wire.clob_market import ClobMarket

NO_ANSWER = RecordsError("no answer within 5 s")


def swapped(info: MarketInfo) -> MarketInfo:
    """The listing with each outcome at the other one's token."""
    one, other = info.outcomes
    outcomes = (
        msgspec.structs.replace(one, name=other.name),
        msgspec.structs.replace(other, name=one.name),
    )
    return msgspec.structs.replace(info, outcomes=outcomes)


class Bench:
    def __init__(self) -> None:
        self.clob = ScriptedClob()
        self.metrics = worker_metrics()
        self.verifier = MarketVerifier(self.clob, self.metrics)

    def reason(self, info: MarketInfo) -> HoldReason | None:
        doubt = self.verifier.doubt(info)
        return None if doubt is None else doubt.reason

    def gauge(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"worker_markets_{name}")


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_market_is_not_traded_before_the_clob_has_confirmed_it(bench: Bench) -> None:
    info = market()
    assert bench.reason(info) is HoldReason.MARKET_UNVERIFIED
    bench.verifier.note(info)
    assert bench.reason(info) is HoldReason.MARKET_UNVERIFIED
    assert bench.gauge("unverified") == 1
    await bench.verifier.verify(info)
    assert bench.reason(info) is None
    assert (bench.gauge("unverified"), bench.gauge("differing")) == (0, 0)


async def test_running_markets_that_the_clob_does_not_confirm_are_a_problem(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = time.time_ns() // 1_000_000
    running = market(start_ms=now_ms - 1_000, end_ms=now_ms + 800_000)
    to_come = market("0xc2", start_ms=now_ms + 800_000, end_ms=now_ms + 1_600_000)
    bench.clob.answers["0xc1"] = bench.clob.answers["0xc2"] = NO_ANSWER
    await bench.verifier.verify(to_come)
    monkeypatch.setattr(verify_markets, "UNCONFIRMED_S", -1.0)
    assert bench.verifier.problem() is None  # nothing runs yet
    await bench.verifier.verify(running)
    assert bench.verifier.problem() == (
        "the CLOB confirms none of 1 running markets: no answer within 5 s"
    )
    monkeypatch.setattr(verify_markets, "UNCONFIRMED_S", 30.0)
    assert bench.verifier.problem() is None  # not for long yet
    monkeypatch.setattr(verify_markets, "UNCONFIRMED_S", -1.0)
    del bench.clob.answers["0xc1"]
    await bench.verifier.verify(running)
    assert bench.verifier.problem() is None


async def test_a_listing_that_swaps_the_outcomes_stops_the_market_loudly(bench: Bench) -> None:
    info = swapped(market())
    with capture_logs() as logs:
        await bench.verifier.verify(info)
        await bench.verifier.verify(info)
    assert bench.reason(info) is HoldReason.MARKET_DIFFERS
    assert bench.gauge("differing") == 1
    [alarm] = [line for line in logs if line["log_level"] == "critical"]  # once, not each time
    assert alarm["event"] == "market_differs"
    assert alarm["listing"] == {"0xc1-down": "Up", "0xc1-up": "Down"}
    assert alarm["clob"] == {"0xc1-down": "Down", "0xc1-up": "Up"}


async def test_a_swap_that_comes_later_with_the_listing_stops_the_market_at_once(
    bench: Bench,
) -> None:
    info = market()
    await bench.verifier.verify(info)
    bench.verifier.note(swapped(info))
    assert bench.reason(swapped(info)) is HoldReason.MARKET_DIFFERS
    # A book from before the swap is no better: the two sources contradict each other.
    assert bench.reason(info) is HoldReason.MARKET_DIFFERS
    bench.verifier.note(info)
    assert bench.reason(info) is None


async def test_a_swap_at_the_clob_stops_the_market_and_ends_when_they_agree(bench: Bench) -> None:
    info = market()
    await bench.verifier.verify(info)
    bench.clob.answers["0xc1"] = clob_market(outcomes=swapped(info).outcomes)
    await bench.verifier.verify(info)
    assert bench.reason(info) is HoldReason.MARKET_DIFFERS
    del bench.clob.answers["0xc1"]
    with capture_logs() as logs:
        await bench.verifier.verify(info)
    assert bench.reason(info) is None
    assert [line["event"] for line in logs] == ["market_agrees"]


async def test_a_book_that_is_listed_otherwise_than_the_newest_is_compared_itself(
    bench: Bench,
) -> None:
    info = market()
    await bench.verifier.verify(info)
    assert bench.reason(swapped(info)) is HoldReason.MARKET_DIFFERS
    assert bench.reason(msgspec.structs.replace(info, tick_size_e4=10)) is None


async def test_without_an_answer_a_new_market_waits_and_a_confirmed_one_goes_on(
    bench: Bench,
) -> None:
    info = market()
    bench.clob.answers["0xc1"] = NO_ANSWER
    with capture_logs() as logs:
        await bench.verifier.verify(info)
    assert bench.reason(info) is HoldReason.MARKET_UNVERIFIED
    assert [(line["event"], line["error"]) for line in logs] == [
        ("market_not_verified", "no answer within 5 s")
    ]
    del bench.clob.answers["0xc1"]
    await bench.verifier.verify(info)
    bench.clob.answers["0xc1"] = NO_ANSWER
    await bench.verifier.verify(info)
    assert bench.reason(info) is None
    # But silence does not undo a contradiction.
    bench.verifier.note(swapped(info))
    await bench.verifier.verify(info)
    assert bench.reason(info) is HoldReason.MARKET_DIFFERS


class Ticking:
    """`time` and `asyncio` of the module: each wait is a second, and the last one ends it."""

    gather = staticmethod(asyncio.gather)

    def __init__(self) -> None:
        self.now_s = 0

    def monotonic(self) -> int:
        return self.now_s

    def time_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, _: float) -> None:
        self.now_s += 1
        if self.now_s % 700 == 0:
            raise asyncio.CancelledError


async def test_questions_are_repeated_ever_later_and_confirmed_markets_asked_rarely(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Ticking()
    monkeypatch.setattr(verify_markets, "time", clock)
    monkeypatch.setattr(verify_markets, "asyncio", clock)
    asked_at_s: list[int] = []
    ask = bench.clob.market

    async def noted(condition_id: str) -> ClobMarket:
        asked_at_s.append(clock.now_s)
        return await ask(condition_id)

    monkeypatch.setattr(bench.clob, "market", noted)
    bench.clob.answers["0xc1"] = NO_ANSWER
    bench.verifier.note(market())
    with pytest.raises(asyncio.CancelledError):
        await bench.verifier._keep_asking()
    gaps = [after - before for before, after in itertools.pairwise(asked_at_s)]
    assert gaps[:5] == [1, 2, 4, 8, 16]
    assert set(gaps[5:]) == {30}

    del bench.clob.answers["0xc1"]
    asked_at_s.clear()
    with pytest.raises(asyncio.CancelledError):
        await bench.verifier._keep_asking()
    assert [after - before for before, after in itertools.pairwise(asked_at_s)] == [300, 300]


async def test_what_has_ended_is_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_markets, "LOOK_EVERY_S", 0)
    bench.verifier.note(market("0xover", end_ms=1))
    bench.verifier.note(market("0xnew"))
    running = asyncio.create_task(bench.verifier.upkeep())
    async with asyncio.timeout(30):
        while bench.gauge("unverified"):  # noqa: ASYNC110 - a gauge offers nothing to wait on
            await asyncio.sleep(0)
    await stop_tasks(running)
    assert bench.reason(market("0xover", end_ms=1)) is HoldReason.MARKET_UNVERIFIED
    assert bench.reason(market("0xnew")) is None


async def test_a_clob_that_does_not_answer_keeps_no_ended_market_in_the_gauges(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_markets, "LOOK_EVERY_S", 0.01)
    asked = asyncio.Event()

    async def never(_: str) -> ClobMarket:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    await bench.verifier.verify(swapped(market("0xends", end_ms=int(1000 * time.time()) + 200)))
    assert bench.gauge("differing") == 1
    monkeypatch.setattr(bench.clob, "market", never)
    bench.verifier.note(market("0xnew"))
    running = asyncio.create_task(bench.verifier.upkeep())
    async with asyncio.timeout(30):
        await asked.wait()
        while bench.gauge("differing"):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    await stop_tasks(running)


async def test_the_stricter_facts_are_traded_on(bench: Bench) -> None:
    book = snapshot()
    assert bench.verifier.as_traded(book) is book
    await bench.verifier.verify(book.market)
    assert bench.verifier.as_traded(book) is book
    bench.clob.answers["0xc1"] = clob_market(min_order_size_e6=15_000_000, taker_delay_ms=3_000)
    await bench.verifier.verify(book.market)
    traded = bench.verifier.as_traded(book)
    assert traded.market.min_order_size_e6 == 15_000_000
    assert traded.books == book.books
    assert bench.reason(traded.market) is None
    assert bench.verifier.taker_delay_ms("0xc1") == 3_000
    assert bench.verifier.taker_delay_ms("0xother") is None
