from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fill import Fill, TradeStatus, decode_fill, encode_fill, message_id
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
from venue.wire.market_channel import Pong, UnknownEvent
from venue.wire.user_channel import (
    OrderChange,
    OrderEvent,
    PageError,
    Rejection,
    Skipped,
    SkipReason,
    UserEvent,
    UserFault,
    decode_trades_page,
    decode_user_frame,
)

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


def decoded(event: dict[str, Any]) -> UserEvent:
    (only,) = decode_user_frame(frame(event))
    return only


def rejected(event: dict[str, Any]) -> Rejection:
    only = decoded(event)
    assert isinstance(only, Rejection), only
    return only


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


def test_the_documented_trade_is_a_fill_of_its_taker_order() -> None:
    assert decoded(trade()) == FILL


@pytest.mark.parametrize("status", TradeStatus)
@pytest.mark.parametrize("form", ["{}", "TRADE_STATUS_{}"])
def test_every_status_in_both_of_its_forms(status: TradeStatus, form: str) -> None:
    event = decoded(trade(status=form.format(status)))
    assert isinstance(event, Fill)
    assert event.status is status
    assert message_id(event) == f"28c4d2eb-bbea:{status}"


def test_matched_and_not_yet_broadcast_is_matched() -> None:
    assert decoded(trade(status="TRADE_STATUS_MATCHED_NOT_BROADCASTED")) == FILL


def test_an_unknown_status_is_a_rejection_that_names_it() -> None:
    rejection = rejected(trade(status="REORGED"))
    assert rejection == Rejection(UserFault.UNKNOWN_STATUS, "trade 28c4d2eb-bbea: status 'REORGED'")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"trader_side": "MAKER"}, SkipReason.MAKER),
        ({"trader_side": "maker"}, SkipReason.MAKER),
        ({"side": "SELL"}, SkipReason.SELL),
        ({"trader_side": "TAKER", "side": "sell"}, SkipReason.SELL),
    ],
)
def test_only_buys_in_which_we_are_the_taker_are_fills(
    more: dict[str, str], reason: SkipReason
) -> None:
    assert decoded(trade(**more)) == Skipped(reason)
    assert decoded(trade(trader_side="TAKER")) == FILL


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


def test_the_variants_that_the_official_client_takes() -> None:
    assert decoded(without(trade(token_id=TOKEN), "asset_id")) == FILL
    assert decoded(without(trade(matchtime=str(MATCHED_AT_S)), "match_time")) == FILL
    assert decoded(trade(match_time=MATCHED_AT_S)) == FILL
    assert decoded(trade(match_time=str(MATCHED_AT_S * 1000))) == FILL
    assert decoded(trade(match_time="2022-12-29T05:11:41Z")) == FILL
    assert decoded(trade(match_time="2022-12-29T05:11:41")) == FILL
    assert decoded(trade(maker_orders=None, transaction_hash="", a_new_field={"x": [1]})) == FILL


def test_without_a_match_time_the_nearest_stamp_counts() -> None:
    event = decoded(without(trade(), "match_time"))
    assert isinstance(event, Fill)
    assert event.matched_at_ms == (MATCHED_AT_S + 1) * 1000
    bare = rejected(without(trade(), "match_time", "last_update", "timestamp"))
    assert bare == Rejection(UserFault.INVALID_NUMBER, "trade 28c4d2eb-bbea: no match_time")


@pytest.mark.parametrize(
    ("text", "price_e4"),
    [("0.57", 5700), ("0.570000000", 5700), (".5", 5000), ("0.52666667", 5267), ("0.00001", 1)],
)
def test_a_price_finer_than_a_tick_is_rounded_up(text: str, price_e4: int) -> None:
    event = decoded(trade(price=text))
    assert isinstance(event, Fill)
    assert event.price_e4 == price_e4


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"price": "1.01"}, UserFault.INVALID_NUMBER),
        ({"price": "1.00001"}, UserFault.INVALID_NUMBER),
        ({"price": "0.1234x"}, UserFault.INVALID_NUMBER),
        ({"price": "-0.5"}, UserFault.INVALID_NUMBER),
        ({"price": ""}, UserFault.INVALID_NUMBER),
        ({"price": 0.57}, UserFault.MALFORMED),
        ({"size": "1e3"}, UserFault.INVALID_NUMBER),
        ({"size": "-1"}, UserFault.INVALID_NUMBER),
        ({"size": "0.0000001"}, UserFault.INVALID_NUMBER),
        ({"size": None}, UserFault.MALFORMED),
        ({"match_time": "yesterday"}, UserFault.INVALID_NUMBER),
        ({"match_time": "-5"}, UserFault.INVALID_NUMBER),
        ({"match_time": "9" * 40}, UserFault.INVALID_NUMBER),
        ({"match_time": 1.5}, UserFault.MALFORMED),
        ({"id": "a\r\nNats-Msg-Id: b"}, UserFault.MALFORMED),
        ({"id": "a\n"}, UserFault.MALFORMED),
        ({"id": ""}, UserFault.MALFORMED),
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
    assert [type(event) for event in events] == [Fill, Rejection, UnknownEvent, Fill]
    assert events[0] == FILL


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
    events = decode_trades_page(page(trade(), trade("b", "FAILED", trader_side="MAKER")))
    assert events.events == [FILL, Skipped(SkipReason.MAKER)]
    assert events.next_cursor is None
    assert decode_trades_page(page(next_cursor="MTAw")).next_cursor == "MTAw"
    assert decode_trades_page(page(next_cursor="")).next_cursor is None
    assert decode_trades_page(b'{"data": null}').events == []
    assert isinstance(decode_trades_page(page(trade(size="x"))).events[0], Rejection)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data": 5}', b'{"error":"no"}'])
def test_what_is_no_page_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(PageError, match="not a page of trades"):
        decode_trades_page(body)


@given(st.binary())
def test_no_bytes_raise(payload: bytes) -> None:
    for event in decode_user_frame(payload):
        assert not isinstance(event, Fill)
    try:
        decode_trades_page(payload)
    except PageError:
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
        if isinstance(event, Fill):
            assert decode_fill(encode_fill(event)) == event
            assert fill_subject(event.condition_id)
            assert message_id(event).isprintable()
            assert 0 <= event.price_e4 <= 10_000
            assert event.size_e6 >= 0
            assert event.matched_at_ms >= 0


@given(
    price_e4=st.integers(0, 10_000),
    size_e6=st.integers(0, 10**15),
    status=st.sampled_from(TradeStatus),
    matched_at_s=st.integers(0, 10**10),
)
def test_numbers_come_through_exactly(
    price_e4: int, size_e6: int, status: TradeStatus, matched_at_s: int
) -> None:
    event = decoded(
        trade(
            status=status,
            price=f"{price_e4 // 10_000}.{price_e4 % 10_000:04}",
            size=f"{size_e6 // 10**6}.{size_e6 % 10**6:06}",
            match_time=str(matched_at_s),
        )
    )
    assert isinstance(event, Fill)
    assert (event.price_e4, event.size_e6, event.status) == (price_e4, size_e6, status)
    assert event.matched_at_ms == matched_at_s * 1000
