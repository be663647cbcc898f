from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.units import (
    cost_e6,
    parse_price_e4,
    parse_size_e6,
    price_decimal,
    size_decimal,
    to_price_e4,
    to_size_e6,
    to_usd_e6,
    usd_decimal,
)

# The whole grammar, written down a second time and in another way.
PRICE = re.compile(r"(?:[01]?\.\d{1,12}|[01]\.?)", re.ASCII)
SIZE = re.compile(r"(?:\d{0,12}\.\d{1,12}|\d{1,12}\.?)", re.ASCII)


@pytest.mark.parametrize(
    ("text", "price_e4"),
    [
        ("0.53", 5300),
        (".5", 5000),
        ("1", 10_000),
        ("0", 0),
        ("0.0001", 1),
        ("0.500000000000", 5000),
    ],
)
def test_price_of_the_venue(text: str, price_e4: int) -> None:
    assert parse_price_e4(text) == price_e4


@pytest.mark.parametrize(
    ("text", "size_e6"),
    [("1213.25", 1_213_250_000), ("0", 0), (".5", 500_000), ("0.000001", 1), ("007", 7_000_000)],
)
def test_size_of_the_venue(text: str, size_e6: int) -> None:
    assert parse_size_e6(text) == size_e6


NOT_NUMBERS = ["", ".", "-0.1", "+1", " 1", "1 ", "1_0", "1e5", "1E5", "NaN", "inf", "0x1", "1,5"]
NOT_NUMBERS += ["1.2.3", "\u0661", "1\u00b2", "0.5\n", "null", "0." + "0" * 13]


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "2", "1.0001", "0.00005", "00.5"])
def test_not_a_price(text: str) -> None:
    with pytest.raises(ValueError, match="price"):
        parse_price_e4(text)


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "1" * 13, "0.0000001"])
def test_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size_e6(text)


NUMBER_LIKE = st.text("0123456789.+-_e \u0663\n", max_size=20) | st.from_regex(SIZE, fullmatch=True)


@given(NUMBER_LIKE | st.text(max_size=8))
def test_a_size_is_what_the_grammar_says_and_what_decimal_says(text: str) -> None:
    expected: int | None = None
    if SIZE.fullmatch(text):
        scaled = Decimal(text).scaleb(6)
        expected = int(scaled) if scaled == scaled.to_integral_value() else None
    try:
        assert parse_size_e6(text) == expected
    except ValueError:
        assert expected is None


@given(NUMBER_LIKE | st.from_regex(PRICE, fullmatch=True))
def test_a_price_is_what_the_grammar_says_and_what_decimal_says(text: str) -> None:
    expected: int | None = None
    if PRICE.fullmatch(text) and Decimal(text) <= 1:
        scaled = Decimal(text).scaleb(4)
        expected = int(scaled) if scaled == scaled.to_integral_value() else None
    try:
        assert parse_price_e4(text) == expected
    except ValueError:
        assert expected is None


@given(st.integers(0, 10_000), st.integers(0, 10**18 - 1))
def test_units_survive_a_round_trip(price_e4: int, amount_e6: int) -> None:
    assert to_price_e4(price_decimal(price_e4)) == price_e4
    assert to_size_e6(size_decimal(amount_e6)) == amount_e6
    assert to_usd_e6(usd_decimal(amount_e6)) == amount_e6
    assert parse_price_e4(format(price_decimal(price_e4), "f")) == price_e4
    assert parse_size_e6(format(size_decimal(amount_e6), "f")) == amount_e6


@pytest.mark.parametrize("bad", ["0.0000001", "NaN", "Infinity"])
def test_an_amount_that_is_no_whole_number_of_units_is_refused(bad: str) -> None:
    for convert in (to_price_e4, to_size_e6, to_usd_e6):
        with pytest.raises(ValueError, match="finer"):
            convert(Decimal(bad))


@given(st.integers(1, 9_999), st.integers(1, 10**12))
def test_cost_is_rounded_up_and_by_less_than_one_unit(price_e4: int, size_e6: int) -> None:
    exact = Decimal(price_e4) * size_e6 / 10_000
    assert 0 <= cost_e6(price_e4, size_e6) - exact < 1
