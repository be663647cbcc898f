from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fee import NO_FEE, FeeSchedule
from protocol.market import MarketInfo, Outcome
from protocol.series import parse_series
from tests.support.market_channel_frames import DOWN, MARKET, UP
from venue.wire.errors import WireError
from venue.wire.listing import (
    ASSUMED_FEE,
    ListedResult,
    ListingError,
    parse_listing,
    read_result,
)

SERIES = parse_series("btc-15m")
START_S = 1_795_353_300
SLUG = "btc-updown-15m-1795353300"


REQUIRED = ["conditionId", "slug", "outcomes", "clobTokenIds", "eventStartTime", "endDate"]
REQUIRED += ["orderPriceMinTickSize", "orderMinSize", "acceptingOrders", "active", "closed"]


def listed(**bent: Any) -> dict[str, Any]:
    """A market as the Gamma API lists it; `...` as a value removes the field."""
    market = {
        "id": "516861",
        "question": "Bitcoin Up or Down",
        "conditionId": MARKET,
        "slug": SLUG,
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.5", "0.5"]',
        "clobTokenIds": json.dumps([UP, DOWN]),
        "startDate": "2026-11-21T13:16:40.123456Z",
        "eventStartTime": "2026-11-22T13:15:00Z",
        "endDate": "2026-11-22T13:30:00Z",
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "acceptingOrders": True,
        "active": True,
        "closed": False,
        "negRisk": False,
        "feesEnabled": True,
        "feeSchedule": {"rate": 0.07, "exponent": 1, "takerOnly": True, "rebateRate": 0.2},
    }
    return {key: value for key, value in (market | bent).items() if value is not ...}


def parsed(market: dict[str, Any], **event: Any) -> MarketInfo | None:
    payload = json.dumps([{"slug": SLUG, "markets": [market], **event}]).encode()
    return parse_listing(payload, SERIES, START_S)


EXPECTED = MarketInfo(
    condition_id=MARKET,
    slug=SLUG,
    series="btc-15m",
    outcomes=(Outcome(name="Up", token_id=UP), Outcome(name="Down", token_id=DOWN)),
    start_ms=1_795_353_300_000,
    end_ms=1_795_354_200_000,
    tick_size_e4=100,
    min_order_size_e6=5_000_000,
    fee=FeeSchedule(rate=Decimal("0.07"), exponent=1),
    neg_risk=False,
    accepting=True,
)


def test_a_listing_of_the_venue() -> None:
    assert parsed(listed()) == EXPECTED


def test_numbers_as_strings_mean_the_same_and_exactly() -> None:
    fee = {"rate": "0.07", "exponent": "1"}
    texts = listed(orderPriceMinTickSize="0.01", orderMinSize="5", feeSchedule=fee)
    assert parsed(texts) == EXPECTED
    assert parsed(listed(orderPriceMinTickSize=0.001)) is not None
    market = parsed(listed(orderPriceMinTickSize=0.0001, orderMinSize=5.000001))
    assert market is not None
    assert (market.tick_size_e4, market.min_order_size_e6) == (1, 5_000_001)


def test_lists_and_truths_mean_the_same_as_text_and_as_they_are() -> None:
    for bent in (
        {"outcomes": ["Up", "Down"], "clobTokenIds": [UP, DOWN]},
        {"clobTokenIds": f"[{UP}, {DOWN}]"},
        {"clobTokenIds": [int(UP), int(DOWN)]},
        {"active": "true", "closed": "False", "acceptingOrders": "true", "negRisk": "false"},
        {"negRisk": ""},
        {"feesEnabled": "true", "feeSchedule": '{"rate": 0.07, "exponent": "1"}'},
        {"eventStartTime": "2026-11-22 13:15:00+00", "endDate": 1_795_354_200},
        {"eventStartTime": "1795353300000", "endDate": "2026-11-22T08:30:00-05:00"},
    ):
        assert parsed(listed(**bent)) == EXPECTED, bent
    market = parsed(listed(negRisk="true", acceptingOrders="false"))
    assert market is not None
    assert (market.neg_risk, market.accepting) == (True, False)


@pytest.mark.parametrize("schedule", [..., None, "", "null", {}, {"rate": None, "exponent": None}])
def test_a_market_with_fees_that_names_none_costs_what_the_venues_crypto_markets_do(
    schedule: object,
) -> None:
    market = parsed(listed(feeSchedule=schedule))
    assert market is not None
    assert market.fee is ASSUMED_FEE
    assert (market.fee.rate, market.fee.exponent) == (Decimal("0.07"), 1)


def test_tokens_belong_to_outcomes_by_name_in_whatever_order() -> None:
    market = parsed(listed(outcomes='["Down", "Up"]', clobTokenIds=json.dumps([DOWN, UP])))
    assert market is not None
    assert (market.token_of("Up"), market.token_of("Down")) == (UP, DOWN)


@pytest.mark.parametrize("state", [{"active": False}, {"closed": True}, {"acceptingOrders": False}])
def test_tradeable_means_active_and_open_and_accepting(state: dict[str, bool]) -> None:
    market = parsed(listed(**state))
    assert market is not None
    assert not market.accepting


def test_fees_are_what_the_market_says() -> None:
    for bent, fee in (
        ({"feesEnabled": False}, NO_FEE),
        ({"feesEnabled": ..., "feeSchedule": ...}, NO_FEE),
        ({"feesEnabled": ...}, EXPECTED.fee),
    ):
        market = parsed(listed(**bent))
        assert market is not None
        assert market.fee == fee


def test_neg_risk_may_stand_at_the_event() -> None:
    for market, event, expected in (
        (listed(negRisk=...), {"negRisk": True}, True),
        (listed(negRisk=...), {}, False),
        (listed(negRisk=False), {"negRisk": True}, False),
    ):
        found = parsed(market, **event)
        assert found is not None
        assert found.neg_risk is expected


@pytest.mark.parametrize("hours", [3, 4])
def test_when_clocks_change_a_window_ends_with_them_or_keeps_its_length(hours: int) -> None:
    series, start_s = parse_series("btc-4h"), 1_772_946_000  # 2026-03-08 00:00 in New York
    market = listed(
        slug=series.slug(start_s), eventStartTime=start_s, endDate=start_s + hours * 3600
    )
    found = parse_listing(json.dumps([{"markets": [market]}]).encode(), series, start_s)
    assert found is not None
    assert found.end_ms == (start_s + hours * 3600) * 1000


def test_a_window_that_is_not_listed_yet_is_no_error() -> None:
    assert parse_listing(b"[]", SERIES, START_S) is None


@pytest.mark.parametrize("sibling", [None, 7, {"slug": 5}, {"slug": "other"}, {"conditionId": []}])
def test_a_malformed_market_or_event_beside_the_wanted_one_spoils_nothing(sibling: object) -> None:
    events = [sibling, {"markets": None}, {"markets": [sibling, listed()]}]
    assert parse_listing(json.dumps(events).encode(), SERIES, START_S) == EXPECTED
    ended = listed(closed=True, outcomePrices='["1", "0"]')
    payload = json.dumps([{"markets": [sibling, ended]}]).encode()
    assert read_result(payload, MARKET, UP).payouts_e6 == {UP: 1_000_000, DOWN: 0}


NUMBERS = f"[{UP}, {DOWN}]"
WON = {UP: 1_000_000, DOWN: 0}


def result_of(*markets: object) -> ListedResult:
    payload = json.dumps([{"markets": [market]} for market in markets]).encode()
    # Numbers longer than any float, as a list of numbers and not of texts.
    return read_result(payload.replace(b'"@', b"").replace(b'@"', b""), MARKET, UP)


def ended(**bent: Any) -> dict[str, Any]:
    return listed(**{"closed": True, "outcomePrices": '["1", "0"]', **bent})


@pytest.mark.parametrize(
    "bent",
    [
        {"clobTokenIds": NUMBERS},
        {"clobTokenIds": [f"@{UP}@", f"@{DOWN}@"]},
        {"clobTokenIds": [UP, DOWN]},
        {"closed": "true"},
        {"closed": " True "},
        {"umaResolutionStatus": "Resolved"},
        {"outcomePrices": [1, "0.0"]},
    ],
    ids=str,
)
def test_a_result_is_read_in_each_way_in_which_a_window_is(bent: dict[str, Any]) -> None:
    assert result_of(ended(**bent)).payouts_e6 == WON


def test_a_closed_that_is_neither_true_nor_false_is_named() -> None:
    for closed in ("yes", 2, {}, []):
        with pytest.raises(ListingError, match="neither true nor false"):
            result_of(ended(closed=closed))
    for closed in (None, "", ..., False, "false", 0):
        assert result_of(ended(closed=closed)).text == "Gamma has not closed it"


@pytest.mark.parametrize(
    "twin",
    [
        ended(outcomePrices=7),
        ended(clobTokenIds='["1", "2"]'),
        ended(closed="?"),
        ended(closed=False),
        ended(umaResolutionStatus="proposed"),
        ended(outcomePrices=None),
        ended(outcomePrices='["0.9", "0.1"]'),
        ended(),
    ],
    ids=range(8),
)
def test_of_two_listed_under_one_condition_the_one_that_is_final_counts(twin: Any) -> None:
    assert result_of(twin, ended()).payouts_e6 == WON
    assert result_of(ended(), twin).payouts_e6 == WON


def test_without_a_final_one_a_closed_one_speaks_and_two_final_ones_must_agree() -> None:
    proposed = ended(umaResolutionStatus="proposed")
    for pair in ((proposed, ended(closed=False)), (ended(closed=False), proposed)):
        assert result_of(*pair).text == "Gamma calls it 'proposed'"
    with pytest.raises(ListingError, match="different results"):
        result_of(ended(), ended(outcomePrices='["0", "1"]'))
    with pytest.raises(WireError, match="tokens"):
        result_of(ended(clobTokenIds='["1", "2"]'))
    assert result_of().text == "Gamma does not list it"


@pytest.mark.parametrize("status", [None, "", "resolved"])
def test_exactly_one_half_each_is_as_near_one_half_as_can_be(status: str | None) -> None:
    halves = result_of(ended(outcomePrices='["0.5", "0.5"]', umaResolutionStatus=status))
    assert (halves.payouts_e6, halves.near_half) == ({UP: 500_000, DOWN: 500_000}, True)


@pytest.mark.parametrize("field", REQUIRED)
def test_whatever_a_sibling_lacks_or_bends_spoils_nothing(field: str) -> None:
    for value in (..., None, [], {}, "x", 7):
        sibling = listed(**{"slug": "eth-updown-15m-1795353300", field: value})
        # And one that goes by the same name.
        for siblings in ([sibling], [sibling | {"slug": SLUG, "conditionId": None}]):
            for event in ([*siblings, listed()], [listed(), *siblings]):
                payload = json.dumps([{"markets": event}, {"markets": siblings}]).encode()
                assert parse_listing(payload, SERIES, START_S) == EXPECTED
                assert parse_listing(payload[:-1] + b",3]", SERIES, START_S) == EXPECTED


def test_a_listing_of_something_else_is_refused() -> None:
    with pytest.raises(ListingError, match=f"{SLUG}: .*no market of that slug"):
        parsed(listed(slug="eth-updown-15m-1795353300"))


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_field_is_named(field: str) -> None:
    for value in (..., None):
        with pytest.raises(ListingError, match=f"^{SLUG}: .*{field}"):
            parsed(listed(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("conditionId", "0x.>"),
        ("outcomes", '["Up"]'),
        ("outcomes", '["Up", "Up"]'),
        ("outcomes", "Up, Down"),
        ("outcomes", ["Up", 2]),
        ("outcomes", {"Up": 1, "Down": 2}),
        ("clobTokenIds", "[1, 1.5]"),
        ("clobTokenIds", "[1, -2]"),
        ("clobTokenIds", "[1, 1e3]"),
        ("clobTokenIds", [True, False]),
        ("clobTokenIds", json.dumps([UP, UP])),
        ("clobTokenIds", json.dumps([UP, ""])),
        ("clobTokenIds", json.dumps([UP, DOWN, "3"])),
        ("eventStartTime", "tomorrow"),
        ("eventStartTime", "2026-11-22T08:15:00"),
        ("eventStartTime", True),
        ("eventStartTime", "2026-11-22T13:15:01Z"),
        ("endDate", "2026-11-22T13:15:00Z"),
        ("endDate", "2026-11-23T13:30:00Z"),
        ("orderPriceMinTickSize", 0),
        ("orderPriceMinTickSize", 1),
        ("orderPriceMinTickSize", "NaN"),
        ("orderPriceMinTickSize", 0.00001),
        ("orderMinSize", -5),
        ("orderMinSize", "1e999999"),
        ("orderMinSize", "1e500000"),
        ("orderMinSize", "NaN"),
        ("orderMinSize", "five"),
        ("feeSchedule", {"rate": 0.07}),
        ("feeSchedule", {"rate": "NaN", "exponent": 1}),
        ("feeSchedule", {"rate": -0.07, "exponent": 1}),
        ("feeSchedule", {"rate": 0.07, "exponent": 1.5}),
        ("feeSchedule", {"rate": 2, "exponent": 1}),
        ("feeSchedule", {"rate": 0.07, "exponent": None}),
        ("feeSchedule", "0.07"),
        ("feeSchedule", [0.07, 1]),
        ("feesEnabled", "perhaps"),
        ("feesEnabled", 2),
        ("negRisk", []),
        ("acceptingOrders", "yes"),
        ("acceptingOrders", ""),
        ("closed", -1),
    ],
)
def test_a_malformed_field_is_named(field: str, value: object) -> None:
    with pytest.raises(ListingError, match=f"^{SLUG}: .*{field}"):
        parsed(listed(**{field: value}))


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"null", b"[1]", b"\xff", b"[[[[", b'[{"a":' * 9999]
)
def test_what_is_no_listing_at_all(payload: bytes) -> None:
    with pytest.raises(ListingError, match=SLUG):
        parse_listing(payload, SERIES, START_S)


@given(st.dictionaries(st.sampled_from(list(listed())), st.none() | st.integers() | st.text()))
def test_any_listing_is_parsed_or_refused_with_the_one_error(bent: dict[str, object]) -> None:
    try:
        parsed(listed(**bent))
    except ListingError as error:
        assert SLUG in str(error)
