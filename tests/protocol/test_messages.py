from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.book import PUBLISHED_LEVELS_MAX, Book
from protocol.decision import decode_decision, encode_decision
from protocol.fill import Fill, TradeStatus, decode_fill, encode_fill
from protocol.side import Side
from protocol.snapshot import ProtocolError, decode_snapshot, encode_snapshot, with_bids
from tests.support.message_builders import DOWN_TOKEN, UP_TOKEN, decision, snapshot


def encoded() -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode_snapshot(snapshot()))
    return decoded


def decode(message: dict[str, Any]) -> None:
    decode_snapshot(json.dumps(message).encode())


def test_a_snapshot_survives_a_round_trip() -> None:
    assert decode_snapshot(encode_snapshot(snapshot())) == snapshot()


def test_a_snapshot_says_how_many_bids_its_feeder_publishes() -> None:
    whole = snapshot()
    cut = decode_snapshot(encode_snapshot(with_bids(whole, 1)))
    assert cut.bids_max == 1
    for before, after in zip(whole.books, cut.books, strict=True):
        assert (after.bids, after.asks) == (before.bids[:1], before.asks)
    older: dict[str, Any] = json.loads(encode_snapshot(whole))
    del older["bids_max"]  # of a feeder that knows nothing of it, and publishes all
    assert decode_snapshot(json.dumps(older).encode()).bids_max == PUBLISHED_LEVELS_MAX


def test_a_decision_survives_a_round_trip() -> None:
    assert decode_decision(encode_decision(decision())) == decision()
    with_market = msgspec.structs.replace(
        decision(), memory_versions="s3:9|3:9-11", market=snapshot().market
    )
    assert decode_decision(encode_decision(with_market)) == with_market


def test_a_decision_of_a_version_that_named_no_books_is_read() -> None:
    older = json.loads(encode_decision(decision()))
    del older["memory_versions"], older["market"]
    read = decode_decision(json.dumps(older).encode())
    assert (read.memory_versions, read.market) == ("", None)


@pytest.mark.parametrize(
    ("field", "value"), [("tick_size_e4", 0), ("tick_size_e4", 10_000), ("slug", 7)]
)
def test_a_decisions_market_is_as_sound_as_a_snapshots(field: str, value: Any) -> None:
    told = msgspec.structs.replace(decision(), market=snapshot().market)
    message = json.loads(encode_decision(told))
    message["market"][field] = value
    with pytest.raises(ProtocolError, match=rf"decision: .*\$\.market\.{field}"):
        decode_decision(json.dumps(message).encode())


def test_a_fill_of_a_feeder_that_knew_no_side_is_a_purchase() -> None:
    fill = Fill(
        trade_id="t1",
        order_id="0x1",
        condition_id="0xc1",
        token_id="1",
        status=TradeStatus.MATCHED,
        price_e4=5_000,
        size_e6=1_000_000,
        matched_at_ms=1_800_000_000_000,
        side=Side.SELL,
    )
    assert decode_fill(encode_fill(fill)) == fill
    older = json.loads(encode_fill(fill))
    del older["side"]
    assert decode_fill(json.dumps(older).encode()).side is Side.BUY


def test_money_does_not_travel_as_a_float() -> None:
    assert encoded()["market"]["fee"]["rate"] == "0.07"


def test_unknown_fields_of_a_newer_feeder_are_ignored() -> None:
    message = encoded()
    message["news"] = message["market"]["news"] = message["books"][0]["news"] = {"a": [1]}
    decode(message)


@pytest.mark.parametrize(
    "field", [name for name in encoded() if name not in ("market", "bids_max")]
)
def test_a_missing_field_is_named(field: str) -> None:
    message = encoded()
    del message[field]
    with pytest.raises(ProtocolError, match=field):
        decode(message)


@pytest.mark.parametrize("field", list(encoded()["market"]))
def test_a_missing_market_field_is_named(field: str) -> None:
    message = encoded()
    del message["market"][field]
    with pytest.raises(ProtocolError, match=field):
        decode(message)


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(message: dict[str, Any]) -> None:
        target: Any = message
        *parents, last = path.split(".")
        for part in parents:
            target = target[int(part) if part.isdigit() else part]
        target[int(last) if last.isdigit() else last] = value

    return apply


@pytest.mark.parametrize(
    ("bend", "named"),
    [
        (_set("sequence", "3"), r"\$\.sequence"),
        (_set("received_at_ns", 1.5), r"\$\.received_at_ns"),
        (_set("books", [1]), r"\$\.books"),
        (_set("books.0.bids.0", [5200]), r"\$\.books\[0\]\.bids\[0\]"),
        (_set("books.0.bids.0", ["5200", 1]), r"\$\.books\[0\]\.bids\[0\]\[0\]"),
        (_set("market.tick_size_e4", None), r"\$\.market\.tick_size_e4"),
        (_set("market.tick_size_e4", 0), r"\$\.market\.tick_size_e4"),
        (_set("market.outcomes.1.name", 7), r"\$\.market\.outcomes\[1\]\.name"),
        (_set("market.fee.rate", "seven"), r"\$\.market\.fee\.rate"),
        (_set("books.0.token_id", "3" * 77), r"\$\.books: token ids"),
        (_set("books.0.bids", [[5100, 1], [5200, 1]]), r"bids: price 5200e-4 is out of order"),
        (_set("books.0.asks", [[5300, 1], [5300, 1]]), r"asks: price 5300e-4 is out of order"),
        (_set("books.0.asks", [[10_000, 1]]), r"<= 9999 - at `\$\.books\[0\]\.asks\[0\]\[0\]"),
        (_set("books.0.bids", [[0, 1]]), r">= 1 - at `\$\.books\[0\]\.bids\[0\]\[0\]"),
        (_set("books.0.bids", [[5200, 0]]), r">= 1 - at `\$\.books\[0\]\.bids\[0\]\[1\]"),
    ],
)
def test_a_malformed_field_is_named(bend: Callable[[dict[str, Any]], None], named: str) -> None:
    message = encoded()
    bend(message)
    with pytest.raises(ProtocolError, match=named):
        decode(message)


def test_truncated_messages_are_refused() -> None:
    whole = encode_snapshot(snapshot())
    for length in range(len(whole)):
        with pytest.raises(ProtocolError):
            decode_snapshot(whole[:length])
    whole = encode_decision(decision())
    for length in range(len(whole)):
        with pytest.raises(ProtocolError):
            decode_decision(whole[:length])


@given(st.binary(max_size=40))
def test_garbage_is_refused_with_the_one_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_snapshot(payload)
    with pytest.raises(ProtocolError):
        decode_decision(payload)


@pytest.mark.parametrize("payload", [b'{"slug":"\xff"}', b'{"a":' * 100_000])
def test_invalid_utf8_and_bottomless_nesting_are_refused_with_the_one_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_snapshot(payload)
    with pytest.raises(ProtocolError):
        decode_decision(payload)


def test_a_decisions_missing_and_malformed_fields_are_named() -> None:
    message = json.loads(encode_decision(decision()))
    for field, value, named in (
        ("imbalance", "x", r"\$\.imbalance"),
        ("result", "maybe", r"\$\.result"),
        ("timeline", {"received_at_ns": "1"}, r"\$\.timeline\.received_at_ns"),
    ):
        with pytest.raises(ProtocolError, match=named):
            decode_decision(json.dumps(message | {field: value}).encode())
    del message["strategy"]
    with pytest.raises(ProtocolError, match="strategy"):
        decode_decision(json.dumps(message).encode())


def test_books_and_tokens_are_found_by_name_whatever_their_position() -> None:
    original = snapshot()
    swapped = msgspec.structs.replace(
        original,
        books=(original.books[1], original.books[0]),
        market=msgspec.structs.replace(original.market, outcomes=original.market.outcomes[::-1]),
    )
    for message in (original, swapped):
        assert message.book_of("Up").token_id == UP_TOKEN
        assert message.book_of("Down").token_id == DOWN_TOKEN
        with pytest.raises(KeyError, match="Sideways"):
            message.book_of("Sideways")


def test_the_figures_of_a_book() -> None:
    book = Book(
        token_id=UP_TOKEN,
        bids=((5_200, 30_000_000), (5_100, 10_000_000)),
        asks=((5_300, 10_000_000), (5_500, 30_000_000)),
    )
    assert (book.best_bid_e4, book.best_ask_e4) == (5_200, 5_300)
    assert (book.mid_e4, book.spread_e4) == (5_250, 100)
    assert book.imbalance(1) == 0.5
    assert book.imbalance(5) == 0
    assert book.ask_depth_usd_e6(5_299) == 0
    assert book.ask_depth_usd_e6(5_300) == 5_300_000
    assert book.ask_depth_usd_e6(9_999) == 21_800_000
    assert book.ask_depth_usd_e6(9_999, enough_e6=5_300_000) == 5_300_000
    assert book.ask_depth_usd_e6(9_999, enough_e6=5_300_001) > 5_300_001
    assert book.ask_depth_usd_e6(9_999, enough_e6=99_000_000) == 21_800_000


def test_the_figures_of_an_empty_side_are_none() -> None:
    book = Book(token_id=UP_TOKEN, bids=((5_200, 1),), asks=())
    assert (book.best_ask_e4, book.mid_e4, book.spread_e4) == (None, None, None)
    assert book.imbalance(5) == 1
    assert Book(token_id=UP_TOKEN, bids=(), asks=()).imbalance(5) is None
