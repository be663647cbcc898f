from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeder.core.book.checksum import BookChecksum
from feeder.core.book.ladder import json_of, parse_levels
from tests.support.market_channel_frames import DOWN, MARKET, UP
from tests.support.naive_book import INFO, hash_of
from venue.wire.market_channel import BookEvent, PriceChange, WireLevel

BIDS = [("0.50", "20"), ("0.52", "100.25")]
ASKS = [("0.60", "30"), ("0.53", "50.5")]


def book(token_id: str = UP, **more: Any) -> BookEvent:
    """A book with its true hash; `hash` and what the channel leaves out may be given."""
    event = BookEvent(
        market=MARKET,
        timestamp=1_757_908_892_351,
        asset_id=token_id,
        bids=[WireLevel(*level) for level in BIDS],
        asks=[WireLevel(*level) for level in ASKS],
        hash="",
        tick_size="0.01",
        min_order_size="5",
        neg_risk=False,
        last_trade_price="0.500",
    )
    event = msgspec.structs.replace(event, **more)
    return msgspec.structs.replace(event, hash=hash_of(event))


def bare(event: BookEvent) -> BookEvent:
    """As the channel sends it after a trade."""
    return msgspec.structs.replace(
        event, tick_size=None, min_order_size=None, neg_risk=None, last_trade_price=None
    )


def sides(event: BookEvent) -> tuple[bytes, bytes]:
    return json_of(parse_levels(event.bids or (), "bids")), json_of(
        parse_levels(event.asks or (), "asks")
    )


def matches(checksum: BookChecksum, event: BookEvent, *, search: bool = True) -> bool:
    return checksum.matches(
        event.asset_id, event.timestamp, *sides(event), event.hash or "", search=search
    )


def proves(checksum: BookChecksum, event: BookEvent) -> bool:
    return checksum.proves(event, *sides(event))


TEXTS = st.integers(1, 10**9).map(lambda n: f"{n / 100:.2f}".rstrip("0").rstrip("."))
PRICES = st.integers(1, 999).map(lambda n: f"{n / 1000:.3f}".rstrip("0"))
WIRE = st.lists(st.builds(WireLevel, PRICES, TEXTS), unique_by=lambda level: level.price)


@given(WIRE, WIRE, st.integers(0, 10**14), st.sampled_from([None, *range(0, 1001, 7)]))
def test_the_hash_is_that_of_the_venues_own_client(
    bids: list[WireLevel], asks: list[WireLevel], timestamp: int, trade: int | None
) -> None:
    text = "" if trade is None else f"{trade / 1000:.3f}"
    event = book(bids=bids, asks=asks, timestamp=timestamp, last_trade_price=text)
    checksum = BookChecksum(INFO)
    assert not checksum.confirmed
    assert matches(checksum, bare(event))
    assert checksum.confirmed


def test_the_formula_written_out_once_by_hand() -> None:
    fields = {
        "market": MARKET,
        "asset_id": UP,
        "timestamp": "1757908892351",
        "hash": "",
        "bids": [{"price": price, "size": size} for price, size in BIDS],
        "asks": [{"price": price, "size": size} for price, size in ASKS],
        "min_order_size": "5",
        "tick_size": "0.01",
        "neg_risk": False,
        "last_trade_price": "0.500",
    }
    compact = json.dumps(fields, separators=(",", ":")).encode()
    assert book().hash == hashlib.sha1(compact, usedforsecurity=False).hexdigest()
    assert proves(BookChecksum(INFO), book())


@pytest.mark.parametrize(
    "wrong",
    [
        {"bids": [WireLevel("0.50", "20"), WireLevel("0.52", "100.24")]},
        {"bids": [WireLevel("0.50", "20"), WireLevel("0.52", "100.250")]},
        {"bids": [WireLevel("0.50", "20")]},
        {"bids": [WireLevel("0.52", "100.25"), WireLevel("0.50", "20")]},
        {"timestamp": 1_757_908_892_352},
        {"asset_id": DOWN},
    ],
    ids=["size", "spelling", "level missing", "order", "timestamp", "token"],
)
def test_what_is_not_the_hashed_book_does_not_match(wrong: dict[str, Any]) -> None:
    event = msgspec.structs.replace(book(), **wrong)
    checksum = BookChecksum(INFO)
    assert not matches(checksum, event)
    assert not proves(checksum, event)
    assert not checksum.confirmed


def test_a_trade_price_that_was_not_told_yet_is_found_and_remembered() -> None:
    checksum = BookChecksum(INFO)
    event = bare(book(last_trade_price="0.007"))
    assert not matches(checksum, event, search=False)
    assert matches(checksum, event)
    assert matches(checksum, event, search=False)


@pytest.mark.parametrize("price", ["0.53", "0.47"])
def test_a_trade_is_at_a_level_that_changed_in_either_tokens_terms(price: str) -> None:
    checksum = BookChecksum(INFO)
    event = bare(book(last_trade_price="0.470"))
    changes = [PriceChange(UP, each, "1", "BUY") for each in ("0.1", price)]
    assert checksum.matches(
        UP, event.timestamp, *sides(event), event.hash or "", search=False, changes=changes
    )


@pytest.mark.parametrize(("token_id", "price"), [(UP, "0.53"), (DOWN, "0.53"), (DOWN, ".530")])
def test_a_trade_of_either_token_is_known_as_the_markets(token_id: str, price: str) -> None:
    checksum = BookChecksum(INFO)
    checksum.traded(token_id, price)
    for either in (UP, DOWN):
        assert matches(checksum, bare(book(either, last_trade_price="0.530")), search=False)


def test_a_trade_on_the_finest_grid_needs_four_decimals() -> None:
    checksum = BookChecksum(INFO)
    checksum.traded(UP, "0.0005")
    assert matches(checksum, bare(book(last_trade_price="0.0005")), search=False)


def test_the_price_before_is_still_known_to_the_other_line() -> None:
    checksum = BookChecksum(INFO)
    checksum.traded(UP, "0.51")
    checksum.traded(UP, "0.53")
    assert matches(checksum, bare(book(last_trade_price="0.510")), search=False)
    assert matches(checksum, bare(book(last_trade_price="0.530")), search=False)


def test_few_prices_are_known_at_a_time() -> None:
    checksum = BookChecksum(INFO)
    for cents in range(10, 90):
        checksum.traded(UP, f"0.{cents}")
    assert not matches(checksum, bare(book(last_trade_price="0.500")), search=False)
    assert len(checksum._known) <= 4


@pytest.mark.parametrize("price", ["", "x", "1.5", "-0.5", "1e-2"])
def test_what_is_no_price_was_no_trade(price: str) -> None:
    checksum = BookChecksum(INFO)
    with pytest.raises(ValueError, match="not a price"):
        checksum.traded(UP, price)


def test_a_trade_of_another_market_is_ignored() -> None:
    checksum = BookChecksum(INFO)
    checksum.traded("1" * 77, "0.53")
    assert not matches(checksum, bare(book(last_trade_price="0.530")), search=False)


def test_the_tick_size_is_hashed_as_is_the_one_before() -> None:
    checksum = BookChecksum(INFO)
    fine = bare(book(tick_size="0.001"))
    assert not matches(checksum, fine)
    checksum.tick_size("0.001", 5)
    assert matches(checksum, fine)
    # The other line may not have come so far.
    assert matches(checksum, bare(book()))


def test_a_book_says_itself_how_it_is_hashed() -> None:
    checksum = BookChecksum(INFO)
    event = book(min_order_size="15", tick_size="0.001", neg_risk=True, last_trade_price="0.123")
    assert not matches(checksum, event)
    assert proves(checksum, event)
    checksum.learn(event)
    assert matches(checksum, bare(event), search=False)


def test_the_trade_price_that_a_book_says_is_tried_even_without_hope() -> None:
    checksum = BookChecksum(INFO)
    checksum.unknown = True
    assert proves(checksum, book(last_trade_price="0.123"))


@pytest.mark.parametrize("wanted", ["", "x" * 40, "0" * 39, "0" * 40])
def test_what_is_no_hash_matches_nothing(wanted: str) -> None:
    assert not matches(BookChecksum(INFO), msgspec.structs.replace(book(), hash=wanted))


def test_numbers_are_hashed_as_texts() -> None:
    checksum = BookChecksum(INFO)
    event = book(min_order_size="15", tick_size="0.001")
    assert proves(checksum, msgspec.structs.replace(event, min_order_size=15.0, tick_size=0.001))


def test_a_listing_with_fractions_is_written_without_zeros() -> None:
    checksum = BookChecksum(
        msgspec.structs.replace(INFO, min_order_size_e6=2_500_000, tick_size_e4=5, neg_risk=True)
    )
    event = book(min_order_size="2.5", tick_size="0.0005", neg_risk=True)
    assert matches(checksum, bare(event))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tick_size", "x"),
        ("tick_size", "0"),
        ("tick_size", 1.0),
        ("min_order_size", "-5"),
        ("min_order_size", 1e300),
        ("last_trade_price", "7"),
    ],
)
def test_a_word_that_is_no_number_is_named_and_changes_nothing(field: str, value: object) -> None:
    checksum = BookChecksum(INFO)
    event = msgspec.structs.replace(book(), **{field: value})
    with pytest.raises(ValueError, match=field):
        proves(checksum, event)
    if field != "last_trade_price":
        with pytest.raises(ValueError, match=field):
            checksum.learn(event)
        with pytest.raises(ValueError, match=field):
            checksum.is_outdated(event)
    assert proves(checksum, book())


@pytest.mark.parametrize("text", ["", "x", "0", "1", "0.00001"])
def test_a_tick_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="tick_size"):
        BookChecksum(INFO).tick_size(text)


def test_a_book_from_before_a_tick_size_change_is_outdated() -> None:
    checksum = BookChecksum(INFO)
    assert not checksum.is_outdated(book(timestamp=1, tick_size="0.001"))  # nothing is known yet
    checksum.tick_size("0.001", 100)
    assert checksum.is_outdated(book(timestamp=100, tick_size="0.01"))
    # It changed again, and nobody told us.
    assert not checksum.is_outdated(book(timestamp=101, tick_size="0.01"))
    # A book keeps the time of its last change; that names the new size, so it is from after it.
    assert not checksum.is_outdated(book(timestamp=99, tick_size="0.001"))
    assert not checksum.is_outdated(bare(book(timestamp=99)))


def test_a_change_of_unknown_time_outdates_every_book_of_another_size() -> None:
    checksum = BookChecksum(INFO)
    checksum.tick_size("0.001")
    assert checksum.is_outdated(book(timestamp=10**14, tick_size="0.01"))
    checksum.learn(book(timestamp=100, tick_size="0.001"))
    assert not checksum.is_outdated(book(timestamp=101, tick_size="0.01"))


def test_without_hope_only_what_is_known_is_tried() -> None:
    checksum = BookChecksum(INFO)
    checksum.unknown = True
    event = bare(book(last_trade_price="0.123"))
    assert not matches(checksum, event)
    checksum.traded(UP, "0.123")
    assert matches(checksum, event)
    assert checksum.confirmed
    assert not checksum.unknown


def test_a_hash_in_another_spelling_is_not_the_venues() -> None:
    checksum, event = BookChecksum(INFO), book()
    for wanted in ((event.hash or "").upper(), f"{event.hash} "):
        assert not proves(checksum, msgspec.structs.replace(event, hash=wanted))
    assert proves(checksum, event)
