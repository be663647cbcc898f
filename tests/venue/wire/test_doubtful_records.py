"""Records that do not say, or say in two ways, what was bought: never evidence that nothing was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import canned_venue as canned
from tests.support.canned_venue import CONDITION_ID, DOWN, ORDER_ID, UP
from venue.wire.balances import read_balance_e6
from venue.wire.clob_market import read_clob_market
from venue.wire.errors import WireError
from venue.wire.listing import read_result
from venue.wire.market_record import read_market_record
from venue.wire.orders import read_order
from venue.wire.trades import Rejection, VenueTrade, read_trade, read_trades_page


def order(**changes: Any) -> bytes:
    body = canned.order(**changes)
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


def doubled(body: object, name: str, value: object) -> bytes:
    """The object, with a second value of that name at its end."""
    return json.dumps(body).encode()[:-1] + f",{json.dumps(name)}:{json.dumps(value)}}}".encode()


@pytest.mark.parametrize(
    "status",
    ["CANCELED", "ORDER_STATUS_CANCELED", "cancelled", "UNMATCHED", "LIVE", "DELAYED", "KILLED",
     "CANCELED_order couldn\u2019t be fully filled. FOK orders are fully filled or killed." * 4],
)  # fmt: skip
@pytest.mark.parametrize("size", ["", None, " ", ...])
def test_an_empty_size_is_nothing_beside_a_status_that_says_so(status: str, size: object) -> None:
    record = read_order(order(status=status, size_matched=size), ORDER_ID)
    assert record is not None
    assert record.size_matched_e6 == 0
    assert record.status.isascii()
    assert record.status.isprintable()


@pytest.mark.parametrize(
    "status",
    ["MATCHED", "FILLED", "PARTIALLY_MATCHED", "EXECUTED", "DONE", "COMPLETED", "SETTLED", "7", "",
     "?", None, ..., 7, True, [], ["CANCELED"], {"status": "CANCELED"}, "NOT_CANCELED", "ACTIVE"],
)  # fmt: skip
@pytest.mark.parametrize("size", ["", None, " ", ...])
def test_an_empty_size_beside_any_other_status_is_not_known(status: object, size: object) -> None:
    with pytest.raises(WireError, match="size_matched"):
        read_order(order(status=status, size_matched=size), ORDER_ID)


@pytest.mark.parametrize("trades", [["t1"], "t1", {"a": "t1"}, [None], 1])
def test_an_empty_size_beside_trades_is_not_known(trades: object) -> None:
    with pytest.raises(WireError, match="size_matched"):
        read_order(order(status="CANCELED", size_matched="", associate_trades=trades), ORDER_ID)


@pytest.mark.parametrize("status", ["CANCELED", "LIVE", "MATCHED", "", None])
@pytest.mark.parametrize("size", ["0", 0, "0.0", "0.0000001"])
@pytest.mark.parametrize("trades", [["t1"], "t1", {"a": "t1"}, [None], 1])
def test_trades_beside_a_size_of_nothing_contradict_it(
    status: str | None, size: object, trades: object
) -> None:
    with pytest.raises(WireError):
        read_order(order(status=status, size_matched=size, associate_trades=trades), ORDER_ID)


@pytest.mark.parametrize(
    ("name", "value"),
    [("size_matched", ""), ("size_matched", "0"), ("status", "CANCELED"), ("x", 1)],
)
def test_an_order_with_a_name_twice_is_no_evidence(name: str, value: object) -> None:
    with pytest.raises(WireError, match="twice"):
        read_order(doubled({**canned.order(), "x": 0}, name, value), ORDER_ID)


ERRORS: list[dict[str, object]] = [
    {"error": "context canceled"},
    {"errors": ["timeout"]},
    {"errorMsg": "timeout"},
    {"Error": {"code": 7}},
    {"message": "trades unavailable"},
    {"detail": "x"},
]


@pytest.mark.parametrize("beside", ERRORS)
def test_a_record_beside_an_error_is_no_evidence(beside: dict[str, object]) -> None:
    with pytest.raises(WireError, match="error"):
        read_order(order(status="CANCELED", size_matched="", **beside), ORDER_ID)
    with pytest.raises(WireError, match="error"):
        read_trades_page(json.dumps({**canned.page(), **beside}).encode())
    with pytest.raises(WireError, match="error"):
        read_balance_e6(json.dumps({"balance": "0", **beside}).encode())


def test_an_empty_error_is_none() -> None:
    for nothing in ("", None, [], {}, False):
        beside: dict[str, Any] = {"error": nothing, "errorMsg": nothing, "message": nothing}
        assert read_order(order(**beside), ORDER_ID) is not None
        assert read_trades_page(json.dumps({**canned.page(), **beside}).encode()).trades == []
        assert read_balance_e6(json.dumps({"balance": "7", **beside}).encode()) == 7


@pytest.mark.parametrize(("name", "value"), [("data", []), ("data", None), ("next_cursor", "LTE=")])
def test_a_page_with_a_name_twice_is_no_evidence(name: str, value: object) -> None:
    with pytest.raises(WireError, match="twice"):
        read_trades_page(doubled(canned.page(canned.trade(), cursor="abc"), name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "FAILED"), ("size", "0.1"), ("taker_order_id", "0x" + "cd" * 32), ("x", 1)],
)
def test_a_trade_with_a_name_twice_may_be_anybody_s_and_takes_no_other_with_it(
    name: str, value: object
) -> None:
    raw = doubled({**canned.trade(), "x": 0}, name, value)
    read = read_trade(raw)
    assert isinstance(read, Rejection)
    assert read.taker_order_id is None
    page = json.dumps(canned.page("@", canned.trade(id="t2"))).encode().replace(b'"@"', raw)
    first, second = read_trades_page(page).trades
    assert isinstance(first, Rejection)
    assert isinstance(second, VenueTrade)


def test_facts_of_a_market_with_a_name_twice_are_not_read() -> None:
    record = doubled(canned.market(winner=UP), "closed", False)
    with pytest.raises(WireError, match="twice"):
        read_market_record(record, CONDITION_ID, UP)
    [event] = canned.listing()
    assert isinstance(event, dict)
    [market] = event["markets"]
    raw = doubled(market, "outcomePrices", '["0", "1"]')
    with pytest.raises(WireError, match="twice"):
        read_result(b'[{"markets":[%s]}]' % raw, CONDITION_ID, UP)
    other = doubled({**market, "conditionId": "0x1"}, "closed", True)
    beside = b'[{"markets":[%s,%s]}]' % (other, json.dumps(market).encode())
    assert read_result(beside, CONDITION_ID, UP).payouts_e6 == {UP: 1_000_000, DOWN: 0}
    clob = {"t": [{"t": UP, "o": "Up"}, {"t": DOWN, "o": "Down"}]}
    with pytest.raises(WireError, match="twice"):
        read_clob_market(doubled(clob, "t", []), CONDITION_ID)


def test_a_balance_with_a_name_twice_is_not_read() -> None:
    with pytest.raises(WireError, match="twice"):
        read_balance_e6(b'{"balance":"5","balance":"0"}')


def test_numbers_that_nobody_reads_may_be_of_any_length() -> None:
    body = order().decode()[:-1] + f',"x":{"9" * 5_000},"y":1e999}}'
    assert read_order(body.encode(), ORDER_ID) is not None


@pytest.mark.parametrize(
    "written", [f" {ORDER_ID}\n", ORDER_ID.upper(), ORDER_ID.removeprefix("0x"), "0X" + "AB" * 32]
)
def test_the_order_of_a_trade_is_known_in_any_spelling(written: str) -> None:
    read = read_trade(json.dumps(canned.trade(taker_order_id=written)).encode())
    assert isinstance(read, VenueTrade)
    assert read.fill.order_id == ORDER_ID
    broken = read_trade(json.dumps(canned.trade(taker_order_id=written, size="")).encode())
    assert isinstance(broken, Rejection)
    assert broken.taker_order_id == ORDER_ID


@pytest.mark.parametrize(
    "written",
    [None, "", " ", 7, [ORDER_ID], {"id": ORDER_ID}, "0xab", ORDER_ID + "0", ORDER_ID[:-1], "order",
     ORDER_ID.replace("b", "g"), f"{ORDER_ID}.", "0x" + "\u0661" * 64],
)  # fmt: skip
def test_a_trade_whose_order_is_not_legible_may_be_any_s(written: object) -> None:
    read = read_trade(json.dumps(canned.trade(taker_order_id=written)).encode())
    assert isinstance(read, Rejection)
    assert read.taker_order_id is None


@pytest.mark.parametrize("field", ["id", "market", "status", "price", "size", "asset_id"])
@pytest.mark.parametrize("odd", [None, "", [], {}, True, ["1"], "\u0661", -1])
def test_a_trade_of_ours_that_cannot_be_read_is_still_ours(field: str, odd: object) -> None:
    read = read_trade(json.dumps(canned.trade(**{field: odd})).encode())
    if isinstance(read, Rejection):
        assert read.taker_order_id == ORDER_ID
    else:  # an unknown status is a match
        assert field == "status"
