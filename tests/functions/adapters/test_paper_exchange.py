"""Paper orders: filled from the book as it is after the delay, never from the one decided on."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from functions.adapters import paper_exchange
from functions.adapters.paper_exchange import PaperExchange
from functions.core.claim import ClaimState
from functions.core.evidence import Resolution
from functions.core.gate import GateConfig
from functions.core.lifecycle import apply_answer, apply_resolution, final
from functions.core.trade import OrderConfig, Trade
from protocol.book import Proof
from protocol.decision import Timeline
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot, with_bids
from strategies.book_imbalance import BookImbalance
from tests.support.strategies import decided
from tests.support.trading_builders import Levels, a_claim, market, snapshot
from venue.wire.order_answer import Accepted, Answer, Rejected, RejectReason

ORDER = OrderConfig(spend_e6=1_100_000)
BIDS: Levels = [("0.49", 400), ("0.48", 400)]


def traded_on(book: BookSnapshot) -> Trade:
    trade = decided(BookImbalance, book, order=ORDER)
    assert isinstance(trade, Trade)
    return trade


class Desk:
    """An order on paper that waits for its end, and the books that come meanwhile."""

    def __init__(
        self, delay_ms: int = 20, *, book_age_max_ms: int = 150, named_ms: int | None = None
    ) -> None:
        self.info = market()
        self.exchange = PaperExchange(
            delay_ms, lambda: GateConfig(book_age_max_ms=book_age_max_ms), lambda _: named_ms
        )

    def book(
        self, asks: Levels, bids: Levels = BIDS, *, of: MarketInfo | None = None, age_ms: int = 0
    ) -> BookSnapshot:
        received_at_ns = time.time_ns() - age_ms * 1_000_000
        return snapshot(bids, asks, of=of or self.info, received_at_ns=received_at_ns)

    def begin(self, decided_on: BookSnapshot, **changes: object) -> asyncio.Task[Answer]:
        self.exchange.observe(decided_on)
        trade = msgspec.structs.replace(traded_on(decided_on), **changes)

        async def order() -> Answer:
            return await self.exchange.post(await self.exchange.prepare(trade, decided_on))

        return asyncio.create_task(order())


def prices(answer: Answer) -> list[tuple[int, int]]:
    assert isinstance(answer, Accepted), answer
    return [(fill.price_e4, fill.size_e6) for fill in answer.fills]


def why(answer: Answer) -> str:
    assert isinstance(answer, Rejected), answer
    assert answer.reason is RejectReason.NO_MATCH
    return answer.text


CHEAP: Levels = [("0.50", 100), ("0.51", 100)]
DEARER: Levels = [("0.51", 1), ("0.52", 100)]


async def test_the_newest_book_after_the_delay_is_bought_level_by_level_and_final() -> None:
    desk = Desk()
    decided_on = desk.book(CHEAP)
    posted = desk.begin(decided_on)
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book([("0.50", 1), ("0.51", 100)]))
    desk.exchange.observe(desk.book(DEARER))
    answer = await posted
    assert prices(answer) == [(5_100, 1_000_000), (5_200, 1_134_615)]
    assert isinstance(answer, Accepted)
    assert (answer.status, answer.size_e6) == ("matched", 2_134_615)

    claim = a_claim(order_id=answer.fills[0].order_id, token_id=answer.fills[0].token_id)
    opened = apply_answer(claim, answer, claim.claimed_at_ms + 300, Timeline())
    assert opened is not None
    assert final(opened)
    won = Resolution(payouts_e6={claim.token_id: 1_000_000}, source="gamma")
    ended = apply_resolution(opened, won, claim.market_end_ms)
    assert ended is not None
    assert ended.state is ClaimState.SETTLED
    assert ended.pnl_e6 == 2_134_615 - answer.spend_e6 - opened.fee_e6


async def test_a_clock_that_is_set_back_during_the_delay_makes_no_old_book_young(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, real_ns = Desk(delay_ms=200), time.time_ns
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book(DEARER))
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() - 250_000_000)
    assert why(await posted) == "no book to be filled from: stale_book"


async def test_nothing_is_bought_before_the_delay_is_over() -> None:
    desk = Desk(delay_ms=80)
    began_s = time.monotonic()
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book(CHEAP, [("0.48", 400)]))
    await asyncio.sleep(0.04)
    desk.exchange.observe(desk.book(DEARER))  # the newest by the end of the delay
    assert prices(await posted)[0][0] == 5_100
    assert time.monotonic() - began_s >= 0.08


@pytest.mark.parametrize("named_ms", [0, 1, 250, 3_000])
async def test_the_delay_is_the_markets_own_where_it_names_one(
    named_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_s: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited_s.append(delay_s)
        desk.exchange.observe(desk.book(DEARER))

    desk = Desk(delay_ms=70, named_ms=named_ms)
    decided_on = desk.book(CHEAP)
    desk.exchange.observe(decided_on)
    order = await desk.exchange.prepare(traded_on(decided_on), decided_on)
    monkeypatch.setattr(paper_exchange.asyncio, "sleep", sleep)
    assert prices(await desk.exchange.post(order))[0][0] == 5_100
    assert waited_s == [named_ms / 1000]
    fallback = PaperExchange(70, GateConfig, lambda _: None)
    fallback.observe(desk.book(DEARER))
    assert isinstance(await fallback.post(order), Accepted)
    absurd = PaperExchange(70, GateConfig, lambda _: 10**9)
    absurd.observe(desk.book(DEARER))
    assert isinstance(await absurd.post(order), Accepted)
    assert waited_s[1:] == [0.07, 30.0]


async def test_an_unchanged_book_is_waited_out_and_the_first_other_one_fills() -> None:
    desk = Desk(delay_ms=0, book_age_max_ms=2_000)
    decided_on = desk.book(CHEAP)
    posted = desk.begin(decided_on)
    await asyncio.sleep(0.03)
    assert not posted.done()
    # The same book again, from a feeder that took over: still the one that was decided on.
    again = msgspec.structs.replace(
        decided_on, epoch=2, received_at_ns=time.time_ns(), published_at_ns=time.time_ns()
    )
    for same in (again, with_bids(again, 1)):  # which may publish fewer bids
        desk.exchange.observe(same)
        await asyncio.sleep(0.03)
        assert not posted.done()
    desk.exchange.observe(snapshot(BIDS, DEARER, of=desk.info, epoch=2))
    assert prices(await posted)[0][0] == 5_100


async def test_without_any_other_book_nothing_is_bought_in_bounded_time() -> None:
    desk = Desk(delay_ms=0, book_age_max_ms=30)
    async with asyncio.timeout(30):
        text = why(await desk.begin(desk.book(CHEAP)))
    assert "no other book than it was decided on" in text


async def test_a_market_that_went_dark_in_between_does_not_fill() -> None:
    desk = Desk()
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    dark = msgspec.structs.replace(desk.book([], []), proof=Proof.NONE)
    desk.exchange.observe(dark)
    assert "dark" in why(await posted)
    # Not even when its books are back by the time that the delay is over.
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(msgspec.structs.replace(desk.book([], []), proof=Proof.NONE))
    desk.exchange.observe(desk.book(DEARER))
    assert "dark" in why(await posted)
    # An earlier darkness does not matter.
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book(DEARER))
    assert prices(await posted)[0][0] == 5_100


async def test_dark_while_the_first_other_book_is_waited_for_ends_the_wait() -> None:
    desk = Desk(delay_ms=0, book_age_max_ms=5_000)
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0.01)
    desk.exchange.observe(msgspec.structs.replace(desk.book([], []), proof=Proof.NONE))
    async with asyncio.timeout(4):  # less than a book may be old
        assert "dark" in why(await posted)


@pytest.mark.parametrize("what", ["stale", "unproven", "crossed", "clock", "venue clock"])
async def test_a_book_that_cannot_be_used_fills_nothing(what: str) -> None:
    desk = Desk(book_age_max_ms=40)
    desk.exchange = PaperExchange(
        5, lambda: GateConfig(book_age_max_ms=40, proof_min=Proof.CHECKSUM), lambda _: None
    )
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    book = desk.book(DEARER)
    if what == "stale":
        book = desk.book(DEARER, age_ms=1_000)
    elif what == "unproven":
        book = msgspec.structs.replace(book, proof=Proof.TOP)
    elif what == "crossed":
        book = desk.book([("0.47", 100)])
    elif what == "clock":
        book = desk.book(DEARER, age_ms=-10_000)
    else:
        book = msgspec.structs.replace(book, venue_timestamp_ms=book.venue_timestamp_ms - 60_000)
    desk.exchange.observe(book)
    assert "no book to be filled from" in why(await posted)


async def test_and_the_first_one_that_can_be_used_fills() -> None:
    desk = Desk(delay_ms=0, book_age_max_ms=2_000)
    posted = desk.begin(desk.book(CHEAP))
    desk.exchange.observe(desk.book([("0.47", 100)]))  # crossed
    await asyncio.sleep(0.02)
    assert not posted.done()
    desk.exchange.observe(desk.book(DEARER))
    assert prices(await posted)[0][0] == 5_100


async def test_a_market_that_has_ended_or_takes_no_orders_does_not_fill() -> None:
    desk = Desk()
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    closed = msgspec.structs.replace(desk.info, accepting=False)
    desk.exchange.observe(desk.book(DEARER, of=closed))
    assert "not_accepting" in why(await posted)
    desk.info = market(end_ms=time.time_ns() // 1_000_000 + 10)
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book(DEARER))
    assert "too_close_to_end" in why(await posted)


async def test_how_close_an_entry_may_be_to_the_end_is_not_asked_again() -> None:
    desk = Desk()
    desk.info = market(end_ms=time.time_ns() // 1_000_000 + 60_000)
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book(DEARER))
    assert prices(await posted)[0][0] == 5_100


async def test_another_markets_book_fills_nothing() -> None:
    desk = Desk(delay_ms=0, book_age_max_ms=50)
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book(DEARER, of=market("0xother")))
    assert "no other book" in why(await posted)


async def test_two_orders_that_wait_at_once_are_both_woken() -> None:
    desk = Desk(delay_ms=0, book_age_max_ms=5_000)
    decided_on = desk.book(CHEAP)
    posted = [desk.begin(decided_on), desk.begin(decided_on)]
    await asyncio.sleep(0.01)
    desk.exchange.observe(desk.book([("0.51", 3), ("0.52", 100)]))
    async with asyncio.timeout(4):  # less than a book may be old
        first, second = [prices(await each) for each in posted]
    # And what one has taken, the other one does not get.
    assert first == [(5_100, 2_156_862)]
    assert second == [(5_100, 843_138), (5_200, 1_288_459)]


async def test_shares_are_taken_once_until_the_venue_shows_a_change_there() -> None:
    desk = Desk(delay_ms=0)

    async def bought(asks: Levels, *, bids: Levels = BIDS) -> list[tuple[int, int]]:
        posted = desk.begin(desk.book(CHEAP))
        await asyncio.sleep(0)
        desk.exchange.observe(desk.book(asks, bids))
        return prices(await posted)

    asks: Levels = [("0.51", 3), ("0.52", 100)]
    assert await bought(asks) == [(5_100, 2_156_862)]
    # Other levels changed, this one did not.
    assert (await bought(asks, bids=[("0.49", 300)]))[0] == (5_100, 843_138)
    assert [price for price, _ in await bought(asks, bids=[("0.49", 200)])] == [5_200]
    assert (await bought([("0.51", 2), ("0.52", 100)]))[0] == (5_100, 2_000_000)


async def test_nothing_at_or_below_the_limit_is_no_match() -> None:
    desk = Desk()
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book([("0.60", 100)], [("0.59", 1)]))
    assert why(await posted) == "no ask at or below the limit"


async def test_a_thin_book_fills_a_part() -> None:
    desk = Desk()
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book([("0.50", 1), ("0.51", 1), ("0.60", 100)]))
    answer = await posted
    assert isinstance(answer, Accepted)
    assert (answer.status, answer.spend_e6) == ("partly_matched", 1_010_000)


async def test_nothing_is_kept_of_a_market_that_is_forgotten() -> None:
    desk = Desk()
    posted = desk.begin(desk.book(CHEAP))
    await asyncio.sleep(0)
    desk.exchange.observe(desk.book([("0.50", 1), ("0.51", 1), ("0.60", 100)]))
    assert isinstance(await posted, Accepted)
    desk.exchange.forget("0xc1")
    books = desk.exchange._books
    assert (books.newest, books.dark, desk.exchange._taken) == ({}, {}, {})
