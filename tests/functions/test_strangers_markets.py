"""Whoever may publish books can name ever new markets: all that a worker keeps is bounded."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from structlog.testing import capture_logs

from functions.adapters.book_pull import Delivery
from functions.core import refusal_throttle
from functions.core.fencing import MARKETS_MAX
from functions.core.hold import HoldReason
from functions.handlers import verify_markets
from functions.handlers.verify_markets import QUESTIONS_MAX
from functions.ports import RecordsError
from protocol.bounds import EPOCH_MS_MAX
from protocol.market import MarketInfo
from protocol.snapshot import encode_snapshot
from runtime.instant import Instant
from tests.functions.test_worker import Desk
from tests.support.trading_builders import clob_market, market, snapshot
from venue.wire.clob_market import ClobMarket


class Flood(Desk):
    """A desk whose CLOB does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.clob.market = self.never  # type: ignore[method-assign]

    async def never(self, condition_id: str) -> ClobMarket:
        self.asked += 1
        await asyncio.sleep(3600)
        raise RecordsError(condition_id)

    def book(self, info: MarketInfo) -> None:
        payload = encode_snapshot(snapshot(of=info))
        self.worker._handle(Delivery(payload, "", Instant()))

    def of_strangers(self, count: int, first: int = 0) -> None:
        for number in range(first, first + count):
            self.book(market(f"0x{number:064x}", end_ms=EPOCH_MS_MAX))

    def kept(self) -> set[int]:
        worker = self.worker
        return {
            *(len(worker._warming), len(worker._warmed), len(worker._held)),
            *(len(self.verifier._known), len(self.fence._newest), len(worker._memories)),
        }

    async def end(self) -> None:
        await self.worker.finish()
        await self.settle()


async def test_ever_new_markets_leave_as_much_behind_as_the_bound_and_no_more() -> None:
    desk = Flood()
    with capture_logs() as logs:
        desk.of_strangers(3 * MARKETS_MAX)
        await desk.settle()
    assert desk.kept() == {MARKETS_MAX}
    assert desk.asked == QUESTIONS_MAX
    refused = desk.metrics.accounts["s"].holds[HoldReason.TOO_MANY_MARKETS]._value.get()
    assert refused == 2 * MARKETS_MAX
    [line] = [each for each in logs if each["event"] == "too_many_markets"]
    assert line["log_level"] == "error"
    await desk.end()


async def test_a_market_that_is_known_is_dealt_with_whatever_strangers_do() -> None:
    desk = Flood()
    desk.book(market())
    desk.of_strangers(2 * MARKETS_MAX)
    desk.book(market())
    assert "0xc1" in desk.verifier._known
    assert desk.metrics.accounts["s"].holds[HoldReason.SUPERSEDED]._value.get() == 0
    await desk.end()


@pytest.mark.parametrize("over", [True, False])
async def test_markets_that_are_over_or_never_confirmed_make_room(
    over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_markets, "ROOM_EVERY_S", 0)
    if not over:
        monkeypatch.setattr(verify_markets, "GIVEN_UP_S", -1)
    desk = Flood()
    desk.of_strangers(MARKETS_MAX)
    await desk.settle()
    for known in desk.verifier._known.values():
        known.listed = market(end_ms=1) if over else known.listed
    desk.book(market())
    assert list(desk.verifier._known) == ["0xc1"]
    assert (list(desk.worker._warming), set(desk.worker._warmed)) == (["0xc1"], {"0xc1"})
    assert len(desk.exchange.forgotten) == MARKETS_MAX
    await desk.settle()
    assert desk.asked <= 2 * QUESTIONS_MAX  # those that were under way, and what came after
    assert list(desk.worker._warming) == ["0xc1"]
    await desk.end()


async def test_a_market_that_is_over_is_neither_asked_about_nor_warmed_nor_told_of_again() -> None:
    """Its feeder goes on for seconds after the end, and the stream has its last book for longer."""
    desk = Desk()
    desk.exchange.warm_now.set()
    asked: list[str] = []

    async def contradicts(condition_id: str) -> ClobMarket:
        asked.append(condition_id)
        return clob_market(condition_id, neg_risk=True)

    desk.clob.market = contradicts  # type: ignore[method-assign]
    info = market(end_ms=time.time_ns() // 1_000_000 + 100)
    with capture_logs() as logs:
        for _ in range(10):
            desk.worker._handle(Delivery(encode_snapshot(snapshot(of=info)), "", Instant()))
            await asyncio.sleep(0.02)
            desk.verifier._forget_ended()
    assert asked == desk.exchange.warmed == desk.exchange.forgotten == ["0xc1"]
    assert [each["event"] for each in logs] == ["market_differs"]
    assert not desk.verifier._known
    assert desk.metrics.accounts["s"].holds[HoldReason.TOO_CLOSE_TO_END]._value.get() > 0
    await desk.settle()


async def test_what_is_given_up_before_its_turn_to_be_asked_is_not_known_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Flood()
    for number in range(MARKETS_MAX):
        desk.verifier.note(market(f"0x{number:064x}"))
    monkeypatch.setattr(verify_markets, "LOOK_EVERY_S", 0)
    asking = asyncio.create_task(desk.verifier._keep_asking())
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # what is due has been listed, and nothing asked yet
    monkeypatch.setattr(verify_markets, "GIVEN_UP_S", -1)
    assert desk.verifier.takes("0xnew")
    await desk.settle()
    assert not desk.verifier._known
    assert desk.asked == 0
    asking.cancel()
    await desk.end()


async def test_one_market_under_ever_new_names_of_outcomes_reports_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusal_throttle, "_KEYS_MAX", 500)  # its own are seconds of CPU time
    throttle = refusal_throttle.RefusalThrottle(60_000)
    said = [throttle.admit(("0xc1", str(n), "x"), 1_000) for n in range(1_000)]
    assert sum(each is not None for each in said) == 500


async def test_bad_books_are_one_line_a_minute_with_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    with capture_logs() as logs:
        for _ in range(50):
            desk.worker._handle(Delivery(b"no book", "", Instant()))
        [line] = [each for each in logs if each["event"] == "book_malformed"]
        monkeypatch.setattr(desk.worker._malformed, "_next_at_s", 0.0)
        desk.worker._handle(Delivery(b"no book", "", Instant()))
    assert line["unlogged_before"] == 0
    assert logs[-1]["unlogged_before"] == 49
    assert desk.metrics.malformed._value.get() == 51


async def test_a_listing_that_flips_with_each_book_alarms_once_a_minute() -> None:
    desk = Desk()
    info = market()
    one, other = info.outcomes
    flipped = msgspec.structs.replace(
        info,
        outcomes=(
            msgspec.structs.replace(one, name=other.name),
            msgspec.structs.replace(other, name=one.name),
        ),
    )
    await desk.verifier.verify(info)
    with capture_logs() as logs:
        for _ in range(50):
            desk.verifier.note(flipped)
            desk.verifier.note(info)
    assert [each["event"] for each in logs] == ["market_differs", "market_agrees"]
