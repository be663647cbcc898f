from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fill import Fill, TradeStatus, decode_fill, encode_fill, message_id
from protocol.side import Side
from protocol.subjects import fill_subject
from tests.support.market_channel_frames import frame
from tests.support.user_channel_frames import (
    CREDENTIALS,
    MARKET,
    MATCHED_AT_S,
    ORDER,
    TOKEN,
    order,
    page,
    trade,
)
from venue.wire.errors import WireError
from venue.wire.market_channel import Pong, UnknownEvent
from venue.wire.trades import Rejection, UserFault, VenueTrade, read_trades_page
from venue.wire.user_channel import OrderChange, OrderEvent, UserEvent, decode_user_frame

FILL = Fill(
    trade_id="28c4d2eb-bbea",
    order_id=ORDER,
    condition_id=MARKET,
    token_id=TOKEN,
    status=TradeStatus.MATCHED,
    price_e4=5700,
    size_e6=10_000_000,
    matched_at_ms=MATCHED_AT_S * 1000,
)

KILLED = "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
NO_TIME: dict[str, Any] = dict.fromkeys(("match_time", "last_update", "timestamp"))


def decoded(event: dict[str, Any]) -> UserEvent:
    (only,) = decode_user_frame(frame(event))
    return only


def fill_of(event: dict[str, Any]) -> Fill:
    """The fill, which must be the same from the channel and from `/data/trades`."""
    only = decoded(event)
    assert isinstance(only, VenueTrade), only
    assert read_trades_page(page(event)).trades == [only]
    return only.fill


def rejected(event: dict[str, Any]) -> Rejection:
    only = decoded(event)
    assert isinstance(only, Rejection), only
    if event.get("event_type") == "trade":
        assert read_trades_page(page(event)).trades == [only]
    return only


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


def test_the_documented_trade_is_a_fill_of_its_taker_order() -> None:
    assert decoded(trade()) == VenueTrade(fill=FILL)


@pytest.mark.parametrize("status", TradeStatus)
@pytest.mark.parametrize("form", ["{}", "TRADE_STATUS_{}"])
def test_every_status_in_both_of_its_forms(status: TradeStatus, form: str) -> None:
    fill = fill_of(trade(status=form.format(status)))
    assert fill.status is status
    assert message_id(fill) == f"28c4d2eb-bbea:{status}"


def test_matched_and_not_yet_broadcast_is_matched() -> None:
    assert fill_of(trade(status="TRADE_STATUS_MATCHED_NOT_BROADCASTED")) == FILL


@pytest.mark.parametrize("word", ["REORGED", "TRADE_STATUS_REORGED"])
def test_an_unknown_status_is_a_provisional_match_that_keeps_the_word(word: str) -> None:
    assert decoded(trade(status=word)) == VenueTrade(fill=FILL, unknown_status="REORGED")
    assert fill_of(trade(status=word)).status is TradeStatus.MATCHED


@pytest.mark.parametrize("status", ["", None, 7])
def test_without_a_status_a_trade_is_malformed(status: object) -> None:
    assert rejected(trade(status=status)).fault is UserFault.MALFORMED


@pytest.mark.parametrize("word", ["MAKER", "maker"])
def test_a_trade_of_our_resting_order_says_so(word: str) -> None:
    assert decoded(trade(trader_side=word)) == VenueTrade(fill=FILL, as_maker=True)


@pytest.mark.parametrize("word", ["TAKER", "", None, "SOMETHING"])
def test_a_trader_side_that_is_not_maker_is_taker(word: str | None) -> None:
    assert decoded(trade(trader_side=word)) == VenueTrade(fill=FILL)


@pytest.mark.parametrize(
    ("side", "read"),
    [("BUY", Side.BUY), ("buy", Side.BUY), ("", Side.BUY), (None, Side.BUY), ("sell", Side.SELL)],
)
def test_a_side_in_any_case_and_none_is_a_purchase(side: str | None, read: Side) -> None:
    assert fill_of(trade(side=side)).side is read
    assert fill_of(without(trade(), "side")).side is Side.BUY


@pytest.mark.parametrize("side", ["HOLD", 7])
def test_a_side_that_is_not_sell_is_buy(side: object) -> None:
    assert fill_of(trade(side=side)).side is Side.BUY


@pytest.mark.parametrize(
    ("price", "size"), [("0.57", "10"), (0.57, 10), (0.57, 10.0), ("0.5700", "10.000000")]
)
def test_numbers_mean_the_same_as_text_and_as_numbers(price: object, size: object) -> None:
    assert fill_of(trade(price=price, size=size)) == FILL


def test_small_numbers_in_an_encoder_s_short_form_are_exact() -> None:
    assert fill_of(trade(size=0.000001)).size_e6 == 1  # written as 1e-06
    assert fill_of(trade(price=0.0001)).price_e4 == 1


def test_an_order_id_is_in_lower_case_and_a_token_has_two_names() -> None:
    assert fill_of(trade(taker_order_id=ORDER.upper().replace("X", "x"))) == FILL
    assert fill_of(trade(asset_id="", token_id=TOKEN)) == FILL
    assert rejected(trade(asset_id="a b")).fault is UserFault.MALFORMED


def test_a_rejected_trade_still_names_its_order_where_that_is_legible() -> None:
    for bent in ({"size": "?"}, {"id": ""}, {"status": None}, {**NO_TIME, "match_time": "x"}):
        assert rejected(trade(**bent)).taker_order_id == ORDER
    assert rejected(trade(taker_order_id=None)).taker_order_id is None


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ("PLACEMENT", OrderChange.PLACEMENT),
        ("UPDATE", OrderChange.UPDATE),
        ("cancellation", OrderChange.CANCELLATION),
        ("AMENDMENT", OrderChange.OTHER),
    ],
)
def test_order_events_keep_only_their_kind(change: str, known: OrderChange) -> None:
    assert decoded(order(change, status="A_NEW_WORD")) == OrderEvent(known)


@pytest.mark.parametrize("size", ["", None, " ", 7, ...])
def test_a_killed_order_s_event_has_no_size_and_its_reason_in_the_status(size: object) -> None:
    event = order("CANCELLATION", size_matched=size, status=KILLED, timestamp="1757908892351")
    sent = without(event, "size_matched") if size is ... else event
    assert decoded(sent) == OrderEvent(OrderChange.CANCELLATION)


def test_times_are_in_seconds_or_milliseconds() -> None:
    event = trade(match_time="1757908892", timestamp="1757908892351", last_update="1757908893")
    assert fill_of(event).matched_at_ms == 1_757_908_892_000
    assert fill_of(event | {"match_time": ""}).matched_at_ms == 1_757_908_893_000
    assert fill_of(event | {"match_time": "1757908892351"}).matched_at_ms == 1_757_908_892_351
    stamp = event | {"match_time": None, "last_update": " "}
    assert fill_of(stamp).matched_at_ms == 1_757_908_892_351


def test_the_variants_that_the_official_client_takes() -> None:
    assert fill_of(without(trade(token_id=TOKEN), "asset_id")) == FILL
    assert fill_of(without(trade(matchtime=str(MATCHED_AT_S)), "match_time")) == FILL
    assert fill_of(trade(match_time=MATCHED_AT_S)) == FILL
    assert fill_of(trade(match_time=str(MATCHED_AT_S * 1000))) == FILL
    assert fill_of(trade(match_time="2022-12-29T05:11:41Z")) == FILL
    assert fill_of(trade(match_time="2022-12-29T05:11:41")) == FILL
    assert fill_of(trade(maker_orders=None, transaction_hash="", a_new_field={"x": [1]})) == FILL


def test_without_a_match_time_the_nearest_stamp_counts() -> None:
    assert fill_of(without(trade(), "match_time")).matched_at_ms == (MATCHED_AT_S + 1) * 1000
    assert fill_of(trade(match_time="")).matched_at_ms == (MATCHED_AT_S + 1) * 1000
    only_last = fill_of(trade(match_time=None, last_update=None))
    assert only_last.matched_at_ms == (MATCHED_AT_S + 2) * 1000
    bare = rejected(without(trade(), "match_time", "last_update", "timestamp"))
    assert bare == Rejection(UserFault.MALFORMED, "trade 28c4d2eb-bbea: no match_time", ORDER)


@pytest.mark.parametrize(
    ("text", "price_e4"),
    [("0.57", 5700), ("0.570000000", 5700), (".5", 5000), ("0.52666667", 5267), ("0.00001", 1)],
)
def test_a_price_finer_than_a_tick_is_rounded_up(text: str, price_e4: int) -> None:
    assert fill_of(trade(price=text)).price_e4 == price_e4


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"price": "1.01"}, UserFault.INVALID_NUMBER),
        ({"price": "1.00001"}, UserFault.INVALID_NUMBER),
        ({"price": "0.1234x"}, UserFault.INVALID_NUMBER),
        ({"price": "-0.5"}, UserFault.INVALID_NUMBER),
        ({"price": ""}, UserFault.INVALID_NUMBER),
        ({"price": "0"}, UserFault.INVALID_NUMBER),
        ({"price": True}, UserFault.INVALID_NUMBER),
        ({"price": -0.5}, UserFault.INVALID_NUMBER),
        ({"size": 1e300}, UserFault.INVALID_NUMBER),
        ({"size": 1e17}, UserFault.INVALID_NUMBER),
        ({"size": 1e-7}, UserFault.INVALID_NUMBER),
        ({"size": [1]}, UserFault.INVALID_NUMBER),
        ({"size": "1e3"}, UserFault.INVALID_NUMBER),
        ({"size": "-1"}, UserFault.INVALID_NUMBER),
        ({"size": "0.0000001"}, UserFault.INVALID_NUMBER),
        ({"size": None}, UserFault.INVALID_NUMBER),
        ({**NO_TIME, "match_time": "yesterday"}, UserFault.INVALID_NUMBER),
        ({**NO_TIME, "match_time": "-5"}, UserFault.INVALID_NUMBER),
        ({**NO_TIME, "match_time": "9" * 40}, UserFault.INVALID_NUMBER),
        ({**NO_TIME, "match_time": "1,5"}, UserFault.INVALID_NUMBER),
        ({**NO_TIME, "match_time": True}, UserFault.INVALID_NUMBER),
        ({"id": "a\r\nNats-Msg-Id: b"}, UserFault.MALFORMED),
        ({"id": "a\n"}, UserFault.MALFORMED),
        ({"id": ""}, UserFault.MALFORMED),
        ({"size": "0"}, UserFault.INVALID_NUMBER),
        ({"size": "0.000000"}, UserFault.INVALID_NUMBER),
        ({"market": "fill.*"}, UserFault.MALFORMED),
        ({"market": "0x1 2"}, UserFault.MALFORMED),
        ({"taker_order_id": None}, UserFault.MALFORMED),
        ({"asset_id": None}, UserFault.MALFORMED),
    ],
)
def test_what_cannot_be_used_is_rejected_by_cause(more: dict[str, Any], fault: UserFault) -> None:
    assert rejected(trade(**more)).fault is fault


def test_a_malformed_event_takes_no_other_with_it() -> None:
    good, other = trade(), trade("other", "CONFIRMED")
    events = decode_user_frame(frame([good, trade(size="x"), {"event_type": "news"}, other]))
    assert [type(event) for event in events] == [VenueTrade, Rejection, UnknownEvent, VenueTrade]
    assert events[0] == VenueTrade(fill=FILL)


def test_pong_and_what_is_no_event() -> None:
    assert decode_user_frame(b"PONG") == [Pong()]
    assert decode_user_frame(b"[]") == []
    assert decoded({"event_type": "balance"}) == UnknownEvent("balance")
    assert decoded({"message": "hello"}) == UnknownEvent("")
    assert rejected(without(order(), "type")).fault is UserFault.MALFORMED
    assert rejected({"event_type": 5}).fault is UserFault.MALFORMED


@pytest.mark.parametrize("text", ["INVALID {}", '{{"auth": "{}"', '["{}"', '["{}"]', '"{}"'])
def test_an_echo_of_our_credentials_is_not_quoted(text: str) -> None:
    (event,) = decode_user_frame(text.format(CREDENTIALS.secret).encode())
    assert isinstance(event, Rejection)
    assert CREDENTIALS.secret not in event.text


def test_a_page_of_trades() -> None:
    read = read_trades_page(page(trade(), trade("b", "FAILED", trader_side="MAKER")))
    assert [type(each) for each in read.trades] == [VenueTrade, VenueTrade]
    assert read.trades[0] == VenueTrade(fill=FILL)
    assert read.next_cursor is None
    assert read_trades_page(page(next_cursor="MTAw")).next_cursor == "MTAw"
    assert read_trades_page(page(next_cursor="")).next_cursor is None
    assert read_trades_page(b'{"data": null}').trades == []


def test_one_malformed_trade_of_a_page_takes_no_other_with_it() -> None:
    read = read_trades_page(page(trade(size="x"), trade()))
    assert [type(each) for each in read.trades] == [Rejection, VenueTrade]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data": 5}', b'{"error":"no"}'])
def test_what_is_no_page_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(WireError, match="not a page of trades"):
        read_trades_page(body)


@given(st.binary())
def test_no_bytes_raise(payload: bytes) -> None:
    for event in decode_user_frame(payload):
        assert not isinstance(event, VenueTrade)
    try:
        read_trades_page(payload)
    except WireError:
        return


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(trade(trader_side="TAKER"))), _json, max_size=4))
def test_whatever_a_field_holds_a_fill_that_comes_out_can_be_published(
    bent: dict[str, Any],
) -> None:
    payload = json.dumps({**trade(), **bent}).encode("utf-8", "surrogatepass")
    for event in decode_user_frame(payload):
        if isinstance(event, VenueTrade):
            fill = event.fill
            assert decode_fill(encode_fill(fill)) == fill
            assert fill_subject(fill.condition_id)
            assert message_id(fill).isprintable()
            assert 0 < fill.price_e4 <= 10_000
            assert fill.size_e6 >= 0
            assert fill.matched_at_ms >= 0


@given(
    price_e4=st.integers(1, 10_000),
    size_e6=st.integers(1, 10**15),
    status=st.sampled_from(TradeStatus),
    matched_at_s=st.integers(1, 10**10),
)
def test_numbers_come_through_exactly(
    price_e4: int, size_e6: int, status: TradeStatus, matched_at_s: int
) -> None:
    fill = fill_of(
        trade(
            status=status,
            price=f"{price_e4 // 10_000}.{price_e4 % 10_000:04}",
            size=f"{size_e6 // 10**6}.{size_e6 % 10**6:06}",
            match_time=str(matched_at_s),
        )
    )
    assert (fill.price_e4, fill.size_e6, fill.status) == (price_e4, size_e6, status)
    assert fill.matched_at_ms == matched_at_s * 1000
