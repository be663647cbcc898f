from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue.wire.numbers import (
    MISSING,
    average_price_e4,
    decimal,
    first_time_ms,
    number_text,
    size_e6,
    size_or_zero_e6,
    whole,
)


def raw(written: str) -> msgspec.Raw:
    return msgspec.Raw(written.encode())


@given(st.integers(0, 10**15))
def test_a_size_is_the_same_as_text_and_as_a_number(millionths: int) -> None:
    text = f"{millionths // 10**6}.{millionths % 10**6:06}"
    assert size_e6(raw(text)) == size_e6(raw(f'"{text}"')) == millionths


@pytest.mark.parametrize("written", ["", '""', "null"])
def test_nothing_is_no_number(written: str) -> None:
    assert number_text(raw(written)) is None
    assert size_or_zero_e6(raw(written)) == 0
    for reader in (size_e6, whole, decimal, average_price_e4):
        with pytest.raises(ValueError, match="empty"):
            reader(raw(written))


@pytest.mark.parametrize(
    ("written", "text"), [("1e-06", "0.000001"), ("1.5E2", "150"), ("57e-2", "0.57")]
)
def test_a_short_exponent_of_a_json_number_is_exact(written: str, text: str) -> None:
    assert number_text(raw(written)) == text


@pytest.mark.parametrize(
    "written",
    [
        "true", "false", "{}", "[1]", "NaN", "-1", "+1", "1e100", "1e-100", "9" * 41, '"1e3"',
        '"-1"', '"NaN"', '"1 0"', '"\\u0661"', '"1_0"', '"x"', '"\\ud800"',
    ],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused_by_every_reader(written: str) -> None:
    for reader in (size_e6, size_or_zero_e6, whole, decimal, average_price_e4):
        with pytest.raises(ValueError, match=r"not a|finer|impossible"):
            reader(raw(written))


def test_the_first_time_that_is_there_counts() -> None:
    assert first_time_ms(MISSING, raw('""'), raw('"1800000001"')) == 1_800_000_001_000
    assert first_time_ms(raw("1800000001000"), raw("1")) == 1_800_000_001_000
    assert first_time_ms(raw('"2027-01-15T08:00:01Z"')) == 1_800_000_001_000
    assert first_time_ms(MISSING, raw("null")) is None
    with pytest.raises(ValueError, match="not a time"):
        first_time_ms(raw('"yesterday"'), MISSING)


def test_a_time_that_cannot_be_read_leaves_it_to_the_next_one() -> None:
    for unreadable in ('"yesterday"', "true", "0", '"0001-01-01T00:00:00Z"'):
        assert first_time_ms(raw(unreadable), raw("1800000001")) == 1_800_000_001_000


def test_a_time_may_have_a_fraction() -> None:
    for written in ('"1800000001.25"', "1800000001.25", "1800000001250", '"1800000001250.9"'):
        assert first_time_ms(raw(written)) == 1_800_000_001_250


@pytest.mark.parametrize("written", ['" 2.2 "', '"2.200000000000000000"', '"2.20"', "2.20"])
def test_blanks_around_a_text_and_zeros_at_its_end_say_nothing(written: str) -> None:
    assert size_e6(raw(written)) == 2_200_000
    assert size_e6(raw('"100"')) == 100_000_000
    assert size_e6(raw('"100.000000000000000"')) == 100_000_000


@given(st.text())
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        epoch_ms = first_time_ms(msgspec.Raw(msgspec.json.encode(text)))
    except ValueError:
        return
    assert epoch_ms is None or 0 <= epoch_ms < 10**15
