from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.market_channel_frames import (
    DOWN,
    MARKET,
    UP,
    book,
    change,
    frame,
    last_trade,
    price_change,
    tick_size_change,
)
from venue.wire.market_channel import (
    BookEvent,
    FrameError,
    FrameFault,
    LastTradeEvent,
    Pong,
    PriceChangeEvent,
    TickSizeChangeEvent,
    UnknownEvent,
    WireLevel,
    decode_frame,
)

UNKNOWN = {"event_type": "new_market", "id": 5, "market": "0x1"}


def test_a_book_keeps_the_venues_strings_in_wire_order() -> None:
    wire = book(
        bids=[(".01", "1000.00"), ("0.520", "100")],
        asks=[],
        last_trade_price="",
        tick_size="0.01",
        min_order_size="5",
        neg_risk=False,
    )
    (event,) = decode_frame(frame(wire))
    assert isinstance(event, BookEvent)
    assert (event.market, event.asset_id, event.timestamp) == (MARKET, UP, 1_757_908_892_000)
    assert event.bids == [WireLevel(".01", "1000.00"), WireLevel("0.520", "100")]
    assert event.asks == []
    assert event.tick_size == "0.01"


def test_a_price_change_with_and_without_best_prices() -> None:
    wire = price_change(change(best_bid="0.52", best_ask="1"), change(DOWN, "SELL", "0.49", "0"))
    (event,) = decode_frame(frame(wire))
    assert isinstance(event, PriceChangeEvent)
    assert event.timestamp == 1_757_908_892_351
    first, second = event.price_changes
    assert (first.asset_id, first.side, first.price, first.size) == (UP, "BUY", "0.51", "7")
    assert (first.best_bid, first.best_ask) == ("0.52", "1")
    assert (second.asset_id, second.side, second.best_bid) == (DOWN, "SELL", None)


def test_a_last_trade_and_a_tick_size_change() -> None:
    (trade,) = decode_frame(frame(last_trade()))
    assert isinstance(trade, LastTradeEvent)
    assert (trade.asset_id, trade.price) == (UP, "0.53")
    (tick,) = decode_frame(frame(tick_size_change()))
    assert isinstance(tick, TickSizeChangeEvent)
    assert tick.new_tick_size == "0.001"


def test_an_array_holds_events_of_any_type_in_order() -> None:
    wire = [book(), price_change(change()), book(DOWN), last_trade()]
    kinds = [type(event) for event in decode_frame(frame(wire))]
    assert kinds == [BookEvent, PriceChangeEvent, BookEvent, LastTradeEvent]


def test_an_empty_array_holds_nothing() -> None:
    assert list(decode_frame(b"[]")) == []


def test_pong_is_text() -> None:
    assert list(decode_frame(b"PONG")) == [Pong()]


def test_an_unknown_type_is_recognised_alone_and_among_known_ones() -> None:
    assert list(decode_frame(frame(UNKNOWN))) == [UnknownEvent("new_market")]
    # A notice without any type says nothing about a book: no reason to doubt all of them.
    assert list(decode_frame(b'{"message":"subscribed"}')) == [UnknownEvent("")]
    kinds = [type(event) for event in decode_frame(frame([book(), UNKNOWN, price_change()]))]
    assert kinds == [BookEvent, UnknownEvent, PriceChangeEvent]


def test_unknown_fields_are_ignored_at_every_level() -> None:
    wire = book() | {"news": {"a": [1]}}
    wire["bids"][0]["orders"] = 3
    entry: dict[str, object] = {**change(), "news": None}
    assert len(decode_frame(frame([wire, price_change() | {"price_changes": [entry]}]))) == 2


def test_a_null_side_is_an_empty_side() -> None:
    (event,) = decode_frame(frame(book() | {"asks": None}))
    assert isinstance(event, BookEvent)
    assert not event.asks


def without(event: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != field}


@pytest.mark.parametrize(
    ("event", "named"),
    [
        *[(without(book(), name), name) for name in ("market", "asset_id", "timestamp", "bids")],
        *[(without(price_change(), name), name) for name in ("market", "price_changes")],
        (without(last_trade(), "price"), "price"),
        (without(tick_size_change(), "new_tick_size"), "new_tick_size"),
        (book() | {"timestamp": "yesterday"}, r"\$\.timestamp"),
        (book() | {"timestamp": "-5"}, r"\$\.timestamp"),
        (book() | {"timestamp": "1" * 30}, r"\$\.timestamp"),
        (book() | {"bids": [{"price": "0.5"}]}, r"size.*\$\.bids\[0\]"),
        (book() | {"bids": [{"price": 0.5, "size": "1"}]}, r"\$\.bids\[0\]\.price"),
        (book() | {"asks": "none"}, r"\$\.asks"),
        (price_change(change(side="HOLD")), r"\$\.price_changes\[0\]\.side"),
        (price_change(change(), without(change(), "size")), r"size.*\$\.price_changes\[1\]"),
        (price_change() | {"market": None}, r"\$\.market"),
        ({"event_type": 5, "market": MARKET}, r"\$\.event_type"),
    ],
)
def test_a_missing_or_malformed_field_is_named(event: dict[str, Any], named: str) -> None:
    with pytest.raises(FrameError, match=named) as alone:
        decode_frame(frame(event))
    assert alone.value.fault is FrameFault.MALFORMED
    with pytest.raises(FrameError, match=named) as last:
        decode_frame(frame([book(), event]))
    assert "event 1: " in str(last.value)


def test_a_malformed_frame_says_whose_books_are_in_doubt() -> None:
    bad = price_change(change(side="HOLD"), market="0xbad")
    with pytest.raises(FrameError) as alone:
        decode_frame(frame(bad))
    assert alone.value.markets == frozenset({"0xbad"})
    with pytest.raises(FrameError) as among:
        decode_frame(frame([book(), bad]))
    assert among.value.markets == frozenset({MARKET, "0xbad"})
    with pytest.raises(FrameError) as nameless:
        decode_frame(frame(without(bad, "market")))
    assert nameless.value.markets is None


def test_truncated_json_may_have_been_about_any_market() -> None:
    for whole in (frame(price_change(change())), frame([book(), book(DOWN)])):
        for length in range(1, len(whole)):
            with pytest.raises(FrameError) as error:
                decode_frame(whole[:length])
            assert error.value.fault is FrameFault.NOT_JSON
            assert error.value.markets is None


@pytest.mark.parametrize("text", [b"INVALID OPERATION", b"PING", b"pong", b"", b"\xff\xfe", b"nul"])
def test_plain_text_doubts_no_book(text: bytes) -> None:
    with pytest.raises(FrameError) as error:
        decode_frame(text)
    assert error.value.fault is FrameFault.NOT_JSON
    assert error.value.markets == frozenset()


@pytest.mark.parametrize(
    "payload",
    [
        b"1",
        b"null",
        b'"book"',
        b"[1]",
        b"[[]]",
        b'{"event_type":"\xff"}',
        b'{"event_type":"book","market":"\xff"}',
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"event_type":"new","x":' + b"[" * 100_000,
        frame(book()) + b"x",
    ],
)
def test_json_that_is_no_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from([*book(), *price_change(), "event_type", "new_tick_size"])


@given(st.dictionaries(FIELDS, JSON), st.sampled_from([book(), price_change(change()), {}]))
def test_any_json_is_decoded_or_refused_with_the_one_error(
    bent: dict[str, Any], whole: dict[str, Any]
) -> None:
    for wire in (whole | bent, [whole | bent]):
        try:
            decode_frame(frame(wire))
        except FrameError as error:
            assert str(error)


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused_with_the_one_error(payload: bytes) -> None:
    try:
        decode_frame(payload)
    except FrameError as error:
        assert str(error)
