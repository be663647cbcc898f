from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fee import NO_FEE, FeeSchedule, taker_fee_e6
from protocol.market import floor_to_tick_e4
from protocol.series import parse_series
from protocol.subjects import book_subject, decision_subject

TICKS_E4 = st.sampled_from([1_000, 100, 50, 10, 1])


@given(st.integers(0, 20_000), TICKS_E4)
def test_floor_to_tick_is_the_highest_grid_price_not_above(price_e4: int, tick_e4: int) -> None:
    floored = floor_to_tick_e4(price_e4, tick_e4)
    assert floored % tick_e4 == 0
    assert floored <= min(price_e4, 10_000 - tick_e4)
    assert floored + tick_e4 > min(price_e4, 10_000 - tick_e4)


def test_the_fee_of_the_venues_own_example() -> None:
    crypto = FeeSchedule(rate=Decimal("0.07"), exponent=1)
    assert taker_fee_e6(crypto, 5_000, 100_000_000) == 1_750_000
    assert taker_fee_e6(NO_FEE, 5_000, 100_000_000) == 0
    assert taker_fee_e6(crypto, 5_001, 1) == 1  # rounded up: an estimate must not flatter


@pytest.mark.parametrize(
    ("name", "window_s", "slug"),
    [
        ("btc-15m", 900, "btc-updown-15m-1700000100"),
        ("bnb-5m", 300, "bnb-updown-5m-1700000100"),
        ("eth-90s", 90, "eth-updown-90s-1700000190"),
        ("sol-1h", 3600, "sol-updown-1h-1699999200"),
    ],
)
def test_windows_of_a_series(name: str, window_s: int, slug: str) -> None:
    series = parse_series(name)
    assert series.window_s == window_s
    start_s = series.window_start_s(1_700_000_200.9)
    assert start_s <= 1_700_000_200 < start_s + window_s
    assert start_s % window_s == 0
    if name != "eth-90s":
        assert series.slug(start_s) == slug


@pytest.mark.parametrize(
    "name",
    ["", "btc", "btc-", "BTC-15m", "btc-15", "btc-0m", "btc-15d", "btc-15m ", "b-15m", "a.b-1m"],
)
def test_not_a_series(name: str) -> None:
    with pytest.raises(ValueError, match="not a series"):
        parse_series(name)


@given(st.floats(0, 4e9), st.integers(1, 99_999))
def test_a_moment_lies_in_exactly_one_window(now_s: float, window_s: int) -> None:
    series = parse_series(f"btc-{window_s}s")
    start_s = series.window_start_s(now_s)
    assert start_s <= now_s < start_s + window_s


def test_subjects() -> None:
    assert book_subject("btc-15m", "0xab") == "book.btc-15m.0xab"
    assert decision_subject("book_imbalance_crypto") == "decision.book_imbalance_crypto"


@pytest.mark.parametrize("token", ["", "a.b", "a b", "*", ">", "a\r\n"])
def test_what_cannot_stand_in_a_subject(token: str) -> None:
    with pytest.raises(ValueError, match="not usable"):
        book_subject("btc-15m", token)
    with pytest.raises(ValueError, match="not usable"):
        decision_subject(token)
