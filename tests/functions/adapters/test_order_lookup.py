"""Looking for an order, and for the account's trades: what is an answer, and what is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from functions.adapters import venue_records
from functions.adapters.venue_records import LiveRecords, PublicRecords
from functions.ports import RecordsError
from protocol.fill import TradeStatus
from tests.support import canned_venue as canned
from tests.support.canned_venue import KEY, CannedVenue, claim, nothing_seen, undated
from tests.support.venue_records import (
    one_line,
    order_path,
)
from venue import rest
from venue.wire.orders import OrderRecord

KILLED = "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."

# ---- looking for an order ---------------------------------------------------------------------


async def test_a_null_order_with_trades_is_a_find(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(canned.trade()))
    look = await live.lookup(claim())
    assert look.order is None
    assert [fill.trade_id for fill in look.trades] == ["t1"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": "order not found"}),
        (400, {"error": "Order Not Found", "code": 404, "message": ""}),
        (
            404,
            {"error": f"The order with id '{canned.ORDER_ID}' was not found.", "statusCode": 404},
        ),
        (404, {"error": f"not found: order {canned.ORDER_ID}"}),
        (200, None),
    ],
)
async def test_not_found_in_the_venue_s_own_words(
    venue: CannedVenue, live: LiveRecords, status: int, body: object
) -> None:
    venue.says(order_path(), body, status)
    venue.says("/data/trades", canned.page())
    look = await live.lookup(claim())
    assert undated(look) == nothing_seen(KEY.address)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("dated", [True, False])
async def test_a_look_has_the_venue_s_time_of_the_question_never_ours(
    venue: CannedVenue, live: LiveRecords, status: int, dated: bool
) -> None:
    theirs_s = int(time.time()) - 600  # the venue's clock is ten minutes behind ours
    date = formatdate(theirs_s, usegmt=True) if dated else "yesterday"

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        body = None if status == 200 else {"error": "order not found"}
        return web.json_response(body, status=status, headers={"Date": date})

    venue.answers[order_path()] = answer
    venue.says("/data/trades", canned.page())
    asked_at_ms = (await live.lookup(claim())).asked_at_ms
    assert (asked_at_ms is not None) is dated
    if asked_at_ms is not None:
        assert theirs_s * 1000 - 60_000 < asked_at_ms <= theirs_s * 1000 - 50


@pytest.mark.parametrize(
    ("status", "text", "content_type"),
    [
        (404, "404 page not found", "text/plain"),
        (404, "<html>Not Found</html>", "text/html"),
        (404, "404: Not Found", "text/plain"),
        (404, '{"statusCode":404,"error":"Not Found"}', "application/json"),
        (404, '{"error":"route GET:/data/order/0x1 not found"}', "application/json"),
        (404, "{}", "application/json"),
        (404, "border gateway: route not found", "text/plain"),
        (404, "order not found", "text/plain"),
        (404, '{"message":"order not found"}', "application/json"),
        (404, '{"error":"order-service not found in mesh"}', "application/json"),
        (404, json.dumps({"error": f"order 0x{'cd' * 32} not found"}), "application/json"),
        *(
            (404, json.dumps({"error": text}), "application/json")
            for text in ("order book not found", "owner of the order not found", "order found, not")
        ),
        *(
            (404, json.dumps({"error": "order not found", **more}), "application/json")
            for more in ({"message": "read timeout"}, {"errors": ["x"]}, {"status": "MATCHED"})
        ),
        (404, '{"error":"order matched","error":"order not found"}', "application/json"),
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
        await live.lookup(claim())
    one_line(refused).encode()


@pytest.mark.parametrize(
    "body",
    [
        canned.order(id="0x" + "cd" * 32),
        {"id": canned.ORDER_ID, "status": "MATCHED"},
        {"id": canned.ORDER_ID},
        *(
            canned.order(size_matched="", status=status)
            for status in ("FILLED", "PARTIALLY_MATCHED", "MATCHED ", "ORDER_STATUS_MINED")
        ),
        canned.order(size_matched="", status="CANCELED", associate_trades=["t1"]),
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
        await live.lookup(claim())


@pytest.mark.parametrize(
    ("body", "status", "size_e6"),
    [
        (canned.order(status="ORDER_STATUS_CANCELED"), "canceled", 2_200_000),
        (canned.order(status="never seen before"), "never seen before", 2_200_000),
        (canned.order(status=7), "", 2_200_000),
        (canned.order(id=canned.ORDER_ID.upper().replace("X", "x")), "matched", 2_200_000),
        (canned.order(size_matched=2.2), "matched", 2_200_000),
        (canned.order(size_matched=0), "matched", 0),
        # As the venue writes it for a killed order.
        (canned.order(size_matched="", status="CANCELED"), "canceled", 0),
        (canned.order(size_matched=None, status="ORDER_STATUS_CANCELED"), "canceled", 0),
        (canned.order(size_matched=" ", status="unmatched"), "unmatched", 0),
        ({"id": canned.ORDER_ID, "status": KILLED}, KILLED.lower(), 0),
        ({"id": canned.ORDER_ID, "status": KILLED, "size_matched": ""}, KILLED.lower(), 0),
    ],
)  # fmt: skip
async def test_order_fields_that_are_not_needed_may_be_anything(
    venue: CannedVenue, live: LiveRecords, body: object, status: str, size_e6: int
) -> None:
    venue.says(order_path(), body)
    venue.says("/data/trades", canned.page())
    look = await live.lookup(claim())
    expected = OrderRecord(order_id=canned.ORDER_ID, status=status, size_matched_e6=size_e6)
    assert look.order == expected


async def test_both_questions_must_be_answered(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says(order_path(), canned.order())
    venue.says("/data/trades", {"error": "internal"}, 500)
    with pytest.raises(RecordsError, match=r"trades: .* 500"):
        await live.lookup(claim())


async def test_silence_is_bounded(
    venue: CannedVenue, live: LiveRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "ANSWER_TIMEOUT_S", 0.05)
    gone = venue.falls_silent(order_path())
    with pytest.raises(RecordsError, match="no answer within"):
        await live.lookup(claim())
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
    look = await live.lookup(claim())
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
        await live.lookup(claim())


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
    assert [fill.status for fill in (await live.lookup(claim())).trades] == [status]


async def test_an_order_id_is_the_same_in_capitals(venue: CannedVenue, live: LiveRecords) -> None:
    capitals = "0x" + "AB" * 32
    venue.says(f"/data/order/{capitals}", canned.order())
    venue.says("/data/trades", canned.page(canned.trade()))
    look = await live.lookup(claim(order_id=capitals))
    assert look.order is not None
    assert len(look.trades) == 1


async def test_an_average_price_is_rounded_up(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(canned.trade(price="0.50333333")))
    assert [fill.price_e4 for fill in (await live.lookup(claim())).trades] == [5_034]


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
        look = await live.lookup(claim())
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
        await live.lookup(claim())
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
    assert [fill.trade_id for fill in (await live.lookup(claim())).trades] == ["t1", "t2"]


async def test_a_look_that_is_not_complete_proves_nothing(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", canned.page(cursor="MQ=="))  # and so on for ever
    with pytest.raises(RecordsError, match="more than 5 pages"):
        await live.lookup(claim())


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"data": {}},
        {"data": [], "next_cursor": 1},
        {"data": None, "error": "context deadline exceeded"},
        {"data": [], "next_cursor": "", "error": "trades unavailable"},
    ],
)
async def test_a_page_that_cannot_be_read_is_not_an_empty_one(
    venue: CannedVenue, live: LiveRecords, body: object
) -> None:
    venue.says(order_path(), None)
    venue.says("/data/trades", body)
    with pytest.raises(RecordsError, match="page"):
        await live.lookup(claim())


# ---- the account's trades ---------------------------------------------------------------------


async def test_trades_since_are_all_as_a_taker_on_whichever_side_oldest_first(
    venue: CannedVenue, live: LiveRecords
) -> None:
    venue.says(
        "/data/trades",
        canned.page(
            canned.trade(id="late", match_time="1800000009"),
            canned.trade(id="maker", trader_side="MAKER"),
            canned.trade(id="sold", side="SELL", match_time="1800000005"),
            canned.trade(id="early", match_time="1800000003"),
            canned.trade(id="before", match_time="1799999999"),
        ),
    )
    fills = await live.trades_since(1_800_000_000_500)
    assert [fill.trade_id for fill in fills] == ["early", "sold", "late"]
    assert venue.requests == [("/data/trades", {"after": "1799999999"})]


async def test_one_unreadable_trade_does_not_hide_the_others(
    venue: CannedVenue, live: LiveRecords
) -> None:
    odd = [canned.trade(size="?"), canned.trade(price=True), "trade"]
    venue.says("/data/trades", canned.page(*odd, canned.trade()))
    with capture_logs() as logs:
        assert [fill.trade_id for fill in await live.trades_since(0)] == ["t1"]
    [log] = logs
    assert (log["event"], log["trades"], len(log["errors"])) == ("unreadable_trade", 3, 3)


async def test_cut_pages_are_told(venue: CannedVenue, live: LiveRecords) -> None:
    venue.says("/data/trades", canned.page(canned.trade(), cursor="MQ=="))
    with capture_logs() as logs:
        assert len(await live.trades_since(0)) == venue_records.SINCE_PAGES_MAX
    assert [log["event"] for log in logs] == ["trades_cut"]
    assert len(venue.requests) == venue_records.SINCE_PAGES_MAX


@pytest.mark.parametrize("size", ["", None])
async def test_a_matched_order_without_a_size_is_not_read_as_nothing(
    venue: CannedVenue, live: LiveRecords, size: object
) -> None:
    venue.says(order_path(), canned.order(size_matched=size, status="ORDER_STATUS_MATCHED"))
    venue.says("/data/trades", canned.page())
    with pytest.raises(RecordsError, match="size_matched"):
        await live.lookup(claim())


@pytest.mark.parametrize(
    "text", ["order-api: pod not found " + "x" * 300 + " /data", "order not\nfound"]
)
async def test_a_proxy_that_speaks_of_orders_does_not_say_that_there_is_none(
    venue: CannedVenue, live: LiveRecords, text: str
) -> None:
    venue.says(order_path(), {"error": text}, 404)
    venue.says("/data/trades", canned.page())
    with pytest.raises(RecordsError, match="order"):
        await live.lookup(claim())


async def test_half_a_character_in_another_s_trade_spoils_nothing(
    venue: CannedVenue, live: LiveRecords
) -> None:
    foreign = canned.trade(id="t2", taker_order_id="0x" + "ef" * 32)
    page = json.dumps(canned.page({**foreign, "owner_name": "cut \ud83d"}, canned.trade()))
    assert "\\ud83d" in page
    venue.says(order_path(), canned.order())
    venue.says_text("/data/trades", page)
    assert [fill.trade_id for fill in (await live.lookup(claim())).trades] == ["t1"]


@pytest.mark.parametrize(
    "odd",
    [{"match_time": "1700000000.5"}, {"side": "Buy Up"}, {"side": 0}, {"trader_side": 1}],
    ids=str,
)
async def test_what_a_lookup_does_not_need_does_not_block_it(
    venue: CannedVenue, live: LiveRecords, odd: dict[str, object]
) -> None:
    venue.says(order_path(), canned.order())
    venue.says("/data/trades", canned.page(canned.trade(**odd)))
    assert [fill.trade_id for fill in (await live.lookup(claim())).trades] == ["t1"]
