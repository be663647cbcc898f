from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

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


NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize("hours", [2, 3, 4, 6, 8, 12, 24])
def test_windows_of_hours_follow_new_yorks_clocks_through_the_year(hours: int) -> None:
    series = parse_series(f"btc-{hours}h")
    for year in (2026, 2027, 2031):
        start_s = series.window_start_s(datetime(year, 1, 1, 12, tzinfo=UTC).timestamp())
        seen: dict[date, list[int]] = {}
        while True:
            local = datetime.fromtimestamp(start_s, NEW_YORK)
            if local.year > year:
                break
            assert (local.minute, local.second) == (0, 0)
            skipped = (
                local.hour == 3 and local.utcoffset() != (local - timedelta(hours=2)).utcoffset()
            )
            seen.setdefault(local.date(), []).append(2 if skipped and hours == 2 else local.hour)
            following_s = series.next_start_s(start_s)
            for inside_s in (start_s, start_s + 1, (start_s + following_s) // 2, following_s - 0.5):
                assert series.window_start_s(inside_s) == start_s
            assert abs(following_s - start_s - series.window_s) <= 3600
            start_s = following_s
        days = list(seen.values())
        assert all(hours_of_day == list(range(0, 24, hours)) for hours_of_day in days[1:])
        assert len(days) >= 364


def test_the_venues_own_four_hours() -> None:
    series = parse_series("btc-4h")
    assert series.slug(series.window_start_s(1_769_288_400 + 4 * 3600 - 1)) == (
        "btc-updown-4h-1769288400"
    )
    # The clocks go forward at 2:00 on 2026-03-08, and back at 2:00 on 2026-11-01.
    for day, length_s in ((datetime(2026, 3, 8), 3), (datetime(2026, 11, 1), 5)):
        midnight_s = int(day.replace(tzinfo=NEW_YORK).timestamp())
        assert series.window_start_s(midnight_s + 1800) == midnight_s
        assert series.next_start_s(midnight_s) == midnight_s + length_s * 3600


@pytest.mark.parametrize("name", ["btc-1h", "btc-9999h", "btc-5h", "btc-240m", "btc-86400s"])
def test_other_windows_follow_the_epoch(name: str) -> None:
    series = parse_series(name)
    start_s = series.window_start_s(1_769_288_400)
    assert start_s == 1_769_288_400 // series.window_s * series.window_s
    assert series.next_start_s(start_s) == start_s + series.window_s


def test_subjects() -> None:
    assert book_subject("btc-15m", "0xab") == "book.btc-15m.0xab"
    assert decision_subject("book_imbalance_crypto") == "decision.book_imbalance_crypto"


@pytest.mark.parametrize("token", ["", "a.b", "a b", "*", ">", "a\r\n"])
def test_what_cannot_stand_in_a_subject(token: str) -> None:
    with pytest.raises(ValueError, match="not usable"):
        book_subject("btc-15m", token)
    with pytest.raises(ValueError, match="not usable"):
        decision_subject(token)
