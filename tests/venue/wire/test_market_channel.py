from __future__ import annotations

import json
import re
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
    FrameFault,
    LastTradeEvent,
    Malformed,
    Pong,
    PriceChangeEvent,
    TickSizeChangeEvent,
    UnknownEvent,
    WireLevel,
    decode_book,
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
        (price_change(change(side="HOLD")), r"price_changes\[0\]: .*\$\.side"),
        (price_change(change(), without(change(), "size")), r"price_changes\[1\]: .*size"),
        (price_change() | {"market": None}, r"\$\.market"),
        ({"event_type": 5, "market": MARKET}, r"\$\.event_type"),
    ],
)
def test_a_missing_or_malformed_field_is_named(event: dict[str, Any], named: str) -> None:
    alone = malformed(event)
    assert re.search(named, alone.reason)
    assert alone.fault is FrameFault.MALFORMED
    among = malformed([book(), event])
    assert re.search(named, among.reason)
    assert among.reason.startswith("event 1: ")


def malformed(wire: Any) -> Malformed:
    """The one malformed part of a frame."""
    payload = wire if isinstance(wire, bytes) else frame(wire)
    (found,) = [each for each in decode_frame(payload) if isinstance(each, Malformed)]
    return found


def test_a_malformed_event_says_whose_books_are_in_doubt() -> None:
    bad = price_change(market="0xbad") | {"price_changes": 5}
    for wire in (bad, [book(), bad]):
        found = malformed(wire)
        assert (found.market, found.token_id) == ("0xbad", None)
    assert malformed(without(bad, "market")).market is None
    level = malformed(book(DOWN) | {"asks": [{"price": "0.5"}]})
    assert (level.market, level.token_id) == (MARKET, DOWN)
    # It concerns every book of the market, whichever token it names.
    tick = malformed(without(tick_size_change(), "new_tick_size"))
    assert (tick.market, tick.token_id) == (MARKET, None)


def test_a_malformed_event_spoils_none_of_its_siblings() -> None:
    bad = book(DOWN) | {"timestamp": ""}
    events = decode_frame(frame([book(), bad, UNKNOWN, price_change(change())]))
    kinds = [type(event) for event in events]
    assert kinds == [BookEvent, Malformed, UnknownEvent, PriceChangeEvent]


def test_a_malformed_entry_comes_before_its_siblings_which_keep_their_order() -> None:
    entries = (change(size="1"), change(side="HOLD"), change(DOWN, size="2"), change(size="3"))
    for wire in (price_change(*entries), [price_change(*entries)]):
        bad, rest = decode_frame(frame(wire))
        assert isinstance(bad, Malformed)
        assert (bad.market, bad.token_id) == (MARKET, UP)
        assert isinstance(rest, PriceChangeEvent)
        assert (rest.market, rest.timestamp) == (MARKET, 1_757_908_892_351)
        assert [each.size for each in rest.price_changes] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "entry", [{}, 5, None, [], "x", {"asset_id": UP, "price": None}, change() | {"size": 7}]
)
def test_whatever_stands_for_an_entry_spoils_none_of_its_siblings(entry: object) -> None:
    wire = price_change(change(DOWN)) | {"price_changes": [entry, change(DOWN)]}
    bad, rest = decode_frame(frame(wire))
    assert isinstance(bad, Malformed)
    assert bad.token_id == (UP if isinstance(entry, dict) and entry else None)
    assert isinstance(rest, PriceChangeEvent)


def test_a_price_change_of_malformed_entries_only_is_no_event() -> None:
    (bad,) = decode_frame(frame(price_change(change(side="HOLD"))))
    assert isinstance(bad, Malformed)


def test_an_object_that_is_not_utf8_spoils_none_of_its_siblings() -> None:
    bad = frame(book(DOWN)).replace(b'"hash":"', b'"hash":"\xff')
    first, second, third = decode_frame(b"[%s,%s,%s]" % (frame(book()), bad, frame(last_trade())))
    assert isinstance(first, BookEvent)
    assert isinstance(second, Malformed)
    assert (second.fault, second.market) == (FrameFault.NOT_JSON, MARKET)
    assert isinstance(third, LastTradeEvent)


@pytest.mark.parametrize("size", ["", None])
def test_an_empty_or_null_size_is_read(size: str | None) -> None:
    entry = change() | {"size": size}
    (event,) = decode_frame(frame(price_change(entry)))
    assert isinstance(event, PriceChangeEvent)
    assert event.price_changes[0].size == size


def test_truncated_json_may_have_been_about_any_market() -> None:
    for whole in (frame(price_change(change())), frame([book(), book(DOWN)])):
        for length in range(1, len(whole)):
            (bad,) = decode_frame(whole[:length])
            assert isinstance(bad, Malformed)
            assert bad.fault is FrameFault.NOT_JSON
            assert bad.market is None


@pytest.mark.parametrize("text", [b"INVALID OPERATION", b"PING", b"pong", b"", b"\xff\xfe", b"nul"])
def test_plain_text_doubts_no_book(text: bytes) -> None:
    (notice,) = decode_frame(text)
    assert isinstance(notice, Malformed)
    assert notice.fault is FrameFault.NOT_JSON
    assert notice.market == ""  # of none


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
    assert all(
        isinstance(each, Malformed) and each.market is None for each in decode_frame(payload)
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from([*book(), *price_change(), "event_type", "new_tick_size"])


@given(st.dictionaries(FIELDS, JSON), st.sampled_from([book(), price_change(change()), {}]))
def test_any_json_is_decoded_or_named_malformed(
    bent: dict[str, Any], whole: dict[str, Any]
) -> None:
    for wire in (whole | bent, [whole | bent]):
        assert all(
            event.reason for event in decode_frame(frame(wire)) if isinstance(event, Malformed)
        )


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_named_malformed(payload: bytes) -> None:
    assert all(event.reason for event in decode_frame(payload) if isinstance(event, Malformed))


@given(st.binary(max_size=60) | JSON.map(frame))
def test_any_answer_is_a_book_or_refused_with_the_one_error(payload: bytes) -> None:
    try:
        decode_book(payload)
    except ValueError as error:
        assert str(error)


def test_a_bad_type_of_another_market_s_event_leaves_our_books_alone() -> None:
    for odd in (None, 7, []):
        payload = json.dumps([{"event_type": odd, "market": "0xother", "timestamp": "1"}])
        (event,) = decode_frame(payload.encode())
        assert isinstance(event, Malformed)
        assert event.market == "0xother"


def test_a_frame_of_nothing_but_malformed_parts_is_one_rejection() -> None:
    for parts in ([{"event_type": "book"}] * 5_000, [7] * 5_000):
        (event,) = decode_frame(json.dumps(parts).encode())
        assert isinstance(event, Malformed)
        assert event.market is None
    entry = {"asset_id": "1", "price": None, "size": "1", "side": "BUY"}
    change = {"event_type": "price_change", "market": "0xours", "timestamp": "1"}
    payload = json.dumps({**change, "price_changes": [entry] * 5_000}).encode()
    (event,) = decode_frame(payload)
    assert isinstance(event, Malformed)
    assert (event.market, event.token_id) == ("0xours", None)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b'"market":"m","timestamp":"1","price_changes":[]', "PriceChangeEvent"),
        (b'"market":"m","timestamp":"1"', "Malformed"),
        (b'"event_type":"tick_size_change","market":"m","timestamp":"1"', "Malformed"),
        (b'"market":"m","timestamp":"1","price_changes":[],"x":"a\\"', "Malformed"),
    ],
)
def test_what_ends_like_a_price_change_is_judged_like_all_else(start: bytes, kind: str) -> None:
    (event,) = decode_frame(b"{" + start + b',"event_type":"price_change"}')
    assert type(event).__name__ == kind
