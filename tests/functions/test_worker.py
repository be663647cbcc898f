"""The worker's loop on collaborators in memory: what it does with each book."""

from __future__ import annotations

import asyncio

import msgspec
from structlog.testing import capture_logs

from functions.adapters.book_pull import BookHandler, BookPull, Delivery
from functions.core.account import Limits
from functions.core.configuration import Configuration
from functions.core.fencing import Fence
from functions.core.gate import GateConfig
from functions.core.trade import Trade
from functions.handlers.evaluate import BookLook
from functions.handlers.verify_markets import MarketVerifier
from functions.ports import RecordsError
from functions.worker_clock import WorkerClock
from functions.worker_loop import ORDERS_IN_FLIGHT_MAX, UNDER_WAY_MAX, Worker
from protocol.decision import Decision
from protocol.market import MarketInfo
from protocol.snapshot import BookSnapshot, encode_snapshot
from runtime.instant import Instant
from strategies.book_imbalance import BookImbalance
from tests.support.fake_ports import MemoryStore, ScriptedClob, ScriptedExchange
from tests.support.hot_path import hot_path
from tests.support.metrics_builders import counted, worker_metrics
from tests.support.trading_builders import clob_market, market, snapshot


class Books(BookPull):
    """A pull that is fed by hand and keeps what was taken."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self.taken: list[str] = []
        self.conflated = 0
        self.given = 0

    async def take(self, handle: BookHandler) -> None:
        delivery = await self.queue.get()
        self.taken.append(delivery.reply)
        handle(delivery)

    def give(self, payload: bytes | BookSnapshot) -> str:
        if isinstance(payload, BookSnapshot):
            payload = encode_snapshot(payload)
        self.given += 1
        reply = f"book-{self.given}"
        self.queue.put_nowait(Delivery(payload, reply, Instant()))
        return reply


class SlowWarmExchange(ScriptedExchange):
    def __init__(self) -> None:
        super().__init__([])
        self.warm_now = asyncio.Event()
        self.warmed: list[str] = []
        self.forgotten: list[str] = []

    def forget(self, condition_id: str) -> None:
        self.forgotten.append(condition_id)

    async def warm(self, market: MarketInfo) -> None:
        self.warmed.append(market.condition_id)
        await self.warm_now.wait()


class Desk:
    def __init__(self, max_positions: int = 100, exchange: SlowWarmExchange | None = None) -> None:
        self.books = Books()
        self.exchange = exchange or SlowWarmExchange()
        self.store = MemoryStore(self.exchange.calls)
        self.told: list[Decision] = []
        self.news = asyncio.Event()
        self.metrics = worker_metrics(BookImbalance.Reason)
        self.fence = Fence()
        self.clob = ScriptedClob()
        self.verifier = MarketVerifier(self.clob, self.metrics)
        self.account = hot_path(
            gate=GateConfig(book_age_max_ms=5_000),
            limits=Limits(
                max_positions=max_positions,
                cooldown_ms=60_000,
                daily_loss_limit_e6=1_000_000,
                daily_spend_cap_e6=1_000_000_000,
            ),
            store=self.store,
            exchange=self.exchange,
            publish=self.tell,
            metrics=self.metrics,
            verifier=self.verifier,
            fence=self.fence,
        )
        self.clock = WorkerClock(5_000, self.metrics)
        self.worker = Worker(
            self.books,
            [self.account],
            verifier=self.verifier,
            clock=self.clock,
            metrics=self.metrics,
            fence=self.fence,
        )

    def tell(self, decision: Decision) -> None:
        self.told.append(decision)
        self.news.set()

    async def handle_all(self) -> None:
        """Handle what has been given, and let every task that can run do so."""
        running = asyncio.create_task(self.worker.run())
        await self.settle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def test_the_newest_book_waits_until_its_market_is_warm_and_is_then_decided_on() -> None:
    desk = Desk()
    info = market()
    quiet = snapshot([("0.49", 1)], [("0.50", 1)], of=info)
    first, second = desk.books.give(quiet), desk.books.give(snapshot(of=info))
    await desk.handle_all()
    assert desk.exchange.warmed == ["0xc1"]  # once a market
    assert desk.books.taken == [first, second]
    assert desk.told == []
    desk.exchange.warm_now.set()
    await desk.settle()
    assert [each.reason for each in desk.told] == ["matched"]  # the first was displaced
    # And from now on nothing waits.
    desk.books.give(snapshot(of=info))
    await desk.handle_all()
    assert [each.reason for each in desk.told] == ["matched", "cooldown"]


async def test_a_series_whose_windows_are_too_short_to_be_traded_is_told_of_once() -> None:
    desk = Desk()  # its gate wants 300 s to the close
    desk.exchange.warm_now.set()
    with capture_logs() as logs:
        for number, (series, window_ms) in enumerate(
            [("btc-5m", 300_000), ("btc-5m", 300_000), ("btc-15m", 900_000), ("eth-5m", 300_000)]
        ):
            info = market(f"0x{number}")
            end_ms = info.start_ms + window_ms + 100_000
            info = msgspec.structs.replace(
                info, series=series, start_ms=end_ms - window_ms, end_ms=end_ms
            )
            desk.books.give(snapshot(of=info))
            desk.books.give(snapshot(of=info))
        await desk.handle_all()
    told = [each for each in logs if each["event"] == "series_never_traded"]
    assert [(each["series"], each["window_s"]) for each in told] == [
        ("btc-5m", 300.0),
        ("eth-5m", 300.0),
    ]
    assert all(each["min_time_to_close_s"] == 300 for each in told)


# -- what the CLOB confirms ----------------------------------------------------------------------


def swapped(info: MarketInfo) -> MarketInfo:
    down, up = info.outcomes
    outcomes = (
        msgspec.structs.replace(down, name=up.name),
        msgspec.structs.replace(up, name=down.name),
    )
    return msgspec.structs.replace(info, outcomes=outcomes)


async def test_a_market_is_bought_only_once_the_clob_has_confirmed_it() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    info = market()
    desk.clob.answers["0xc1"] = RecordsError("no answer")
    desk.books.give(snapshot(of=info))
    await desk.handle_all()
    assert [(each.reason, each.text) for each in desk.told] == [("market_unverified", "no answer")]
    assert desk.exchange.calls == []
    del desk.clob.answers["0xc1"]
    await desk.verifier.verify(info)
    desk.books.give(snapshot(of=info))
    await desk.handle_all()
    assert [each.reason for each in desk.told] == ["market_unverified", "matched"]


async def test_a_decision_says_which_books_it_saw_and_how_its_market_was_traded() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    info, quiet = market(), ([("0.49", 1)], [("0.50", 1)])
    for sequence in (3, 4, 7):
        desk.books.give(snapshot(*quiet, of=info, epoch=2, sequence=sequence))
    desk.books.give(snapshot(of=info, epoch=2, sequence=8))
    await desk.handle_all()
    desk.clob.answers["0xc2"] = clob_market("0xc2", min_order_size_e6=15_000_000)
    desk.books.give(snapshot(of=(other := market("0xc2")), epoch=2, sequence=5))
    await desk.handle_all()
    assert [each.memory_versions for each in desk.told] == ["s2:3|2:3-4,7-8", "s2:5|2:5"]
    stricter = msgspec.structs.replace(other, min_order_size_e6=15_000_000)
    assert [each.market for each in desk.told] == [None, stricter]


async def test_nothing_is_bought_by_a_listing_that_swaps_the_outcomes() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    info = market()
    for _ in range(3):
        desk.books.give(snapshot(of=swapped(info)))
        await desk.handle_all()
    assert [each.reason for each in desk.told] == ["market_differs"]  # repeats are counted
    assert desk.exchange.calls == []
    assert counted(desk.metrics, "holds_total", reason="market_differs") == 3
    assert desk.metrics.registry.get_sample_value("worker_markets_differing") == 1
    desk.books.give(snapshot(of=info))  # mended
    await desk.handle_all()
    assert [each.reason for each in desk.told] == ["market_differs", "matched"]


async def test_a_swap_that_shows_while_an_order_is_signed_stops_it_before_the_claim() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    signing, signed = asyncio.Event(), asyncio.Event()

    async def sign() -> None:
        signing.set()
        await signed.wait()

    desk.exchange.before_prepare = sign
    info = market()
    desk.books.give(snapshot(of=info))
    await desk.handle_all()
    assert signing.is_set()
    desk.books.give(snapshot(of=swapped(info)))
    await desk.handle_all()
    signed.set()
    await desk.worker.finish()
    assert [each.reason for each in desk.told] == ["market_differs"]
    assert desk.exchange.posted == []


async def test_the_clobs_larger_minimum_counts_for_the_strategy() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    seen: list[int] = []
    consider = desk.account.evaluator.consider

    def noted(look: BookLook, configuration: Configuration) -> Trade | None:
        seen.append(look.snapshot.market.min_order_size_e6)
        assert look.view is not None
        assert look.view.market is look.snapshot.market
        return consider(look, configuration)

    desk.account.evaluator.consider = noted  # type: ignore[method-assign] # to look at its argument
    desk.clob.answers["0xc1"] = clob_market(min_order_size_e6=15_000_000)
    info = market()
    for _ in range(2):  # one that waited for the answer, and one after it
        desk.books.give(snapshot([("0.49", 1)], [("0.50", 1)], of=info))
        await desk.handle_all()
    assert seen == [15_000_000, 15_000_000]


async def test_the_exchange_sees_each_newest_book_also_of_markets_that_are_being_bought() -> None:
    desk = Desk()
    info = market()
    books = [snapshot(of=info), snapshot(of=info, epoch=2)]
    late = snapshot(of=info, epoch=1)
    for book in (*books, late):
        desk.books.give(book)
    await desk.handle_all()  # still being warmed
    assert desk.exchange.observed == books
    answering = asyncio.Event()
    desk.exchange.during_post = answering.wait  # type: ignore[assignment]
    desk.exchange.warm_now.set()
    await desk.settle()
    assert len(desk.exchange.posted) == 1
    books.append(snapshot(of=info, epoch=2))
    desk.books.give(books[-1])
    await desk.handle_all()
    assert desk.exchange.observed == books
    answering.set()
    await desk.worker.finish()


async def test_a_superseded_book_is_never_decided_on() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    info = market()
    quiet = snapshot([("0.49", 1)], [("0.50", 1)], of=info, epoch=2)
    late, again = snapshot(of=info, epoch=1), snapshot(of=info, epoch=2, sequence=quiet.sequence)
    replies = [desk.books.give(book) for book in (quiet, late, again)]
    await desk.handle_all()
    assert desk.books.taken == replies
    assert desk.told == []
    assert counted(desk.metrics, "holds_total", reason="superseded") == 2
    desk.books.give(snapshot(of=info, epoch=2))
    await desk.handle_all()
    assert [each.reason for each in desk.told] == ["matched"]


async def test_a_superseded_book_does_not_displace_the_newest_while_its_market_is_warmed() -> None:
    desk = Desk()
    info = market()
    desk.books.give(snapshot([("0.49", 1)], [("0.50", 1)], of=info, epoch=2))
    desk.books.give(snapshot(of=info, epoch=1))  # would be bought
    await desk.handle_all()
    desk.exchange.warm_now.set()
    await desk.settle()
    assert desk.told == []


async def test_a_later_feeders_book_stops_an_order_that_is_not_claimed_yet() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    signing, signed = asyncio.Event(), asyncio.Event()

    async def sign() -> None:
        signing.set()
        await signed.wait()

    desk.exchange.before_prepare = sign
    info = market()
    desk.books.give(snapshot(of=info))
    await desk.handle_all()
    assert signing.is_set()
    desk.books.give(snapshot([("0.49", 1)], [("0.50", 1)], of=info, epoch=2))
    await desk.handle_all()
    signed.set()
    await desk.worker.finish()
    assert [each.reason for each in desk.told] == ["superseded"]
    assert desk.exchange.posted == []


async def test_a_book_of_a_market_that_is_being_bought_is_left() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    answering = asyncio.Event()
    desk.exchange.during_post = answering.wait  # type: ignore[assignment]
    info = market()
    bought = desk.books.give(snapshot(of=info))
    await desk.handle_all()
    left = desk.books.give(snapshot(of=info))
    await desk.handle_all()
    assert desk.books.taken == [bought, left]
    answering.set()
    await desk.settle()
    assert len(desk.exchange.posted) == 1


async def test_other_markets_are_bought_while_one_order_is_under_way() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    answering = asyncio.Event()
    desk.exchange.during_post = answering.wait  # type: ignore[assignment]
    for number in range(3):
        desk.books.give(snapshot(of=market(f"0x{number}")))
    await desk.handle_all()
    assert len(desk.exchange.posted) == 3
    answering.set()
    await desk.worker.finish()


async def test_a_malformed_book_is_counted_and_does_no_harm() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    replies = [desk.books.give(payload) for payload in (b"", b"{", b"\xff\xfe", b"[]", b"{}")]
    desk.books.give(snapshot())
    await desk.handle_all()
    assert desk.metrics.registry.get_sample_value("worker_books_malformed_total") == 5
    assert desk.books.taken[:5] == replies
    assert [each.reason for each in desk.told] == ["matched"]


async def test_orders_under_way_are_bounded() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    answering = asyncio.Event()
    desk.exchange.during_post = answering.wait  # type: ignore[assignment]
    running = asyncio.create_task(desk.worker.run())
    for number in range(ORDERS_IN_FLIGHT_MAX + 5):
        desk.books.give(snapshot(of=market(f"0x{number}")))
    for _ in range(5):
        await desk.settle()
    assert len(desk.exchange.posted) == ORDERS_IN_FLIGHT_MAX
    answering.set()
    for _ in range(5):
        await desk.settle()
    assert len(desk.exchange.posted) == ORDERS_IN_FLIGHT_MAX + 5
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_open_orders_keep_no_book_of_another_market_from_its_decision() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    answering = asyncio.Event()
    desk.exchange.during_post = answering.wait  # type: ignore[assignment]
    running = asyncio.create_task(desk.worker.run())
    for number in range(ORDERS_IN_FLIGHT_MAX):
        desk.books.give(snapshot(of=market(f"0x{number}")))
    for _ in range(5):
        await desk.settle()
    assert len(desk.exchange.posted) == ORDERS_IN_FLIGHT_MAX
    for number in range(3):
        desk.books.give(snapshot([("0.49", 1)], [("0.50", 1)], of=market(f"0xheld{number}")))
    await desk.settle()
    assert counted(desk.metrics, "holds_total", reason="no_imbalance") == 3
    for number in range(UNDER_WAY_MAX):  # until nobody could order on another one
        desk.books.give(snapshot(of=market(f"0xwaits{number}")))
        await desk.settle()
    assert len(desk.books.taken) == UNDER_WAY_MAX + 4  # the last one had been asked for
    assert len(desk.exchange.posted) == ORDERS_IN_FLIGHT_MAX
    answering.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await desk.worker.finish()


async def test_a_book_from_the_future_says_that_the_clock_is_behind_and_is_no_crash() -> None:
    desk = Desk()
    desk.exchange.warm_now.set()
    strange = msgspec.structs.replace(snapshot(), received_at_ns=2**62)
    desk.books.give(strange)
    await desk.handle_all()
    assert desk.told == []
    holds = counted(desk.metrics, "holds_total", reason="clock_behind")
    assert holds == 1
