"""What the venue has on record, through the official client: from the simulated venue, and from
one that answers what it should not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from functions.adapters import records
from functions.adapters.live import LiveExchange
from functions.adapters.records import LiveRecords, PublicRecords
from functions.adapters.venue_login import log_in
from functions.core.answer import Accepted
from functions.core.decide import Trade
from functions.core.evidence import Look, OrderRecord, Resolution
from functions.core.intent import Claim
from functions.ports import RecordsError
from protocol.book import Book
from protocol.fill import TradeStatus
from protocol.market import MarketInfo, Outcome
from protocol.snapshot import BookSnapshot
from sandbox.venue import Market, Venue, serve
from sandbox.venue.gamma import event_json
from tests.functions.adapters import canned_venue as canned
from tests.functions.adapters.canned_venue import DOWN, KEY, UP, CannedVenue, account, claim


class Desk:
    """The simulated venue with one market, and records of one account there."""

    def __init__(self, venue: Venue, url: str, market: Market, live: LiveRecords) -> None:
        self.venue = venue
        self.url = url
        self.market = market
        self.records = live
        self.up, self.down = market.token("Up"), market.token("Down")

    def claim(self, order_id: str = canned.ORDER_ID) -> Claim:
        """A claim on Up."""
        return claim(
            order_id=order_id,
            condition_id=self.market.condition_id,
            slug=self.market.slug,
            token_id=self.up,
        )

    async def bought(self) -> Claim:
        """Buy Up for 1.1 USD; the claim of it."""
        exchange = LiveExchange(await log_in(account(self.url)))
        market = self.market
        info = MarketInfo(
            condition_id=market.condition_id,
            slug=market.slug,
            series="btc-15m",
            outcomes=(
                Outcome(name="Up", token_id=self.up),
                Outcome(name="Down", token_id=self.down),
            ),
            start_ms=market.start_ms,
            end_ms=market.end_ms,
            tick_size_e4=100,
            min_order_size_e6=5_000_000,
            fee=market.fee,
            neg_risk=False,
            accepting=True,
        )
        now_ns = time.time_ns()
        snapshot = BookSnapshot(
            market=info,
            books=tuple(Book(token_id=t, bids=(), asks=()) for t in (self.up, self.down)),  # type: ignore[arg-type]
            venue_timestamp_ms=now_ns // 1_000_000,
            received_at_ns=now_ns,
            published_at_ns=now_ns,
            epoch=1,
            sequence=1,
        )
        trade = Trade(
            outcome="Up",
            token_id=self.up,
            imbalance=0.6,
            signal_price_e4=5_000,
            max_price_e4=5_200,
            spend_e6=1_100_000,
        )
        try:
            order = await exchange.prepare(trade, snapshot)
            assert isinstance(await exchange.post(order), Accepted)
        finally:
            await exchange.close()
        return self.claim(order.order_id)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    venue = Venue()
    now_ms = venue.now_ms()
    market = venue.add_market(
        "btc-updown-15m-1800000000", start_ms=now_ms - 60_000, end_ms=now_ms + 840_000
    )
    venue.set_book(market.token("Up"), [(4_900, 100_000_000)], [(5_000, 100_000_000)])
    async with serve(venue) as url:
        live = LiveRecords(await log_in(account(url), for_orders=False))
        try:
            yield Desk(venue, url, market, live)
        finally:
            await live.close()


@pytest.fixture
async def venue() -> AsyncIterator[CannedVenue]:
    async with canned.canned_venue() as opened:
        yield opened


@asynccontextmanager
async def records_of(venue: CannedVenue) -> AsyncIterator[LiveRecords]:
    live = LiveRecords(await log_in(account(venue.url), for_orders=False))
    try:
        yield live
    finally:
        await live.close()


@pytest.fixture
async def live(venue: CannedVenue) -> AsyncIterator[LiveRecords]:
    async with records_of(venue) as opened:
        venue.requests.clear()
        yield opened


def order_path() -> str:
    return f"/data/order/{canned.ORDER_ID}"


def market_path() -> str:
    return f"/markets/{canned.CONDITION_ID}"


def one_line(error: pytest.ExceptionInfo[RecordsError]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert len(text) < 500
    return text


# ---- the simulated venue ----------------------------------------------------------------------


async def test_a_bought_order_is_found_with_its_trades(desk: Desk) -> None:
    bought = await desk.bought()
    look = await desk.records.look(bought)
    assert look.order is not None
    assert (look.order.order_id, look.order.status) == (bought.order_id, "matched")
    assert look.order.size_matched_e6 == 2_200_000
    [fill] = look.trades
    [entry] = desk.venue.journal.entries
    assert [fill.trade_id] == entry.trade_ids
    assert (fill.order_id, fill.condition_id, fill.token_id) == (
        bought.order_id,
        desk.market.condition_id,
        desk.up,
    )
    assert (fill.price_e4, fill.size_e6) == (5_000, 2_200_000)
    assert abs(fill.matched_at_ms - desk.venue.now_ms()) < 60_000


async def test_an_order_that_was_never_posted_is_not_found(desk: Desk) -> None:
    await desk.bought()  # another one, in the same market
    assert await desk.records.look(desk.claim()) == Look(order=None, trades=())


async def test_the_account_s_trades_since_a_moment(desk: Desk) -> None:
    bought = await desk.bought()
    now_ms = desk.venue.now_ms()
    [fill] = await desk.records.trades_since(now_ms - 5_000)
    assert fill.order_id == bought.order_id
    assert await desk.records.trades_since(now_ms + 60_000) == ()


async def test_a_trade_of_the_very_second_asked_for_is_not_lost(desk: Desk) -> None:
    await desk.bought()
    [fill] = await desk.records.trades_since(0)
    # The venue tells whole seconds: it may have been matched after this moment.
    assert await desk.records.trades_since(fill.matched_at_ms + 999) == (fill,)


async def test_a_market_is_resolved_by_the_clob_s_winner(desk: Desk) -> None:
    assert await desk.records.resolution(desk.claim()) is None
    desk.venue.resolve(desk.market, "Down")
    assert await desk.records.resolution(desk.claim()) == Resolution(
        payouts_e6={desk.up: 0, desk.down: 1_000_000}, source="clob"
    )


async def test_a_split_is_decided_by_gamma(desk: Desk) -> None:
    desk.venue.resolve(desk.market, None)
    assert await desk.records.resolution(desk.claim()) == Resolution(
        payouts_e6={desk.up: 500_000, desk.down: 500_000}, source="gamma"
    )


async def test_positions_are_counted_by_token(desk: Desk) -> None:
    await desk.bought()
    held = await desk.records.positions([desk.up, desk.down, desk.up])
    assert held == {desk.up: 2_200_000, desk.down: 0}


async def test_winnings_are_redeemed_and_then_no_longer_held(desk: Desk) -> None:
    await desk.bought()
    trades = desk.venue.journal.trades.values()
    await desk.venue.notice.until(lambda: all(each.status == "CONFIRMED" for each in trades))
    desk.venue.resolve(desk.market, "Up")
    await desk.records.redeem(desk.market.condition_id)
    await desk.venue.notice.until(lambda: len(desk.venue.journal.redemptions) == 1)
    [paid] = desk.venue.journal.redemptions
    assert (paid.size_e6, paid.payout_e6) == (2_200_000, 2_200_000)
    assert await desk.records.positions([desk.up]) == {desk.up: 0}


async def test_late_reads_are_not_found_yet(desk: Desk) -> None:
    bought = await desk.bought()
    desk.venue.faults.lag_ms = 60_000
    assert await desk.records.look(bought) == Look(order=None, trades=())
    desk.venue.faults.lag_ms = 0
    assert len((await desk.records.look(bought)).trades) == 1


async def test_a_look_up_that_fails_is_no_answer(desk: Desk) -> None:
    bought = await desk.bought()
    desk.venue.faults.read_error = 1.0
    with pytest.raises(RecordsError):
        await desk.records.look(bought)
    with pytest.raises(RecordsError):
        await desk.records.trades_since(0)
    with pytest.raises(RecordsError):
        await desk.records.positions([desk.up])


async def test_an_empty_wallet_can_be_reconciled(desk: Desk) -> None:
    desk.venue.account(KEY.address).balance_e6 = 0
    live = LiveRecords(await log_in(account(desk.url), for_orders=False))
    assert await live.look(desk.claim()) == Look(order=None, trades=())
    await live.close()


async def test_paper_knows_resolutions_and_nothing_else(desk: Desk) -> None:
    desk.venue.resolve(desk.market, "Up")
    paper = PublicRecords(desk.url, desk.url)
    try:
        assert await paper.resolution(desk.claim()) == Resolution(
            payouts_e6={desk.up: 1_000_000, desk.down: 0}, source="clob"
        )
        assert await paper.look(desk.claim()) == Look(order=None, trades=())
        assert await paper.trades_since(0) == ()
        assert await paper.positions([desk.up]) == {}
        await paper.redeem(desk.market.condition_id)
    finally:
        await paper.close()
    assert desk.venue.journal.entries == []


# ---- looking for an order ---------------------------------------------------------------------


async def test_a_null_order_with_trades_is_a_find(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(canned.trade()))
    look = await live.look(claim())
    assert look.order is None
    assert [fill.trade_id for fill in look.trades] == ["t1"]


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, {"error": "order not found"}), (400, {"error": "Order Not Found"}), (200, None)],
)
async def test_not_found_in_the_venue_s_own_words(
    venue: CannedVenue, live: LiveRecords, status: int, body: object
) -> None:
    venue.says(order_path(), body, status)
    venue.says("/data/trades", canned.page())
    assert await live.look(claim()) == Look(order=None, trades=())


@pytest.mark.parametrize(
    ("status", "text", "content_type"),
    [
        (404, "404 page not found", "text/plain"),
        (404, "<html>Not Found</html>", "text/html"),
        (404, "{}", "application/json"),
        (429, '{"error":"Too Many Requests"}', "application/json"),
        (425, '{"error":"order not found"}', "application/json"),
        (500, '{"error":"order not found"}', "application/json"),
        (503, "", "text/plain"),
        (401, '{"error":"Unauthorized/Invalid api key"}', "application/json"),
        (302, "", "text/plain"),
        (200, "<html>", "text/html"),
        (200, "", "application/json"),
        (200, '""', "application/json"),
        (200, "{}", "application/json"),
        (200, "[]", "application/json"),
        (200, "[" * 100_000, "application/json"),
        (400, '{"error":' + "[" * 100_000, "application/json"),
        (400, '{"error":"\\ud800\\n' + "x" * 5_000 + '"}', "application/json"),
    ],
)
async def test_any_other_answer_is_not_not_found(
    venue: CannedVenue, live: LiveRecords, status: int, text: str, content_type: str
) -> None:
    venue.says_text(order_path(), text, status, content_type)
    venue.says("/data/trades", canned.page())
    with pytest.raises(RecordsError) as refused:
        await live.look(claim())
    one_line(refused).encode()


@pytest.mark.parametrize(
    "body",
    [
        canned.order(id="0x" + "cd" * 32),
        canned.order(size_matched=None),
        canned.order(size_matched=""),
        canned.order(size_matched="-1"),
        canned.order(size_matched="1e3"),
        canned.order(size_matched=True),
    ],
)
async def test_an_order_that_cannot_be_read_is_not_known(
    venue: CannedVenue, live: LiveRecords, body: object
) -> None:
    venue.says(order_path(), body)
    venue.says("/data/trades", canned.page())
    with pytest.raises(RecordsError, match="order"):
        await live.look(claim())


@pytest.mark.parametrize(
    ("body", "status", "size_e6"),
    [
        (canned.order(status="ORDER_STATUS_CANCELED"), "canceled", 2_200_000),
        (canned.order(status="never seen before"), "never seen before", 2_200_000),
        (canned.order(status=7), "", 2_200_000),
        (canned.order(id=canned.ORDER_ID.upper().replace("X", "x")), "matched", 2_200_000),
        (canned.order(size_matched=2.2), "matched", 2_200_000),
        (canned.order(size_matched=0), "matched", 0),
    ],
)  # fmt: skip
async def test_order_fields_that_are_not_needed_may_be_anything(
    venue: CannedVenue, live: LiveRecords, body: object, status: str, size_e6: int
) -> None:
    venue.says(order_path(), body)
    venue.says("/data/trades", canned.page())
    look = await live.look(claim())
    expected = OrderRecord(order_id=canned.ORDER_ID, status=status, size_matched_e6=size_e6)
    assert look.order == expected


async def test_both_questions_must_be_answered(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says(order_path(), canned.order())
    venue.says("/data/trades", {"error": "internal"}, 500)
    with pytest.raises(RecordsError, match=r"trades: .* 500"):
        await live.look(claim())


async def test_silence_is_bounded(
    venue: CannedVenue, live: LiveRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "ANSWER_TIMEOUT_S", 0.05)
    gone = venue.falls_silent(order_path())
    with pytest.raises(RecordsError, match="no answer within"):
        await live.look(claim())
    await gone.wait()  # and the connection is given up


async def test_a_venue_that_is_not_there_is_one_line() -> None:
    async with canned.canned_venue() as venue:
        url = venue.url
    paper = PublicRecords(url, url)
    with pytest.raises(RecordsError) as refused:
        await paper.resolution(claim())
    await paper.close()
    one_line(refused)


async def test_trades_are_asked_for_by_market_and_told_apart_by_order(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says(order_path(), canned.order())
    mine = canned.trade(taker_order_id=canned.ORDER_ID.upper().replace("X", "x"))
    other = canned.trade(id="t2", taker_order_id="0x" + "ef" * 32, size="garbage")
    venue.says("/data/trades", canned.page(other, mine))
    look = await live.look(claim())
    assert [(fill.trade_id, fill.order_id) for fill in look.trades] == [("t1", canned.ORDER_ID)]
    assert venue.requests[-1] == ("/data/trades", {"market": canned.CONDITION_ID})


@pytest.mark.parametrize(
    "item",
    [
        canned.trade(taker_order_id=None),  # may be ours
        canned.trade(size=None),
        canned.trade(size="0.0000001"),
        canned.trade(price="0"),
        canned.trade(price="1.01"),
        canned.trade(price="NaN"),
        canned.trade(status=None),
        canned.trade(id=""),
        canned.trade(match_time="yesterday"),
        canned.trade(match_time="1" * 27),
        "trade",
        None,
    ],
)
async def test_a_trade_that_cannot_be_read_is_not_no_trade(
    venue: CannedVenue, live: LiveRecords, item: object
) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(item))
    with pytest.raises(RecordsError, match=r"trade|number"):
        await live.look(claim())


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("MATCHED", TradeStatus.MATCHED),
        ("TRADE_STATUS_MATCHED_NOT_BROADCASTED", TradeStatus.MATCHED),
        ("trade_status_mined", TradeStatus.MINED),
        ("TRADE_STATUS_CONFIRMED", TradeStatus.CONFIRMED),
        ("failed", TradeStatus.FAILED),
        ("RETRYING", TradeStatus.RETRYING),
        ("SOMETHING_NEW", TradeStatus.MATCHED),  # on record, and neither final nor void
    ],
)
async def test_what_a_trade_s_status_means(
    venue: CannedVenue, live: LiveRecords, word: str, status: TradeStatus
) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(canned.trade(status=word)))
    assert [fill.status for fill in (await live.look(claim())).trades] == [status]


async def test_an_order_id_is_the_same_in_capitals(venue: CannedVenue, live: LiveRecords) -> None:
    capitals = "0x" + "AB" * 32
    venue.says(f"/data/order/{capitals}", canned.order())
    venue.says("/data/trades", canned.page(canned.trade()))
    look = await live.look(claim(order_id=capitals))
    assert look.order is not None
    assert len(look.trades) == 1


async def test_an_average_price_is_rounded_up(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(canned.trade(price="0.50333333")))
    assert [fill.price_e4 for fill in (await live.look(claim())).trades] == [5_034]


@pytest.mark.parametrize(
    "when", [1_800_000_001, "1800000001000", "2027-01-15T08:00:01Z", "2027-01-15T08:00:01"]
)
async def test_match_times_in_every_form_seen(
    venue: CannedVenue, live: LiveRecords, when: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(canned.trade(match_time=when)))
    try:
        look = await live.look(claim())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [fill.matched_at_ms for fill in look.trades] == [1_800_000_001_000]


@pytest.mark.parametrize(
    ("order", "trades"),
    [
        (canned.order(size_matched="2200000"), ()),  # 2.2 shares, in millionths
        (None, (canned.trade(size="2200000"),)),
    ],
)
async def test_more_than_the_order_could_pay_for_is_an_alarm(
    venue: CannedVenue, live: LiveRecords, order: object, trades: tuple[object, ...]
) -> None:
    venue.says(order_path(), order)
    venue.says("/data/trades", canned.page(*trades))
    with capture_logs() as logs, pytest.raises(RecordsError, match="more on record"):
        await live.look(claim())
    assert [log["event"] for log in logs] == ["implausible_records"]


def paged(pages: dict[str, object]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(pages[request.query.get("next_cursor", "")])

    return answer


async def test_every_page_is_read(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says(order_path(), None)
    later = canned.trade(id="t2", match_time="1800000002", size="1")
    venue.answers["/data/trades"] = paged(
        {"": canned.page(later, cursor="MTAw"), "MTAw": canned.page(canned.trade(size="1"))}
    )
    assert [fill.trade_id for fill in (await live.look(claim())).trades] == ["t1", "t2"]


async def test_a_look_that_is_not_complete_proves_nothing(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(cursor="MQ=="))  # and so on for ever
    with pytest.raises(RecordsError, match="more than 5 pages"):
        await live.look(claim())


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"data": None},
        {"data": {}},
        canned.page(cursor=""),
        {"data": [], "next_cursor": 1},
    ],
)
async def test_a_page_that_cannot_be_read_is_not_an_empty_one(
    venue: CannedVenue, live: LiveRecords, body: object
) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", body)
    with pytest.raises(RecordsError, match="page"):
        await live.look(claim())


# ---- the account's trades ---------------------------------------------------------------------


async def test_trades_since_are_purchases_as_a_taker_oldest_first(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says(
        "/data/trades",
        canned.page(
            canned.trade(id="late", match_time="1800000009"),
            canned.trade(id="maker", trader_side="MAKER"),
            canned.trade(id="sold", side="SELL"),
            canned.trade(id="early", match_time="1800000003"),
            canned.trade(id="before", match_time="1799999999"),
        ),
    )
    fills = await live.trades_since(1_800_000_000_500)
    assert [fill.trade_id for fill in fills] == ["early", "late"]
    assert venue.requests == [("/data/trades", {"after": "1799999999"})]


async def test_one_unreadable_trade_does_not_hide_the_others(
    venue: CannedVenue, live: LiveRecords
) -> None:
    odd = [canned.trade(size="?"), canned.trade(trader_side=7), "trade"]
    venue.says("/data/trades", canned.page(*odd, canned.trade()))
    with capture_logs() as logs:
        assert [fill.trade_id for fill in await live.trades_since(0)] == ["t1"]
    assert [log["event"] for log in logs] == ["unreadable_trade"] * 3


async def test_cut_pages_are_told(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says("/data/trades", canned.page(canned.trade(), cursor="MQ=="))
    with capture_logs() as logs:
        assert len(await live.trades_since(0)) == records.SINCE_PAGES_MAX
    assert [log["event"] for log in logs] == ["trades_cut"]
    assert len(venue.requests) == records.SINCE_PAGES_MAX


# ---- resolutions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("market", "listed", "payouts", "source"),
    [
        # The CLOB names the winner; Gamma agrees, does not know yet, or is of no use.
        (canned.market(), canned.listing(), (1_000_000, 0), "clob"),
        (canned.market(), canned.listing(closed=False), (1_000_000, 0), "clob"),
        (canned.market(), [], (1_000_000, 0), "clob"),
        (canned.market(), {"error": "?"}, (1_000_000, 0), "clob"),
        # Closed without a winner: Gamma's final prices.
        (canned.market(winner=None), canned.listing('["0.5", "0.5"]'), (500_000, 500_000), "gamma"),
        (canned.market(winner=None), canned.listing('["0", "1"]'), (0, 1_000_000), "gamma"),
        (canned.market(winner=None), canned.listing([0, 1.0]), (0, 1_000_000), "gamma"),
        # By token, not by position.
        (canned.market(winner=None), canned.listing(tokens=[DOWN, UP]), (0, 1_000_000), "gamma"),
        # A winner in a market that is not closed counts when Gamma says the same.
        (canned.market(closed=False), canned.listing(), (1_000_000, 0), "gamma"),
        # Not final.
        (canned.market(closed=False, winner=None), canned.listing(), None, ""),
        (canned.market(closed=False), canned.listing(closed=False), None, ""),
        (canned.market(winner=None), [], None, ""),
        (canned.market(winner=None), canned.listing(closed=False), None, ""),
        (canned.market(winner=None), canned.listing(closed="true"), None, ""),
        (canned.market(winner=None), canned.listing(None), None, ""),
        (canned.market(winner=None), canned.listing('["0.9995", "0.0005"]'), None, ""),
        (canned.market(winner=None), canned.listing('["1", "1"]'), None, ""),
        (canned.market(winner=None), canned.listing('["0", "0"]'), None, ""),
        # At one half by chance, before its resolution.
        (
            canned.market(winner=None),
            canned.listing('["0.5", "0.5"]', umaResolutionStatus="proposed"),
            None,
            "",
        ),
    ],
)
async def test_how_a_market_was_resolved(
    venue: CannedVenue,
    live: LiveRecords,
    market: object,
    listed: object,
    payouts: tuple[int, int] | None,
    source: str,
) -> None:
    venue.says(market_path(), market)
    venue.says("/events", listed)
    expected = payouts and Resolution(payouts_e6={UP: payouts[0], DOWN: payouts[1]}, source=source)
    assert await live.resolution(claim()) == expected


@pytest.mark.parametrize("prices", ['["0", "1"]', '["0.5", "0.5"]'])
@pytest.mark.parametrize("closed", [True, False])
async def test_a_disagreement_is_an_alarm_and_never_a_guess(
    venue: CannedVenue, live: LiveRecords, prices: str, closed: bool
) -> None:
    venue.says(market_path(), canned.market(winner=UP, closed=closed))
    venue.says("/events", canned.listing(prices))
    with capture_logs() as logs, pytest.raises(RecordsError, match="disagree"):
        await live.resolution(claim())
    assert [log["log_level"] for log in logs] == ["critical"]


@pytest.mark.parametrize(
    "market",
    [
        None,
        [],
        {},
        {**canned.market(), "condition_id": "0x" + "d2" * 32},
        {**canned.market(), "closed": None},
        {**canned.market(), "tokens": None},
        {**canned.market(), "tokens": []},
        {**canned.market(), "tokens": [{"token_id": UP, "winner": True}]},
        {**canned.market(), "tokens": [{"token_id": UP, "winner": True}] * 2},
        {**canned.market(), "tokens": [{"token_id": t, "winner": True} for t in (UP, DOWN)]},
        {**canned.market(), "tokens": [{"token_id": t, "winner": "yes"} for t in (UP, DOWN)]},
        {**canned.market(), "tokens": [{"token_id": t, "winner": t == "3"} for t in ("3", "4")]},
    ],
)
async def test_a_market_record_that_cannot_be_read_is_not_unresolved(
    venue: CannedVenue, live: LiveRecords, market: object
) -> None:
    venue.says(market_path(), market)
    venue.says("/events", [])
    with pytest.raises(RecordsError, match="market"):
        await live.resolution(claim())


@pytest.mark.parametrize(
    "listed",
    [
        None,
        {},
        [1],
        [{}],
        [{"markets": [None]}],
        canned.listing(conditionId="0x" + "d2" * 32),
        canned.listing("[1,"),
        canned.listing('{"1": 0}'),
        canned.listing('["1"]'),
        canned.listing('["1", "x"]'),
        canned.listing('["1", NaN]'),
        canned.listing(tokens='["3", "4"]'),
        canned.listing(tokens=f'["{UP}", "{UP}"]'),
        canned.listing(tokens=[UP, [DOWN]]),
        canned.listing(tokens=None),
    ],
)
async def test_a_listing_that_cannot_be_read_decides_nothing(
    venue: CannedVenue, live: LiveRecords, listed: object
) -> None:
    venue.says(market_path(), canned.market(winner=None))
    venue.says("/events", listed)
    with pytest.raises(RecordsError):
        await live.resolution(claim())


async def test_gamma_is_asked_by_slug_and_only_when_the_clob_has_closed(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says(market_path(), canned.market(closed=False, winner=None))
    assert await live.resolution(claim()) is None
    assert [path for path, _ in venue.requests] == [market_path()]
    venue.says(market_path(), canned.market(winner=None))
    venue.says("/events", [])
    await live.resolution(claim())
    assert venue.requests[-1] == ("/events", {"slug": claim().slug})


# ---- positions and redemption -----------------------------------------------------------------


async def test_the_venue_looks_at_the_chain_before_it_counts_shares(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says_text("/balance-allowance/update", "")  # whatever it says
    venue.says("/balance-allowance", {"balance": "5", "allowances": {}})
    assert await live.positions([UP]) == {UP: 5}
    asked = {"asset_type": "CONDITIONAL", "token_id": UP, "signature_type": "0"}
    assert venue.requests == [
        ("/balance-allowance/update", asked),
        ("/balance-allowance", asked),
    ]


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"balance": "1.5", "allowances": {}}, {"balance": "-1", "allowances": {}}],
)
async def test_a_balance_that_cannot_be_read_is_not_zero(
    venue: CannedVenue, live: LiveRecords, body: object
) -> None:
    venue.says("/balance-allowance/update", "")
    venue.says("/balance-allowance", body)
    with pytest.raises(RecordsError, match="balance of token"):
        await live.positions([UP])


async def test_four_balances_at_a_time() -> None:
    class Counting(LiveRecords):
        running = most = 0

        async def _held(self, token_id: str) -> int:
            self.running += 1
            self.most = max(self.most, self.running)
            for _ in range(10):
                await asyncio.sleep(0)
            self.running -= 1
            return int(token_id)

    counting = Counting(None)  # type: ignore[arg-type]
    assert await counting.positions([str(n) for n in range(10)]) == {str(n): n for n in range(10)}
    assert counting.most == 4


def chain_of(sent: list[object]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A JSON-RPC node that takes every transaction."""
    results = {
        "eth_chainId": "0x89",
        "eth_getTransactionCount": "0x0",
        "eth_gasPrice": "0x1",
        "eth_estimateGas": "0x5208",
        "eth_sendRawTransaction": "0x" + "ee" * 32,
    }

    async def answer(request: web.Request) -> web.Response:
        call = await request.json()
        assert call["method"] in results  # never for a receipt
        if call["method"] == "eth_sendRawTransaction":
            sent.append(call["params"])
        result = results[call["method"]]
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": result})

    return answer


def listed_for_redemption() -> list[object]:
    simulated = Venue()
    market = simulated.add_market("btc-updown-15m-1800000000", start_ms=0, end_ms=900_000)
    market.payouts, market.resolves_at_ms = (Decimal(1), Decimal(0)), 900_000
    listed = event_json(market, simulated.now_ms())["markets"][0]
    return [{**listed, "conditionId": canned.CONDITION_ID, "version": "v1"}]


async def test_a_redemption_is_sent_once_a_minute_and_not_waited_for(
    venue: CannedVenue, live: LiveRecords
) -> None:
    sent: list[object] = []
    venue.answers["/rpc"] = chain_of(sent)
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    await live.redeem(canned.CONDITION_ID)
    await live.redeem(canned.CONDITION_ID)
    assert len(sent) == 1


async def test_a_redemption_that_was_refused_is_tried_again(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says("/markets/keyset", {"markets": []})
    with pytest.raises(RecordsError, match="redeeming") as refused:
        await live.redeem(canned.CONDITION_ID)
    one_line(refused)
    sent: list[object] = []
    venue.answers["/rpc"] = chain_of(sent)
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    await live.redeem(canned.CONDITION_ID)
    assert len(sent) == 1


@pytest.mark.parametrize("result", [None, "0x", "zz", 7, {"error": {}}, []])
async def test_a_chain_that_answers_nonsense_is_one_line(
    venue: CannedVenue, live: LiveRecords, result: object
) -> None:
    venue.says("/rpc", {"jsonrpc": "2.0", "id": 1, "result": result})
    venue.says("/markets/keyset", {"markets": listed_for_redemption()})
    with pytest.raises(RecordsError, match="redeeming"):
        await live.redeem(canned.CONDITION_ID)
