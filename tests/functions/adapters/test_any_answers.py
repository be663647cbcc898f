"""Whatever JSON the venue answers: evidence or RecordsError, never another exception."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.adapters.venue_records import LiveRecords
from functions.core.claim import trader_of
from functions.core.evidence import OrderLookup, Resolution, Undecided
from functions.ports import RecordsError
from protocol.fill import decode_fill, encode_fill
from tests.support import canned_venue as canned
from tests.support.canned_venue import DOWN, KEY, UP, claim
from venue.wire.listing import read_result
from venue.wire.orders import OrderRecord, read_order

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["", "0", "1", "0.5", "2.2", "NaN", "-1", "1e400", "\u0661", UP, DOWN, "LTE="]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return [path, *(spot for key, each in inner for spot in spots(each, (*path, key)))]


@st.composite
def nearly(draw: st.DrawFn, valid: object) -> Any:
    """A valid answer with up to two places replaced, or left out."""
    value: Any = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(spots(value)))
        if not path:
            return draw(json_values)
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[path[-1]]
        else:
            holder[path[-1]] = draw(json_values)
    return value


orders = nearly(canned.order())
pages = nearly(canned.page(canned.trade(), canned.trade(id="t2", size=1.5, price=0.25)))
markets = st.sampled_from([UP, DOWN, None]).flatmap(lambda won: nearly(canned.market(winner=won)))
listings = st.sampled_from(['["1", "0"]', '["0.5", "0.5"]', [0, 1]]).flatmap(
    lambda prices: nearly(canned.listing(prices))
)


def _told(answers: dict[str, object], question: str) -> object:
    """What LiveRecords makes of these answers, None for RecordsError."""

    class Canned:
        async def private(self, path: str, _: object) -> bytes:
            return json.dumps(answers[path]).encode()

        public = listing = private

        def now_ms(self) -> None: ...

    async def ask() -> object:
        live = LiveRecords(Canned(), trader_of(KEY.address, KEY.address))  # type: ignore[arg-type]
        if question == "lookup":
            return await live.lookup(claim())
        if question == "trades_since":
            return await live.trades_since(0)
        return await live.resolution(claim())

    try:
        return asyncio.run(ask())
    except RecordsError as error:
        text = str(error)
        text.encode()
        assert "\n" not in text
        assert len(text) < 500
        return None


@settings(max_examples=100, deadline=None)
@given(orders, pages)
def test_any_order_and_trades(order: object, page: object) -> None:
    told = _told({f"/data/order/{canned.ORDER_ID}": order, "/data/trades": page}, "lookup")
    assert told is None or isinstance(told, OrderLookup)
    if isinstance(told, OrderLookup):
        assert msgspec.json.decode(msgspec.json.encode(told), type=OrderLookup) == told
        for fill in told.trades:
            assert fill.order_id == canned.ORDER_ID
            assert decode_fill(encode_fill(fill)) == fill


@settings(max_examples=100, deadline=None)
@given(pages)
def test_any_trades(page: object) -> None:
    told = _told({"/data/trades": page}, "trades_since")
    if told is None:
        return
    assert isinstance(told, tuple)
    for fill in told:
        assert decode_fill(encode_fill(fill)) == fill
        assert 0 < fill.price_e4 <= 10_000
        assert fill.size_e6 >= 0


@settings(max_examples=100, deadline=None)
@given(markets, listings)
def test_any_market_and_listing(market: object, listing: object) -> None:
    told = _told({f"/markets/{canned.CONDITION_ID}": market, "/events": listing}, "resolution")
    assert told is None or isinstance(told, Resolution | Undecided)
    if isinstance(told, Undecided):
        assert len(told.reason) < 300
        told.reason.encode()
    if isinstance(told, Resolution):
        assert sum(told.payouts_e6.values()) == 1_000_000
        assert UP in told.payouts_e6
        assert set(told.payouts_e6.values()) <= {0, 500_000, 1_000_000}


@given(st.integers(0, 10**15))
def test_a_size_reads_the_same_as_string_and_as_number(millionths: int) -> None:
    text = f"{millionths // 1_000_000}.{millionths % 1_000_000:06d}"
    body = canned.order(size_matched=text)
    expected = OrderRecord(order_id=canned.ORDER_ID, status="matched", size_matched_e6=millionths)
    assert read_order(json.dumps(body).encode(), canned.ORDER_ID) == expected
    number = json.loads(text)  # a float: exact up to 15 digits
    if millionths < 10**15:
        again = json.dumps(canned.order(size_matched=number)).encode()
        assert read_order(again, canned.ORDER_ID) == expected


@pytest.mark.parametrize("number", ["1", "1.0", "0.5", "100"])
def test_prices_of_one_and_half_in_any_writing(number: str) -> None:
    listing = json.dumps(canned.listing(f'["{number}", "0"]')).encode()
    told = read_result(listing, canned.CONDITION_ID, UP)
    assert told.payouts_e6 == ({UP: 1_000_000, DOWN: 0} if float(number) == 1 else None)
